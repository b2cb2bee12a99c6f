"""Runs the gateway against Git servers on loopback and shows that each gets one right commit.

Every server is the real one. A server that is not the one that was named must be refused. The commits are
signed, by SSH and by OpenPGP keys, and git itself verifies them.
"""

import http.server
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request

PROGRAM = sys.argv[1]
EVENT = pathlib.Path("gateway/demo/terminal-shell.json").read_bytes()
COMMITTER = "riposte@example.com"
MANIFEST = pathlib.Path("gateway/demo/apps/alpine.yaml").read_text()


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def make_repository(root: pathlib.Path) -> pathlib.Path:
    bare, work = root / "fleet.git", root / "work"
    run("git", "init", "-q", "--bare", "-b", "main", bare)
    run("git", "-C", bare, "config", "http.receivepack", "true")
    run("git", "clone", "-q", bare, work)
    (work / "alpine.yaml").write_text(MANIFEST)
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.com"]
    run("git", "-C", work, "add", "-A")
    run("git", "-C", work, *identity, "commit", "-qm", "The fleet as it is")
    run("git", "-C", work, "push", "-q", "origin", "HEAD:main")
    return bare


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Backend(http.server.BaseHTTPRequestHandler):
    """git http-backend as a CGI program (RFC 3875), for one user."""

    protocol_version = "HTTP/1.1"
    root = pathlib.Path()

    def log_message(self, *_):
        pass

    def serve(self):
        if self.headers.get("Authorization") != "Basic cmlwb3N0ZTpzM2NyZXQ=":  # riposte:s3cret
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "riposte",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        backend = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
        head, _, content = backend.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = [int(value.split()[0]) for name, value in headers if name == "Status"]
        self.send_response(status[0] if status else 200)
        for name, value in headers:
            if name not in ("Status", "Content-Length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = serve


def start_https(root: pathlib.Path) -> int:
    key, certificate = root / "tls.key", root / "tls.crt"
    # One address is in it, so that ours is compared with it and found wrong.
    run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.2", "-keyout", key, "-out", certificate,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Https", (Backend,), {"root": root}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def start_sshd(root: pathlib.Path) -> tuple[int, subprocess.Popen]:
    for name in ("host_key", "user_key", "other_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / name)
    (root / "authorized_keys").write_text((root / "user_key.pub").read_text())
    port = free_port()
    (root / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {root}/host_key\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {root}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n"
    )
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", root / "sshd_config"], stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if "Server listening" in line:
            break
    threading.Thread(target=server.stderr.read, daemon=True).start()
    return port, server


def configure(root: pathlib.Path, name: str, url: str, auth: dict, signing: dict | None = None) -> pathlib.Path:
    path = root / f"{name}.yaml"
    repository = {"url": url, "auth": auth, "committer": {"name": "riposte", "email": COMMITTER}}
    if signing:
        repository["signing"] = signing
    document = {
        "server": {"listen": f"127.0.0.1:{free_port()}"},
        "journal": {"dir": str(root / name)},
        "repository": repository,
        "plugins": [
            {
                "name": "scale-to-zero",
                "source": "bundled:scale-to-zero",
                "mode": "enforce",
                "grants": {"kinds": ["apps/v1/Deployment"], "namespaces": ["default"], "fields": ["/spec/replicas"]},
                "config": {"rules": ["Terminal shell in container"]},
            }
        ],
    }
    path.write_text(json.dumps(document))  # JSON is YAML.
    return path


def check(config: pathlib.Path, environment: dict) -> tuple[int, str]:
    found = subprocess.run([PROGRAM, "check", "--config", config], capture_output=True, text=True, env=environment)
    return found.returncode, found.stdout + found.stderr


def event_becomes_commit(config: pathlib.Path, bare: pathlib.Path, environment: dict) -> None:
    address = json.loads(config.read_text())["server"]["listen"]
    command = [PROGRAM, "--log-format", "json", "serve", "--config", config]
    gateway = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        for line in gateway.stderr:
            if "the gateway is up" in line:
                break
        else:
            raise SystemExit("the gateway did not start")
        headers = {"Content-Type": "application/json", "User-Agent": "Falcosidekick"}
        request = urllib.request.Request(f"http://{address}/", data=EVENT, headers=headers)
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 202, answer.status
        for line in gateway.stderr:
            if "a reaction ended" in line:
                assert json.loads(line)["outcome"] == "committed", line
                break
    finally:
        gateway.terminate()
        assert gateway.wait() == 0, gateway.returncode
    shown = run("git", "-C", bare, "show", "--format=%s", "-U0", "main")
    assert shown.startswith("Scale default/alpine-deployment to 0: Terminal shell in container\n"), shown
    changed = [line for line in shown.splitlines() if line[:1] in ("+", "-") and line[:3] not in ("+++", "---")]
    assert len(changed) == 2 and changed[1].startswith("+  replicas: 0"), changed
    assert run("git", "-C", bare, "rev-list", "--count", "main").strip() == "2"


def forge(bare: pathlib.Path) -> str:
    """One byte of another commit's text, and it is nobody's signature."""
    raw = run("git", "-C", bare, "cat-file", "commit", "main").replace("Scale default", "Scale defiant", 1)
    return run("git", "-C", bare, "hash-object", "-t", "commit", "-w", "--stdin", input=raw).strip()


class Ssh:
    """Keys of ssh-keygen; git asks ssh-keygen, and a file tells whom to trust."""

    name = "ssh"

    def __init__(self, root: pathlib.Path):
        self.root = root

    def make(self, kind: str, name: str = "signing_key", passphrase: str = "") -> dict:
        size = {"ed25519": [], "rsa": ["-b", "3072"], "ecdsa": ["-b", "384"]}[kind]
        run("ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-f", self.root / name)
        return {"format": "ssh", "keyFile": str(self.root / name)}

    def check(self, bare: pathlib.Path) -> None:
        self.make("ed25519", "somebody")
        verify = ["git", "-C", bare, "-c", f"gpg.ssh.allowedSignersFile={self.root}/allowed", "verify-commit"]
        for trusted, expected in (("signing_key.pub", True), ("somebody.pub", False)):
            public = (self.root / trusted).read_text()
            (self.root / "allowed").write_text(f'{COMMITTER} namespaces="git" {public}')
            verified = subprocess.run([*verify, "main"], capture_output=True, text=True)
            assert (verified.returncode == 0) == expected, verified.stderr
            if expected:
                assert f'Good "git" signature for {COMMITTER}' in verified.stderr, verified.stderr
                assert subprocess.run([*verify, forge(bare)], capture_output=True).returncode != 0

    def end(self) -> None:
        pass


class Openpgp:
    """Keys of gpg; git asks gpg, and a keyring tells whose they are."""

    name = "openpgp"

    def __init__(self, root: pathlib.Path):
        self.root = root

    def gpg(self, home: str, *arguments, passphrase: str = "") -> str:
        folder = self.root / f"gnupg-{home}"
        folder.mkdir(mode=0o700, exist_ok=True)
        quiet = ["--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", passphrase]
        return run("gpg", *quiet, *arguments, env=os.environ | {"GNUPGHOME": str(folder)})

    def make(self, kind: str, name: str = "signing_key", passphrase: str = "") -> dict:
        # Of the Ed25519 key the gateway gets a subkey only.
        algorithm, usage = {"ed25519": ("ed25519", "cert"), "rsa": ("rsa3072", "sign"), "ecdsa": ("nistp384", "sign")}[kind]
        user = f"riposte <{COMMITTER}>"
        self.gpg(name, "--quick-generate-key", user, algorithm, usage, "never", passphrase=passphrase)
        export = "--export-secret-keys"
        if usage == "cert":
            listed = self.gpg(name, "--with-colons", "--list-keys")
            fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
            self.gpg(name, "--quick-add-key", fingerprint, "ed25519", "sign", "1y", passphrase=passphrase)
            export = "--export-secret-subkeys"
        (self.root / name).write_text(self.gpg(name, "--armor", export, passphrase=passphrase))
        (self.root / f"{name}.pub").write_text(self.gpg(name, "--armor", "--export"))
        return {"format": "openpgp", "keyFile": str(self.root / name)}

    def check(self, bare: pathlib.Path) -> None:
        self.make("ed25519", "somebody")
        verify = ["git", "-C", bare, "verify-commit"]
        environment = os.environ | {"GNUPGHOME": str(self.root / "gnupg-reader")}
        for known, expected in (("somebody.pub", False), ("signing_key.pub", True)):
            self.gpg("reader", "--import", self.root / known)
            verified = subprocess.run([*verify, "main"], capture_output=True, text=True, env=environment)
            assert (verified.returncode == 0) == expected, verified.stderr
            if expected:
                assert f'Good signature from "riposte <{COMMITTER}>"' in verified.stderr, verified.stderr
                forged = subprocess.run([*verify, forge(bare)], capture_output=True, text=True, env=environment)
                assert forged.returncode != 0 and "BAD signature" in forged.stderr, forged.stderr

    def end(self) -> None:
        for home in self.root.glob("gnupg-*"):
            run("gpgconf", "--kill", "all", env=os.environ | {"GNUPGHOME": str(home)})


def over_ssh(root: pathlib.Path, keys: Ssh | Openpgp) -> None:
    bare = make_repository(root)
    port, server = start_sshd(root)
    try:
        known, wrong = root / "known_hosts", root / "wrong_hosts"
        host = f"[127.0.0.1]:{port} "
        known.write_text(host + (root / "host_key.pub").read_text())
        wrong.write_text(host + (root / "other_key.pub").read_text())
        user = run("id", "-un").strip()
        url = f"ssh://{user}@127.0.0.1:{port}{bare}"
        auth = lambda key, hosts: {"sshKeyFile": str(root / key), "knownHostsFile": str(hosts)}
        environment = dict(os.environ)
        status, said = check(configure(root, "impostor", url, auth("user_key", wrong)), environment)
        assert status == 1 and "cannot be trusted" in said, said
        status, said = check(configure(root, "stranger", url, auth("other_key", known)), environment)
        assert status == 1 and "does not accept the credentials" in said, said
        config = configure(root, "ssh", url, auth("user_key", known), keys.make("ed25519"))
        status, said = check(config, environment)
        assert status == 0, said
        event_becomes_commit(config, bare, environment)
        keys.check(bare)
    finally:
        server.terminate()
        server.wait()


def over_https(root: pathlib.Path, keys: Ssh | Openpgp) -> None:
    bare = make_repository(root)
    port = start_https(root)
    token = root / "token"
    token.write_text("s3cret\n")
    auth = {"tokenFile": str(token), "username": "riposte"}
    trusting = os.environ | {"SSL_CERT_FILE": str(root / "tls.crt")}
    trusting.pop("SSL_CERT_DIR", None)
    config = configure(root, "https", f"https://localhost:{port}/fleet.git", auth, keys.make("rsa"))
    status, said = check(config, dict(os.environ))
    assert status == 1 and "cannot be trusted" in said, said
    status, said = check(configure(root, "other-name", f"https://127.0.0.1:{port}/fleet.git", auth), trusting)
    assert status == 1 and "cannot be trusted" in said, said
    status, said = check(config, trusting)
    assert status == 0, said
    event_becomes_commit(config, bare, trusting)
    keys.check(bare)


def at_file(root: pathlib.Path, keys: Ssh | Openpgp) -> None:
    bare = make_repository(root)
    protected = keys.make("rsa", "protected", "a passphrase")
    url, environment = f"file://{bare}", dict(os.environ)
    status, said = check(configure(root, "protected-key", url, {}, protected), environment)
    assert status == 1 and "passphrase" in said, said
    config = configure(root, "file", url, {}, keys.make("ecdsa"))
    status, said = check(config, environment)
    assert status == 0, said
    event_becomes_commit(config, bare, environment)
    keys.check(bare)


for way in (over_ssh, over_https, at_file):
    for kind in (Ssh, Openpgp):
        with tempfile.TemporaryDirectory() as directory:
            keys = kind(pathlib.Path(directory))
            try:
                way(keys.root, keys)
            finally:
                keys.end()
        how = f"{way.__name__.replace('_', ' ')}, signed with {kind.name}"
        print(f"ok  an event became a commit {how}; what is wrong was refused")
