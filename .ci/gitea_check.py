"""An event becomes a commit on a real Gitea, and Gitea finds its signature right. Called by .ci/gitea."""

import base64
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from scene import EVENT, MANIFEST, PLUGIN, expect, free_port, run, until

PROGRAM, GITEA, SOURCE = sys.argv[1:]
MAIL = "riposte@example.com"
PASSWORD = "a-Long-0ne-for-loopback"


class Gitea:
    """A server with one user, riposte, on a loopback port of its own."""

    def __init__(self, root: pathlib.Path):
        self.root, self.port = root / "gitea", free_port()
        self.root.mkdir()
        self.url = f"http://127.0.0.1:{self.port}"
        (self.root / "app.ini").write_text(
            f"""
RUN_MODE = prod
RUN_USER = {run("id", "-un").strip()}
WORK_PATH = {self.root}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {self.port}
ROOT_URL = {self.url}/
STATIC_ROOT_PATH = {SOURCE}
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {self.root}/gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = {"s" * 40}
[repository]
ROOT = {self.root}/repositories
DEFAULT_BRANCH = main
[service]
DISABLE_REGISTRATION = true
[log]
MODE = console
LEVEL = warn
"""
        )
        # Gitea does not run as root, but for those who know what they do.
        self.environment = os.environ | {
            "GITEA_WORK_DIR": str(self.root), "HOME": str(self.root), "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT": "true",
        }
        self.command("migrate")
        self.command("admin", "user", "create", "--admin", "--username", "riposte", "--password", PASSWORD,
                     "--email", MAIL, "--must-change-password=false")
        log = open(root / "gitea.log", "w")
        command = [GITEA, "web", "--config", self.root / "app.ini"]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        until("Gitea", lambda: self.call("GET", "/version"))
        token = {"name": "gateway", "scopes": ["write:repository"]}
        self.token = self.call("POST", "/users/riposte/tokens", token)["sha1"]

    def command(self, *arguments):
        command = [GITEA, *arguments, "--config", self.root / "app.ini"]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        if done.returncode:
            raise SystemExit(f"{arguments}: {done.stdout}{done.stderr}")

    def call(self, method: str, path: str, body=None):
        headers = {"Content-Type": "application/json"}
        headers["Authorization"] = "Basic " + base64.b64encode(f"riposte:{PASSWORD}".encode()).decode()
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or "null")

    def repository(self, name: str):
        self.call("POST", "/user/repos", {"name": name, "auto_init": True, "default_branch": "main"})
        content = base64.b64encode(MANIFEST.encode()).decode()
        file = {"content": content, "message": "Run alpine", "branch": "main"}
        self.call("POST", f"/repos/riposte/{name}/contents/apps/alpine.yaml", file)

    def head(self, name: str) -> dict:
        return self.call("GET", f"/repos/riposte/{name}/commits?limit=1&stat=true&files=true&verification=true")[0]


class Gateway:
    def __init__(self, root: pathlib.Path, gitea: Gitea, name: str, signing: dict | None):
        self.address = f"127.0.0.1:{free_port()}"
        (root / "token").write_text(gitea.token)
        repository = {
            "url": f"{gitea.url}/riposte/{name}.git", "path": "apps",
            "auth": {"tokenFile": str(root / "token"), "username": "riposte"},
            "committer": {"name": "riposte", "email": MAIL},
        }
        if signing:
            repository["signing"] = signing
        document = {
            "server": {"listen": self.address}, "journal": {"dir": str(root / name)}, "coalesce": {"idleMs": 0},
            "repository": repository, "plugins": [PLUGIN],
        }
        config = root / f"{name}.json"
        config.write_text(json.dumps(document))
        run(PROGRAM, "check", "--config", config)
        log = open(root / f"{name}.log", "w")
        self.process = subprocess.Popen([PROGRAM, "serve", "--config", config], stdout=log, stderr=log)
        until("the gateway", lambda: urllib.request.urlopen(f"http://{self.address}/readyz"))

    def settled(self) -> dict:
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"http://{self.address}/", EVENT, headers)).read()

        def end():
            with urllib.request.urlopen(f"http://{self.address}/v1/events/1") as answer:
                reactions = json.loads(answer.read())["reactions"]
            return reactions and reactions[0]["outcome"] and reactions[0]

        return until("the end of the reaction", end)


def openpgp_key(root: pathlib.Path, gitea: Gitea) -> dict:
    home, key = root / "gnupg", root / "openpgp-key"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", "", "--armor"]
    run(*gpg, "--quick-generate-key", f"riposte <{MAIL}>", "ed25519", "sign", "never")
    key.write_text(run(*gpg, "--export-secret-keys", MAIL))
    gitea.call("POST", "/user/gpg_keys", {"armored_public_key": run(*gpg, "--export", MAIL)})
    run("gpgconf", "--homedir", home, "--kill", "all")
    return {"format": "openpgp", "keyFile": str(key)}


def ssh_key(root: pathlib.Path, gitea: Gitea) -> dict:
    key = root / "ssh-key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", MAIL, "-f", key)
    gitea.call("POST", "/user/keys", {"title": "gateway", "key": pathlib.Path(f"{key}.pub").read_text()})
    # A person would sign a word of Gitea's in a form of its pages, for it to believe that the key is theirs.
    with sqlite3.connect(gitea.root / "gitea.db") as database:
        database.execute("UPDATE public_key SET verified = 1")
    return {"format": "ssh", "keyFile": str(key)}


def check(root: pathlib.Path, gitea: Gitea, running: list):
    def reaction(name: str, signing: dict | None = None) -> dict:
        running.append(Gateway(root, gitea, name, signing))
        return running[-1].settled()

    for name, key in [("unsigned", None), ("openpgp", openpgp_key), ("ssh", ssh_key)]:
        gitea.repository(name)
        settled = reaction(name, key and key(root, gitea))
        expect(f"{name}: the change is committed", settled["outcome"] == "committed", settled)
        head = gitea.head(name)
        is_it = head["sha"] == settled["commit"]["sha"] and head["stats"]["total"] == 2
        expect("  and Gitea has it, one line out and one in", is_it, head)
        found = head["commit"]["verification"]
        expect(f"  and says that it is {'signed' if key else 'not signed'}", found["verified"] == bool(key), found)

    gitea.repository("protected")
    rule = {"rule_name": "main", "branch_name": "main", "enable_push": False}
    gitea.call("POST", "/repos/riposte/protected/branch_protections", rule)
    before, settled = gitea.head("protected")["sha"], reaction("protected")
    refused = settled["outcome"] == "failed" and "protected" in settled["reason"] and gitea.head("protected")["sha"] == before
    expect("a protected branch ends it with the server's words", refused, settled)
    print(f"    {settled['reason']}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        root, running = pathlib.Path(folder), []
        gitea = Gitea(root)
        try:
            check(root, gitea, running)
        except (SystemExit, urllib.error.HTTPError):
            print(*(path.read_text()[-4000:] for path in root.glob("*.log")), sep="\n")
            raise
        finally:
            for process in [*(gateway.process for gateway in running), gitea.process]:
                process.terminate()
                process.wait()


main()
