"""A release server on this machine, with releases that are small scripts, and faults on request."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sub2api import __version__
from sub2api.clock import Clock
from sub2api.settings import Settings, load
from sub2api.updates.installation import Installation
from sub2api.updates.source import source_of
from sub2api.updates.updater import Offer, Progress, Updater

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"
SYSTEM, MACHINE = platform.system().lower(), platform.machine().lower()

WORKS = """
import json, os, pathlib, sys
if "version" in sys.argv:
    print(json.dumps({"version": "VERSION"}))
else:
    place = pathlib.Path(sys.argv[sys.argv.index("--data-dir") + 1])
    mark = pathlib.Path(place.parent.parent) / "tried"
    found = sorted(path.name for path in place.iterdir())
    mark.write_text(json.dumps([found, os.environ["DATABASE_URL"]]))
    print(json.dumps({"items": [
        {"check": "database", "verdict": "DATABASE", "found": "cannot be migrated", "advice": ""},
        {"check": "account x", "verdict": "fail", "found": "its own trouble", "advice": ""},
    ]}))
"""
CRASHES = "raise SystemExit('no module named nothing')"


def file_name(version: str) -> str:
    return f"sub2api-{version}-{PYTHON}-{SYSTEM}_{MACHINE}.pyz"


def script(version: str, source: str = WORKS, database: str = "ok") -> bytes:
    return source.replace("VERSION", version).replace('DATABASE"', f'{database}"').encode()


class Releases:
    """What the server offers; `files` by path, `faults` change the next answers."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.listed: list[dict[str, object]] = []
        self.cut_after: dict[str, int] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.ranges = True
        self.url = ""

    def add(self, version: str, content: bytes | None = None, *, channel: str = "stable") -> str:
        name = file_name(version)
        content = script(version) if content is None else content
        digest = hashlib.sha256(content).hexdigest()
        artefact = {
            "name": name, "size": len(content), "sha256": digest,
            "python": PYTHON, "system": SYSTEM, "machine": MACHINE,
        }  # fmt: skip
        about = {
            "version": version, "channel": channel, "schema": "0001", "minimum_schema": "0001",
            "artefacts": [artefact],
        }  # fmt: skip
        self.files[f"/v{version}/{name}"] = content
        self.files[f"/v{version}/release.json"] = json.dumps(about).encode()
        self.sign(version)
        self.list(version, channel)
        return name

    def list(self, version: str, channel: str = "stable") -> None:
        self.listed.append({"tag_name": f"v{version}", "prerelease": channel == "edge"})
        self.files["/index.json"] = json.dumps(self.listed).encode()

    def sign(self, version: str, key: Ed25519PrivateKey = KEY) -> None:
        folder = f"/v{version}/"
        lines = "".join(
            f"{hashlib.sha256(data).hexdigest()}  {path.removeprefix(folder)}\n"
            for path, data in sorted(self.files.items())
            if path.startswith(folder) and "checksums" not in path
        ).encode()
        self.files[folder + "checksums.txt"] = lines
        self.files[folder + "checksums.txt.sig"] = key.sign(lines)


def _handler(releases: Releases) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("range", "")
            releases.asked.append((self.path, asked))
            if target := releases.redirects.get(self.path):
                self.send_response(302)
                self.send_header("location", target)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            data = releases.files.get(self.path)
            begin = int(asked.removeprefix("bytes=").rstrip("-") or 0) if releases.ranges else 0
            body = b"" if data is None else data[begin:]
            self.send_response(404 if data is None else 206 if begin else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            cut = releases.cut_after.pop(self.path, None)
            self.wfile.write(body if cut is None else body[:cut])
            self.close_connection = cut is not None

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def release_server() -> Iterator[Releases]:
    releases = Releases()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(releases))
    releases.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield releases
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Desk:
    """An installation of this version, and an updater on it."""

    def __init__(self, directory: Path, releases: Releases) -> None:
        self.directory = directory
        self.releases = releases
        self.installation = Installation(directory / "opt")
        self.installation.releases.mkdir(parents=True)
        self.running = file_name(__version__)
        (self.installation.releases / self.running).write_bytes(script(__version__))
        (self.installation.releases / "current").symlink_to(self.running)
        self.news: list[Progress] = []
        self.keys: tuple[bytes, ...] = (PUBLIC,)

    def settings(self, **environment: str) -> Settings:
        environ = {
            "RUN_MODE": "simple",
            "DATA_DIR": str(self.directory / "data"),
            "UPDATE_DIRECTORY": str(self.installation.directory),
            "UPDATE_RELEASE_URL": self.releases.url,
            **environment,
        }
        return load(environ=environ)

    async def update(self, version: str = "", *, downgrade: bool = False) -> Offer:
        settings = self.settings()
        async with source_of(settings, Clock()) as source:
            updater = Updater(settings, Clock(), source, self.news.append, self.keys)
            offer = await updater.check("stable", version)
            await updater.update(offer, downgrade=downgrade)
            return offer

    async def check(self, channel: str = "stable", version: str = "") -> Offer:
        settings = self.settings()
        async with source_of(settings, Clock()) as source:
            updater = Updater(settings, Clock(), source, self.news.append, self.keys)
            return await updater.check("edge" if channel == "edge" else "stable", version)

    async def roll_back(self, version: str = "") -> str:
        settings = self.settings()
        async with source_of(settings, Clock()) as source:
            updater = Updater(settings, Clock(), source, self.news.append, self.keys)
            return await updater.roll_back(version)

    def unchanged(self) -> bool:
        """Whether what ran still runs, and nothing half-done can be taken for a release."""
        return (
            self.installation.current() == self.running
            and self.installation.pending() is None
            and self.installation.all() == [self.running]
        )
