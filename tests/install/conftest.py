"""`make test-install` runs these; `make test` leaves them out: they build releases, for minutes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.install.machine import ORDINARY, Machine
from tests.updates.releases import KEY, Releases, release_server

ROOT = Path(__file__).resolve().parents[2]
FIRST, SECOND = "0.8.0", "0.9.0"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Only who names this folder gets it."""
    return None if any("install" in each for each in config.args) else True


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real releases of this source, as `make release` makes them.

    While writing tests, SUB2API_BUILT may name a directory that keeps them.
    """
    if kept := os.environ.get("SUB2API_BUILT"):
        if not Path(kept).exists():
            build_both(Path(kept))
        return Path(kept) / "releases"
    directory = tmp_path_factory.mktemp("built")
    build_both(directory)
    return directory / "releases"


def build_both(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    key = directory / "key.pem"
    key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for version in (FIRST, SECOND):
        subprocess.run(
            [sys.executable, ROOT / "tools" / "release.py", "--key", key, "--other-key",
             "--only", "here", "--version", version, "--output", directory / "releases"],
            check=True,
        )  # fmt: skip


@pytest.fixture
def server(built: Path) -> Iterator[Releases]:
    """A release server that offers both; a test may add more, and faults."""
    with release_server() as releases:
        for path in built.rglob("*"):
            if path.is_file() and path.name != "index.json":
                releases.files[f"/{path.relative_to(built)}"] = path.read_bytes()
        for version in (FIRST, SECOND):
            releases.list(version)
        yield releases


@pytest.fixture
def machine(server: Releases) -> Iterator[Machine]:
    """An ordinary user's clean home directory; pytest's own are closed to everybody but root."""
    with tempfile.TemporaryDirectory(prefix="sub2api-machine-") as name:
        Path(name).chmod(0o755)
        made = Machine(Path(name) / "home", server, ORDINARY)
        yield made
        made.end()
