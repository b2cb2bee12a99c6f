"""Runs the gateway beside a real API server that it asks before each commit. Called by .ci/dry-run."""

import base64
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PROGRAM, API_SERVER, ETCD = sys.argv[1:]
EVENT = pathlib.Path("gateway/demo/terminal-shell.json").read_bytes()
MANIFEST = pathlib.Path("gateway/demo/apps/alpine.yaml").read_text()


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what: str, true):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            found = true()
            if found:
                return found
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.2)
    raise SystemExit(f"{what} did not happen")


class Cluster:
    """etcd and kube-apiserver on loopback, with a certificate authority of their own."""

    def __init__(self, root: pathlib.Path):
        self.root, self.port = root, free_port()
        self.authority()
        for name in ("server", "client"):
            subject = "/CN=127.0.0.1" if name == "server" else "/O=system:masters/CN=riposte"
            self.certificate(name, subject)
        run("openssl", "genrsa", "-out", root / "account.key", "2048")
        (root / "tokens.csv").write_text("s3cret,admin,1,system:masters\nweak,weak,2,nobody\n")
        client, peer = free_port(), free_port()
        log = open(root / "etcd.log", "w")
        self.etcd = subprocess.Popen(
            [
                ETCD, f"--data-dir={root}/etcd", f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}",
            ],
            stdout=log, stderr=log,
        )
        self.etcd_address, self.server = f"http://127.0.0.1:{client}", None
        self.start()

    def authority(self):
        run(
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=authority",
            "-keyout", self.root / "ca.key", "-out", self.root / "ca.crt",
        )

    def certificate(self, name: str, subject: str):
        key, request, own = (self.root / f"{name}.{end}" for end in ("key", "csr", "crt"))
        extensions = self.root / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", key, "-out", request)
        run(
            "openssl", "x509", "-req", "-days", "1", "-in", request, "-CA", self.root / "ca.crt",
            "-CAkey", self.root / "ca.key", "-CAcreateserial", "-extfile", extensions, "-out", own,
        )

    def start(self):
        root, log = self.root, open(self.root / "apiserver.log", "a")
        self.server = subprocess.Popen(
            [
                API_SERVER, f"--etcd-servers={self.etcd_address}", f"--secure-port={self.port}",
                "--bind-address=127.0.0.1", f"--cert-dir={root}/own", f"--tls-cert-file={root}/server.crt",
                f"--tls-private-key-file={root}/server.key", f"--client-ca-file={root}/ca.crt",
                f"--token-auth-file={root}/tokens.csv", "--authorization-mode=RBAC",
                f"--service-account-key-file={root}/account.key",
                f"--service-account-signing-key-file={root}/account.key",
                "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24",
                "--disable-admission-plugins=ServiceAccount",
            ],
            stdout=log, stderr=log,
        )
        until("the API server", lambda: self.call("GET", "/readyz") is not None)
        until("the namespace", lambda: self.call("GET", "/api/v1/namespaces/default") is not None)

    def stop(self):
        self.server.terminate()
        self.server.wait()

    def call(self, method: str, path: str, body=None):
        context = ssl.create_default_context(cafile=self.root / "ca.crt")
        headers = {"Authorization": "Bearer s3cret", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.read()

    def kubeconfig(self, name: str, user: dict, authority: bytes) -> pathlib.Path:
        cluster = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority-data": base64.b64encode(authority).decode(),
        }
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "one",
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
            "clusters": [{"name": "one", "cluster": cluster}], "users": [{"name": "one", "user": user}],
        }
        path = self.root / f"{name}.kubeconfig"
        path.write_text(json.dumps(document))
        return path


class Gateway:
    """A gateway over a repository of its own."""

    def __init__(self, root: pathlib.Path, name: str, kubeconfig: pathlib.Path):
        self.bare, self.address = root / f"{name}.git", f"127.0.0.1:{free_port()}"
        work = root / f"{name}.work"
        run("git", "init", "-q", "--bare", "-b", "main", self.bare)
        run("git", "clone", "-q", self.bare, work)
        (work / "alpine.yaml").write_text(MANIFEST)
        run("git", "-C", work, "add", "-A")
        identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.com"]
        run("git", "-C", work, *identity, "commit", "-qm", "The fleet as it is")
        run("git", "-C", work, "push", "-q", "origin", "HEAD:main")
        plugin = {
            "name": "scale-to-zero", "source": "bundled:scale-to-zero", "mode": "enforce",
            "grants": {"kinds": ["Deployment"], "namespaces": ["*"], "fields": ["/spec/replicas"]},
            "config": {"rules": ["Terminal shell in container"]},
        }
        document = {
            "server": {"listen": self.address}, "journal": {"dir": str(root / name)},
            "repository": {"url": f"file://{self.bare}"}, "plugins": [plugin],
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


def expect(what: str, right: bool, found):
    if not right:
        raise SystemExit(f"{what}: {json.dumps(found, indent=2)}")
    print(f"ok  {what}")


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
        cluster = Cluster(root)
        try:
            check(root, cluster, running)
        finally:
            for gateway in running:
                gateway.process.terminate()
                gateway.process.wait()
            cluster.stop()
            cluster.etcd.terminate()
            cluster.etcd.wait()


main()
