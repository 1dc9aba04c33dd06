"""A clean home directory, its user, and the commands that are typed there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.updates.releases import Releases

ORDINARY = 12345 if os.geteuid() == 0 else os.geteuid()
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def system_python() -> str:
    """Return a Python that the built files are for and everybody may run."""
    minor = f"python3.{sys.version_info.minor}"
    for path in (f"/usr/bin/{minor}", f"/usr/local/bin/{minor}", sys.executable):
        if Path(path).exists():
            return os.path.realpath(path)
    raise AssertionError("there is no Python")


class Machine:
    """`home` is the user's; `run` types a line into a shell of theirs."""

    def __init__(self, home: Path, releases: Releases, user: int) -> None:
        self.home = home
        self.releases = releases
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._user = user
        self._served: subprocess.Popen[str] | None = None
        home.mkdir()
        os.chown(home, user, user)
        self.environment = {
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "PYTHON": system_python(),
            "SUB2API_RELEASE_URL": releases.url,
        }
        self.directory = home / ".local/lib/sub2api"
        self.log = home / "log"

    def _command(self, line: str, environment: dict[str, str]) -> list[str]:
        words = [f"{name}={value}" for name, value in (self.environment | environment).items()]
        become = ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups"]
        return [*(become if os.geteuid() == 0 else []), "env", "-i", *words, "sh", "-c", line]

    def run(self, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(line, environment), cwd="/", stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    def done(self, line: str, **environment: str) -> str:
        """Run a line that must succeed; return all that it said."""
        ran = self.run(line, **environment)
        assert ran.returncode == 0, (line, ran.stdout, ran.stderr)
        return ran.stdout + ran.stderr

    def refused(self, line: str, **environment: str) -> str:
        """Run a line that must fail with a sentence; return it."""
        ran = self.run(line, **environment)
        assert ran.returncode == 1, (line, ran.stdout, ran.stderr)
        assert "Traceback" not in ran.stderr
        return ran.stderr

    def installer(self, words: str, version: str = "0.9.0") -> str:
        """Return the line that a user pastes, with the installer of a release."""
        url = f"{self.releases.url}/v{version}/install.sh"
        return f"curl -fsSL {url} | sh -s -- {words}"

    def install(self, version: str) -> str:
        """Install a version, unattended."""
        return self.done(self.installer(f"-y -v {version} --port {self.port}"))

    def json(self, words: str) -> Any:
        ran = self.run(f"~/.local/bin/sub2api {words} --json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def serve(self, **environment: str) -> subprocess.Popen[str]:
        """Start the gateway; its launcher is the parent, as without a service manager."""
        with self.log.open("a") as log:
            self._served = subprocess.Popen(
                self._command("exec ~/.local/bin/sub2api serve", environment),
                cwd="/", stdout=log, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        return self._served

    def serving(self, **environment: str) -> None:
        self.serve(**environment)
        self.until(self.answers)

    def answers(self) -> bool:
        try:
            with _DIRECT.open(self.base_url + "/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def post(self, path: str, body: object, key: str) -> Any:
        """Send a request and return the open reply."""
        headers = {"content-type": "application/json", "x-api-key": key}
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.base_url + path, data, headers)  # noqa: S310  ours
        return _DIRECT.open(request, timeout=120)

    def stop(self) -> int:
        assert self._served is not None
        self._served.send_signal(signal.SIGTERM)
        return self._served.wait(60)

    def end(self) -> None:
        if self._served is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._served.pid, signal.SIGKILL)
            self._served.wait()

    def until(self, true: Callable[[], object], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            said = self.log.read_text() if self.log.exists() else ""
            assert time.monotonic() < deadline, said[-3000:]
            time.sleep(0.1)

    @property
    def current(self) -> str:
        """The current release's version."""
        name = (self.directory / "releases/current").readlink().name
        return name.removeprefix("sub2api-").partition("-")[0]

    def left(self) -> set[str]:
        """Return the files that are left in the home directory, from there."""
        found = (path for path in self.home.rglob("*") if not path.is_dir() or path.is_symlink())
        return {str(path.relative_to(self.home)) for path in found if path != self.log}
