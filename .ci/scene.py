"""What the checks that run a gateway have in common: an event, the repository that it is about, a plugin."""

import json
import pathlib
import socket
import subprocess
import time
import urllib.error

EVENT = pathlib.Path("gateway/demo/terminal-shell.json").read_bytes()
MANIFEST = pathlib.Path("gateway/demo/apps/alpine.yaml").read_text()
PLUGIN = {
    "name": "scale-to-zero", "source": "bundled:scale-to-zero", "mode": "enforce",
    "grants": {"kinds": ["apps/v1/Deployment"], "namespaces": ["*"], "fields": ["/spec/replicas"]},
    "config": {"rules": ["Terminal shell in container"]},
}


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


def fleet(bare: pathlib.Path, work: pathlib.Path, files: dict) -> pathlib.Path:
    """A bare repository with these files, by way of a clone."""
    run("git", "init", "-q", "--bare", "-b", "main", bare)
    run("git", "clone", "-q", bare, work)
    for path, text in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(text)
    run("git", "-C", work, "add", "-A")
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.com"]
    run("git", "-C", work, *identity, "commit", "-qm", "The fleet as it is")
    run("git", "-C", work, "push", "-q", "origin", "HEAD:main")
    return bare


def expect(what: str, right: bool, found):
    if not right:
        raise SystemExit(f"{what}: {json.dumps(found, indent=2)}")
    print(f"ok  {what}")
