"""Runs the gateway beside a real API server that it asks before each commit. Called by .ci/api-server."""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from api_server import Cluster
from scene import EVENT, MANIFEST, PLUGIN, expect, fleet, free_port, run, until

PROGRAM, *SERVERS = sys.argv[1:]


class Gateway:
    """A gateway over a repository of its own."""

    def __init__(self, root: pathlib.Path, name: str, kubeconfig: pathlib.Path):
        self.bare = fleet(root / f"{name}.git", root / f"{name}.work", {"alpine.yaml": MANIFEST})
        self.address = f"127.0.0.1:{free_port()}"
        document = {
            "server": {"listen": self.address}, "journal": {"dir": str(root / name)},
            "repository": {"url": f"file://{self.bare}"}, "plugins": [PLUGIN],
            "validation": {"dryRun": {"kubeconfig": str(kubeconfig)}},
        }
        config = root / f"{name}.yaml"
        config.write_text(json.dumps(document))
        log = open(root / f"{name}.log", "w")
        self.process = subprocess.Popen([PROGRAM, "serve", "--config", config], stdout=log, stderr=log)
        until("the gateway", lambda: self.get("/readyz"))
        headers = {
            "Content-Type": "application/json", "Ce-Specversion": "1.0", "Ce-Id": "1",
            "Ce-Source": "https://falco.org", "Ce-Type": "falco.rule.output.v1",
        }
        urllib.request.urlopen(urllib.request.Request(f"http://{self.address}/", EVENT, headers)).read()

    def get(self, path: str):
        with urllib.request.urlopen(f"http://{self.address}{path}") as answer:
            return answer.read()

    def reaction(self):
        found = json.loads(self.get("/v1/events/1"))["reactions"]
        return found[0] if found else None

    def settled(self):
        def end():
            reaction = self.reaction()
            return reaction if reaction and reaction["outcome"] else None

        return until("the end of the reaction", end)

    def tried_again(self):
        def again():
            attempts = (self.reaction() or {"attempts": []})["attempts"]
            return next((attempt for attempt in attempts if attempt["result"] == "retry"), None)

        return until("an attempt that is tried again", again)

    def commits(self) -> int:
        return len(run("git", "-C", self.bare, "log", "--format=%H", "main").split())


def refuses_zero() -> tuple[dict, dict]:
    group = "admissionregistration.k8s.io"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}
    policy = {
        "apiVersion": f"{group}/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "never-zero"},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "object.spec.replicas > 0", "message": "nothing is scaled to zero here"}],
        },
    }
    binding = {
        "apiVersion": f"{group}/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "never-zero"},
        "spec": {"policyName": "never-zero", "validationActions": ["Deny"]},
    }
    return policy, binding


def check(root: pathlib.Path, cluster: Cluster, running: list):
    authority = (root / "ca.crt").read_bytes()

    def gateway(name: str, user: dict, trusted: bytes = authority) -> Gateway:
        running.append(Gateway(root, name, cluster.kubeconfig(name, user, trusted)))
        return running[-1]

    token = {"token": "s3cret"}
    by_token = gateway("token", token)
    reaction = by_token.settled()
    expect("with a token the change is committed", reaction["outcome"] == "committed", reaction)
    certificate = {"client-certificate": "client.crt", "client-key": "client.key"}
    reaction = gateway("certificate", certificate).settled()
    expect("with a client certificate, too", reaction["outcome"] == "committed", reaction)
    deployments = json.loads(cluster.call("GET", "/apis/apps/v1/deployments"))["items"]
    expect("nothing was stored", deployments == [], deployments)

    reaction = gateway("weak", {"token": "weak"}).settled()
    refused = reaction["outcome"] == "refused" and 'cannot patch resource "deployments"' in reaction["reason"]
    expect("without the right it is refused with the server's words", refused, reaction)
    unknown = gateway("unknown", {"token": "other"})
    attempt = unknown.tried_again()
    expect("with a token that is none it waits", "401" in attempt["detail"] and unknown.commits() == 1, attempt)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=other",
        "-keyout", root / "other.key", "-out", root / "other.crt")
    impostor = gateway("impostor", token, (root / "other.crt").read_bytes())
    attempt = impostor.tried_again()
    expect("another authority's server is not asked", "ertificate" in attempt["detail"] and impostor.commits() == 1, attempt)

    group = "/apis/admissionregistration.k8s.io/v1"
    policy, binding = refuses_zero()
    cluster.call("POST", f"{group}/validatingadmissionpolicies", policy)
    cluster.call("POST", f"{group}/validatingadmissionpolicybindings", binding)

    def denied():
        manifest = {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "probe"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}},
                     "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}},
        }
        try:
            cluster.call("POST", "/apis/apps/v1/namespaces/default/deployments?dryRun=All", manifest)
        except urllib.error.HTTPError as error:
            return error.code == 422
        return False

    until("the policy in force", denied)
    policed = gateway("policed", token)
    reaction = policed.settled()
    refused = reaction["outcome"] == "refused" and "nothing is scaled to zero here" in reaction["reason"]
    expect("what an admission policy denies is refused with its words", refused and policed.commits() == 1, reaction)
    print(f"    {reaction['reason']}")
    cluster.call("DELETE", f"{group}/validatingadmissionpolicybindings/never-zero")
    until("the policy out of force", lambda: not denied())

    cluster.stop()
    patient = gateway("patient", token)
    attempt = patient.tried_again()
    expect("while the server is away nothing is committed", patient.commits() == 1, attempt)
    cluster.start()
    reaction = patient.settled()
    expect("and it is committed once it is back", reaction["outcome"] == "committed" and patient.commits() == 2, reaction)


def main():
    with tempfile.TemporaryDirectory() as folder:
        root, running = pathlib.Path(folder), []
        cluster = Cluster(root, SERVERS)
        try:
            check(root, cluster, running)
        finally:
            for gateway in running:
                gateway.process.terminate()
                gateway.process.wait()
            cluster.end()


main()
