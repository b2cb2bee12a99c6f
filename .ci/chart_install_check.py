"""Installs, upgrades and uninstalls the chart at a real API server by helm. Called by .ci/api-server.

No controller runs, so the pods of the StatefulSet are not made; the server is asked whether it would take one
of them in a namespace of restricted Pod Security.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.error

import yaml

from api_server import Cluster
from scene import expect, until

HELM, MONITORS, *SERVERS = sys.argv[1:]
CHART = pathlib.Path("charts/riposte")
NAMESPACE = "/api/v1/namespaces/riposte"
LEVEL = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


def installed(cluster: Cluster) -> list:
    return json.loads(cluster.call("GET", "/apis/apps/v1/namespaces/riposte/statefulsets"))["items"]


def pod_of(cluster: Cluster) -> dict:
    spec = installed(cluster)[0]["spec"]
    pod = spec["template"]["spec"]
    for claim in spec.get("volumeClaimTemplates", []):
        name = claim["metadata"]["name"]
        pod["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    metadata = {"name": "riposte-0", "labels": spec["template"]["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def check(cluster: Cluster, kubeconfig: pathlib.Path):
    def helm(*arguments) -> str:
        command = [HELM, "--kubeconfig", kubeconfig, "--namespace", "riposte", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        # What Pod Security warns of goes there, too.
        return done.stderr if done.returncode == 0 else done.stderr + f"it ended with {done.returncode}"

    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "riposte", "labels": LEVEL}}
    cluster.call("POST", "/api/v1/namespaces", namespace)
    definition = yaml.safe_load(pathlib.Path(MONITORS).read_text())
    cluster.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    until("the kind ServiceMonitor", lambda: cluster.call("GET", "/apis/monitoring.coreos.com/v1"))
    for values in sorted(CHART.glob("ci/*-values.yaml")):
        said = helm("install", "riposte", CHART, "--values", values)
        expect(f"{values.name} is installed without a word", said == "", said)
        try:
            cluster.call("POST", f"{NAMESPACE}/pods?dryRun=All", pod_of(cluster))
        except urllib.error.HTTPError as error:
            expect("its pod is taken", False, error.read().decode())
        said = helm("upgrade", "riposte", CHART, "--values", values, "--set", "log.filter=debug")
        expect("  its pod is taken, and it is upgraded", said == "", said)
        said = helm("uninstall", "riposte")
        expect("  and uninstalled", said == "" and installed(cluster) == [], said)


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        cluster = Cluster(root, SERVERS)
        try:
            authority = (root / "ca.crt").read_bytes()
            check(cluster, cluster.kubeconfig("admin", {"token": "s3cret"}, authority))
        finally:
            cluster.end()


main()
