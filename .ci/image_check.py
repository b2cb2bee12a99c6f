"""Runs the image by podman as the rendered chart says, and lets an event become a commit in it.

What a kubelet would do with the StatefulSet's pod is done here by hand: a key that this does not know of
fails the check, so that it cannot go stale in silence.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

import yaml

from scene import EVENT, MANIFEST, PLUGIN, fleet, free_port

HELM, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
PODMAN = ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
USER = 65532
NAME = f"riposte-ci-{os.getpid()}"
TOKENS = {"riposte-ingest": "i" * 40, "riposte-api": "a" * 40}
# How long anything may take, in seconds.
PATIENCE = 60


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def values(port: int) -> dict:
    return {
        "image": {"repository": "localhost/riposte", "tag": "ci"},
        "config": {
            "server": {"listen": f"0.0.0.0:{port}"},
            "repository": {"url": "file:///fleet/fleet.git"},
            "plugins": [PLUGIN],
        },
        "secrets": {"ingest": {"name": "riposte-ingest"}, "api": {"name": "riposte-api"}},
        "extraVolumes": [{"name": "fleet", "hostPath": {"path": str(WORK / "fleet")}}],
        "extraVolumeMounts": [{"name": "fleet", "mountPath": "/fleet"}],
    }


def rendered(port: int) -> list:
    (WORK / "values.yaml").write_text(yaml.safe_dump(values(port)))
    chart = ["template", "riposte", "charts/riposte", "--values", WORK / "values.yaml"]
    return [each for each in yaml.safe_load_all(run(HELM, *chart, "--kube-version", "1.37")) if each]


def folder(name: str, files: dict) -> pathlib.Path:
    """Files that the container's user may read, by its group."""
    path = WORK / "mounts" / name
    path.mkdir(parents=True)
    for key, text in files.items():
        (path / key).write_text(text)
        os.chown(path / key, 0, USER)
        (path / key).chmod(0o440)
    return path


def source(volume: dict, config: dict, claims: list) -> str:
    match volume:
        case {"configMap": {"name": name}}:
            return str(folder(name, config["data"]))
        case {"secret": {"secretName": name, "items": [{"path": path}]}}:
            return str(folder(name, {path: TOKENS[name]}))
        case {"hostPath": {"path": path}}:
            return path
        case {"emptyDir": _}:
            return ""
        case {"name": name} if name in claims:
            return f"{NAME}-{name}"
    sys.exit(f"a volume that this check does not know: {volume}")


def arguments(documents: list) -> list:
    """What `podman run` is told, by what the StatefulSet says."""
    kinds = {document["kind"]: document for document in documents}
    spec = kinds["StatefulSet"]["spec"]
    claims = [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]]
    pod, (container,) = spec["template"]["spec"], spec["template"]["spec"]["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    # podman's own seccomp profile is its RuntimeDefault.
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    user, group = pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]
    told = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--user={user}:{group}"]
    told += ["--network=host", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
    told.append(f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}")
    told += [f"--env={each['name']}={each['value']}" for each in container["env"]]
    volumes = list(pod["volumes"]) + [{"name": claim} for claim in claims]
    sources = {volume["name"]: source(volume, kinds["ConfigMap"], claims) for volume in volumes}
    for mount in container["volumeMounts"]:
        where, what = mount["mountPath"], sources[mount["name"]]
        if not what:
            told.append(f"--tmpfs={where}:rw,mode=1777")
            continue
        what = f"{what}/{mount['subPath']}" if "subPath" in mount else what
        told.append(f"--volume={what}:{where}{':ro' if mount.get('readOnly') else ''}")
    return [*told, container["image"], *container["args"]]


def ask(port: int, path: str, token: str = "", body: bytes | None = None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, answer.read()


def until(what: str, look):
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if found := look():
                return found
        time.sleep(0.1)
    logs = subprocess.run([*PODMAN, "logs", NAME], capture_output=True, text=True)
    sys.exit(f"{what} within {PATIENCE} s\n{logs.stdout}{logs.stderr}")


def main():
    bare = fleet(WORK / "fleet/fleet.git", WORK / "work", {"alpine.yaml": MANIFEST})
    run("chown", "-R", f"{USER}:{USER}", WORK / "fleet")
    port = free_port()
    WORK.chmod(0o755)
    run(*PODMAN, "run", "--detach", f"--name={NAME}", *arguments(rendered(port)))
    until("it was not ready", lambda: ask(port, "/readyz")[0] == 200)
    status, _ = ask(port, "/", TOKENS["riposte-ingest"], EVENT)
    assert status == 202, status
    git = ["git", "-c", f"safe.directory={bare}", "-C", str(bare)]
    until("no commit was made", lambda: run(*git, "rev-list", "--count", "main").strip() == "2")
    changed = [line for line in run(*git, "show", "--format=", "-U0", "main").splitlines() if line[:1] in "+-"]
    assert len(changed) == 4 and changed[3].startswith("+  replicas: 0"), changed
    # As `kubectl exec … -- riposte` does it.
    inside = [*PODMAN, "exec", NAME, "/usr/local/bin/riposte"]
    until("the commit was not recorded", lambda: "committed" in run(*inside, "events", "list"))
    run(*PODMAN, "stop", "--time=30", NAME)
    ended = run(*PODMAN, "inspect", "--format", "{{.State.ExitCode}}", NAME).strip()
    assert ended == "0", f"it ended with {ended}"
    run(*PODMAN, "start", NAME)
    until("it was not ready again", lambda: ask(port, "/readyz")[0] == 200)
    events = json.loads(ask(port, "/v1/events", TOKENS["riposte-api"])[1])["events"]
    assert len(events) == 1, events
    print("image: an event became a commit in a read-only container, and a restart finds it in the journal")


try:
    main()
finally:
    subprocess.run([*PODMAN, "rm", "--force", "--volumes", "--time=1", NAME], capture_output=True)
    subprocess.run([*PODMAN, "volume", "rm", "--force", f"{NAME}-journal"], capture_output=True)
