"""A commit of the gateway's, and its revert, are applied by Flux' kustomize-controller. Called by .ci/api-server.

The controller and the API server are the real ones. source-controller is not (it is in no registry in a form that
builds): this program serves the branch as the archive that it would serve, and says so in the GitRepository.
"""

import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import urllib.request

import yaml

from api_server import Cluster
from scene import EVENT, MANIFEST, PLUGIN, expect, fleet, free_port, run, until

PROGRAM, CONTROLLER, DEFINITIONS, *SERVERS = sys.argv[1:]
LISTING = {"kind": "Kustomization", "namespace": "default", "resources": ["alpine.yaml"]}
SOURCES = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories"
KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations"
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/alpine-deployment"


class Source:
    """The branch as an archive, and the GitRepository that tells of it."""

    def __init__(self, root: pathlib.Path, cluster: Cluster, bare: pathlib.Path):
        self.root, self.cluster, self.bare = root / "artifacts", cluster, bare
        self.root.mkdir()
        serve = lambda *arguments: Files(*arguments, directory=self.root)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        spec = {"url": "https://git.example.com/fleet.git", "interval": "1h", "ref": {"branch": "main"}}
        metadata = {"name": "flux-system", "namespace": "flux-system"}
        document = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": metadata, "spec": spec}
        cluster.call("POST", SOURCES, document)

    def tell(self) -> str:
        """What source-controller does with a new commit; its revision."""
        commit = run("git", "-C", self.bare, "rev-parse", "main").strip()
        name, revision = f"{commit}.tar.gz", f"main@sha1:{commit}"
        run("git", "-C", self.bare, "archive", "--format=tar.gz", f"--output={self.root / name}", "main")
        packed = (self.root / name).read_bytes()
        artifact = {
            "digest": f"sha256:{hashlib.sha256(packed).hexdigest()}", "size": len(packed), "path": name,
            "revision": revision, "url": f"http://127.0.0.1:{self.server.server_port}/{name}",
            "lastUpdateTime": run("date", "-u", "+%Y-%m-%dT%H:%M:%SZ").strip(),
        }
        source = json.loads(self.cluster.call("GET", f"{SOURCES}/flux-system"))
        ready = {
            "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
            "lastTransitionTime": artifact["lastUpdateTime"], "observedGeneration": 1,
        }
        source["status"] = {"artifact": artifact, "conditions": [ready], "observedGeneration": 1}
        self.cluster.call("PUT", f"{SOURCES}/flux-system/status", source)
        return revision


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def install(root: pathlib.Path, cluster: Cluster, running: list):
    """Flux' kinds, its controller, and the tutorial's Kustomization."""
    cluster.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}})
    for folder in DEFINITIONS.split(":"):
        for path in pathlib.Path(folder).glob("*.yaml"):
            definition = yaml.safe_load(path.read_text())
            cluster.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    until("Flux' kinds", lambda: cluster.call("GET", SOURCES) and cluster.call("GET", KUSTOMIZATIONS))
    kubeconfig = cluster.kubeconfig("flux", {"token": "s3cret"}, (root / "ca.crt").read_bytes())
    log = open(root / "flux.log", "w")
    environment = os.environ | {"KUBECONFIG": str(kubeconfig), "RUNTIME_NAMESPACE": "flux-system"}
    addresses = [f"--{what}-addr=127.0.0.1:{free_port()}" for what in ("metrics", "health")]
    command = [CONTROLLER, "--enable-leader-election=false", "--watch-all-namespaces", *addresses]
    running.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
    spec = {"interval": "1h", "path": "./apps", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "flux-system"}}
    metadata = {"name": "apps", "namespace": "flux-system"}
    document = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": metadata, "spec": spec}
    cluster.call("POST", KUSTOMIZATIONS, document)


def gateway(root: pathlib.Path, bare: pathlib.Path, running: list) -> str:
    address = f"127.0.0.1:{free_port()}"
    document = {
        "server": {"listen": address}, "journal": {"dir": str(root / "journal")}, "coalesce": {"idleMs": 0},
        "repository": {"url": f"file://{bare}", "path": "apps"}, "plugins": [PLUGIN],
    }
    (root / "riposte.yaml").write_text(json.dumps(document))
    log = open(root / "riposte.log", "w")
    running.append(subprocess.Popen([PROGRAM, "serve", "--config", root / "riposte.yaml"], stdout=log, stderr=log))
    until("the gateway", lambda: urllib.request.urlopen(f"http://{address}/readyz"))
    return f"http://{address}"


def check(root: pathlib.Path, cluster: Cluster, running: list):
    files = {"apps/alpine.yaml": MANIFEST, "apps/kustomization.yaml": yaml.safe_dump(LISTING)}
    bare = fleet(root / "fleet.git", root / "work", files)
    install(root, cluster, running)
    source = Source(root, cluster, bare)

    def applied(revision: str):
        status = json.loads(cluster.call("GET", f"{KUSTOMIZATIONS}/apps")).get("status", {})
        return status.get("lastAppliedRevision") == revision and json.loads(cluster.call("GET", DEPLOYMENT))["spec"]["replicas"]

    def commits(number: int):
        return until(f"commit {number}", lambda: run("git", "-C", bare, "rev-list", "--count", "main").strip() == str(number))

    first = source.tell()
    replicas = until("the first revision", lambda: applied(first))
    expect("Flux runs the application", replicas == 3, replicas)
    address = gateway(root, bare, running)
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{address}/", EVENT, headers)).read()
    commits(2)
    answered = source.tell()
    until("the answer", lambda: applied(answered) is not False)
    expect("Flux applies what the gateway has committed", applied(answered) == 0, applied(answered))
    run(PROGRAM, "revert", "1", "--reason", "The shell was ours", "--wait", "--url", address)
    commits(3)
    taken_back = source.tell()
    replicas = until("the revert", lambda: applied(taken_back))
    expect("and what it has taken back", replicas == 3, replicas)


def main():
    with tempfile.TemporaryDirectory() as folder:
        root, running = pathlib.Path(folder), []
        cluster = Cluster(root, SERVERS)
        try:
            check(root, cluster, running)
        except SystemExit:
            print(*(path.read_text()[-4000:] for path in root.glob("*.log") if path.stem in ("flux", "riposte")), sep="\n")
            raise
        finally:
            for process in running:
                process.terminate()
                process.wait()
            cluster.end()


main()
