"""Checks what the chart renders: strict schemas, restricted Pod Security, and our own promises.

Every check first has to refuse a broken copy of the real manifests (`SABOTAGE`), so that a check
that has stopped checking is noticed. It reads files and talks to nobody.
"""

import argparse
import copy
import re
import sys

import jsonschema
import kubernetes_validate
import yaml

KINDS = {"ConfigMap", "NetworkPolicy", "Pod", "Service", "ServiceAccount", "ServiceMonitor", "StatefulSet"}
VOLUME_TYPES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}
SECRETS = "/etc/riposte/secrets/"


class Loader(yaml.SafeLoader):
    """Refuses a key that is written twice."""


def mapping(loader, node):
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"keys written twice: {twice}", node.start_mark)
    return loader.construct_mapping(node, deep=True)


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def strict(schema):
    """A CRD's schema that knows no other field than it names."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copied = {key: strict(value) for key, value in schema.items()}
    if isinstance(copied.get("properties"), dict) and "additionalProperties" not in copied:
        copied["additionalProperties"] = False
    if copied.pop("x-kubernetes-int-or-string", False):
        copied.pop("type", None)
    return copied


def service_monitor_schema(path):
    with open(path, encoding="utf-8") as file:
        crd = yaml.safe_load(file)
    schema = strict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def pod_specs(objects):
    for manifest in objects:
        if manifest["kind"] == "Pod":
            yield manifest["spec"]
        elif manifest["kind"] == "StatefulSet":
            yield manifest["spec"]["template"]["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def check_schemas(objects, versions, monitor):
    for manifest in objects:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] == "ServiceMonitor":
            for error in jsonschema.Draft7Validator(monitor).iter_errors(manifest):
                yield f"{name}: {error.message}"
            continue
        for version in versions:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name}: Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}"


def check_kinds(objects):
    for manifest in objects:
        if manifest["kind"] not in KINDS:
            yield f"{manifest['kind']} {manifest['metadata']['name']}: the chart must not make this kind of object"
        if manifest["kind"] == "ServiceAccount" and manifest.get("automountServiceAccountToken") is not False:
            yield "the ServiceAccount mounts its token"


def check_restricted(objects):
    """Each control of the restricted Pod Security Standard, for the fields that a pod can set."""
    for spec in pod_specs(objects):
        pod = spec.get("securityContext", {})
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                yield f"{field} is set"
        if pod.get("sysctls") or pod.get("windowsOptions"):
            yield "sysctls or windowsOptions are set"
        for volume in spec.get("volumes", []):
            types = set(volume) - {"name"}
            if not types <= VOLUME_TYPES:
                yield f"volume {volume['name']} is of type {types}"
        for container in containers(spec):
            name = container["name"]
            own = container.get("securityContext", {})
            effective = {**pod, **own}
            if effective.get("runAsNonRoot") is not True or effective.get("runAsUser") == 0:
                yield f"container {name} may run as root"
            if effective.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
                yield f"container {name} has no seccomp profile"
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"container {name} may gain privileges"
            capabilities = own.get("capabilities", {})
            if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
                yield f"container {name} keeps capabilities"
            if own.get("procMount", "Default") != "Default" or own.get("seLinuxOptions") or own.get("appArmorProfile"):
                yield f"container {name} changes procMount, SELinux or AppArmor"
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"container {name} has a host port"


def check_promises(objects):
    """What this chart promises beyond the standard."""
    for spec in pod_specs(objects):
        if spec.get("automountServiceAccountToken") is not False:
            yield "a pod mounts a service account token"
        for container in containers(spec):
            name = container["name"]
            if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
                yield f"container {name} can write to its root file system"
            if not {"requests", "limits"} <= set(container.get("resources", {})):
                yield f"container {name} has no resources"
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    yield f"container {name} takes {variable['name']} from elsewhere: secrets come as files"


def check_gateway(objects):
    """The parts fit together: one pod, ports, volumes, and each file that the configuration names."""
    by_kind = {manifest["kind"]: manifest for manifest in objects}
    workload, service = by_kind["StatefulSet"]["spec"], by_kind["Service"]["spec"]
    spec = workload["template"]["spec"]
    container = spec["containers"][0]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    claims = {claim["metadata"]["name"] for claim in workload.get("volumeClaimTemplates", [])}
    config = yaml.load(by_kind["ConfigMap"]["data"]["riposte.yaml"], Loader)

    if workload["replicas"] != 1:
        yield "the journal has one writer, so there is one replica"
    if not set(mounts.values()) <= set(volumes) | claims:
        yield "a mount has no volume"
    if config["journal"]["dir"] not in mounts:
        yield "the journal is on no volume"
    labels = workload["template"]["metadata"]["labels"]
    for selector in (workload["selector"]["matchLabels"], service["selector"]):
        if not selector.items() <= labels.items():
            yield "a selector does not select the gateway's pod"
    if service["selector"].items() <= by_kind["Pod"]["metadata"]["labels"].items():
        yield "the Service selects the test pod"
    if str(container["ports"][0]["containerPort"]) != config["server"]["listen"].rsplit(":", 1)[1]:
        yield "the container's port is not the one the gateway listens on"
    for probe, path in {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items():
        if container[probe]["httpGet"]["path"] != path:
            yield f"the {probe} does not ask {path}"
    for value in files_of(config):
        directory, _, file = value.rpartition("/")
        volume = volumes.get(mounts.get(directory), {})
        items = [item["path"] for item in volume.get("secret", {}).get("items", [])]
        if file not in items:
            yield f"the configuration names {value}, which nothing mounts"
    if re.search(r"\d[eE]\+\d", by_kind["ConfigMap"]["data"]["riposte.yaml"]):
        yield "an integer of the configuration was written as a float"


def files_of(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from files_of(item)
    elif isinstance(value, str) and value.startswith(SECRETS):
        yield value


def gateway(objects):
    return next(manifest for manifest in objects if manifest["kind"] == "StatefulSet")["spec"]["template"]["spec"]


def first(objects):
    return gateway(objects)["containers"][0]


def of_kind(objects, kind):
    return next(manifest for manifest in objects if manifest["kind"] == kind)


def unmount_secrets(spec):
    for volume in spec["volumes"]:
        if "secret" in volume:
            volume["secret"]["items"] = [{"key": "token", "path": "elsewhere"}]


# What each check must notice, made in a copy of a real rendering.
SABOTAGE = {
    "an unknown field": lambda o: first(o).update(readOnly=True),
    "a misspelt field of a policy": lambda o: of_kind(o, "NetworkPolicy")["spec"].update(policyType=["Egress"]),
    "an unknown field of a ServiceMonitor": lambda o: of_kind(o, "ServiceMonitor")["spec"].update(endpoint=[]),
    "a text for a number": lambda o: of_kind(o, "StatefulSet")["spec"].update(replicas="1"),
    "a role": lambda o: o.append({"kind": "ClusterRole", "metadata": {"name": "x"}}),
    "root": lambda o: gateway(o)["securityContext"].update(runAsNonRoot=False),
    "no seccomp": lambda o: gateway(o)["securityContext"].pop("seccompProfile"),
    "privileges": lambda o: first(o)["securityContext"].pop("allowPrivilegeEscalation"),
    "capabilities": lambda o: first(o)["securityContext"]["capabilities"].update(drop=["NET_RAW"]),
    "a host path": lambda o: gateway(o)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    "the host's network": lambda o: gateway(o).update(hostNetwork=True),
    "a writable root": lambda o: first(o)["securityContext"].pop("readOnlyRootFilesystem"),
    "a mounted token": lambda o: gateway(o).pop("automountServiceAccountToken"),
    "no limits": lambda o: first(o).pop("resources"),
    "two replicas": lambda o: of_kind(o, "StatefulSet")["spec"].update(replicas=2),
    "a secret that is not mounted": lambda o: unmount_secrets(gateway(o)),
    "the wrong port": lambda o: first(o)["ports"][0].update(containerPort=1),
    "a probe of nothing": lambda o: first(o)["readinessProbe"]["httpGet"].update(path="/"),
    "a selector of nothing": lambda o: of_kind(o, "Service")["spec"].update(selector={"app": "x"}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crd", required=True, help="the ServiceMonitor's CustomResourceDefinition")
    parser.add_argument("--versions", required=True, help="Kubernetes versions, with commas")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    versions = arguments.versions.split(",")
    monitor = service_monitor_schema(arguments.crd)

    def problems(objects):
        yield from check_kinds(objects)
        known = [o for o in objects if o["kind"] in KINDS]
        yield from check_schemas(known, versions, monitor)
        for check in (check_restricted, check_promises, check_gateway):
            yield from check(known)

    failed, everything = 0, None
    for path in arguments.files:
        with open(path, encoding="utf-8") as file:
            objects = [manifest for manifest in yaml.load_all(file, Loader) if manifest]
        found = list(problems(objects))
        failed += len(found)
        print(f"{path}: {len(objects)} objects, {len(found)} problems")
        for problem in found:
            print(f"  {problem}")
        if any(manifest["kind"] == "ServiceMonitor" for manifest in objects):
            everything = objects
    if everything is None:
        sys.exit("no value set renders the ServiceMonitor")
    for name, sabotage in SABOTAGE.items():
        broken = copy.deepcopy(everything)
        sabotage(broken)
        if not any(True for _ in problems(broken)):
            failed += 1
            print(f"  {name} was put into the manifests, and no check noticed")
    print(f"{len(SABOTAGE)} broken copies tried")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
