"""etcd and kube-apiserver on loopback, for the checks that ask a real API server."""

import base64
import json
import pathlib
import ssl
import subprocess
import urllib.request

from scene import free_port, run, until


class Cluster:
    """etcd and kube-apiserver on loopback, with a certificate authority of their own."""

    def __init__(self, root: pathlib.Path, programs: list):
        self.root, self.port = root, free_port()
        self.program, etcd = programs
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
                etcd, f"--data-dir={root}/etcd", f"--listen-client-urls=http://127.0.0.1:{client}",
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
                self.program, f"--etcd-servers={self.etcd_address}", f"--secure-port={self.port}",
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

    def end(self):
        self.stop()
        self.etcd.terminate()
        self.etcd.wait()
