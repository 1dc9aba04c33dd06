"""A real Postgres of a test's own: a free port, a temporary directory, nothing kept."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sub2api.store.migrate import migrate
from tests.fakes.process import free_port

_START_SECONDS = 30
_ROOM = 2 * 1024**3
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    # Databases are made from a template: without a checkpoint each, if it is small.
    "max_wal_size": "4GB",
}


class PostgresServer:
    """A server that can be stopped and started again on the same port, with its data."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._names = 0

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://tester:tester@127.0.0.1:{self.port}/{name}"

    def create(self) -> None:
        """Make the data directory."""
        self.folder.chmod(0o700)
        command = [program("initdb"), "-D", str(self.folder / "data"), "-U", "tester"]
        options = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run([*command, *options], capture_output=True, **ordinary_user())
        assert done.returncode == 0, done.stderr.decode()
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all guarded all scram-sha-256\n{rules.read_text()}")

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {**_SETTINGS, "unix_socket_directories": str(self.folder)}
        given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        data = str(self.folder / "data")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", data, "-p", str(self.port), *given],
                stdout=log,
                stderr=log,
                **ordinary_user(),
            )
        ends = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < ends, "Postgres does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once (as a crash would) and wait until it has ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def new_database(self, template: str = "template1") -> str:
        """Make a database and return its name."""
        self._names += 1
        name = f"test{self._names}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, name: str = "postgres") -> Any:
        """Run a statement and return its rows; blocks."""
        # In a thread of its own: an event loop may be running here.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._execute(statement, name)).result()

    async def _execute(self, statement: str, name: str) -> Any:
        connection = await asyncpg.connect(self.url(name))
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True


def program(name: str) -> str:
    """Return the path of a program of Postgres: Debian keeps them where nobody looks."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parts[-2]))
    places = [str(each) for each in newest[-1:]]
    found = shutil.which(name, path=os.pathsep.join([*places, os.environ.get("PATH", "")]))
    assert found, f"These tests need {name}, which `make test` installs (sh tools/services.sh)."
    return found


def ordinary_user() -> dict[str, Any]:
    """Return who Postgres is run as: it refuses root."""
    if os.getuid() != 0:
        return {}
    names = {each.pw_name: each for each in pwd.getpwall()}
    found = names.get("postgres", names["nobody"])
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


@contextmanager
def own_folder() -> Iterator[Path]:
    """Give a temporary directory that `ordinary_user` owns, in memory if there is room.

    On a disk, making a database takes ten times as long.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as folder:
        if who := ordinary_user():
            os.chown(folder, who["user"], who["group"])
        yield Path(folder)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server as long as the block lasts."""
    with own_folder() as folder:
        server = PostgresServer(folder)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for all tests of this process."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_name(postgres_server: PostgresServer) -> str:
    """The name of a migrated database, to be copied: migrating for every test takes its time."""
    name = postgres_server.new_database()
    asyncio.run(migrate(postgres_server.url(name)))
    return name


@pytest.fixture
def migrated_url(postgres_server: PostgresServer, migrated_name: str) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    name = postgres_server.new_database(migrated_name)
    yield postgres_server.url(name)
    postgres_server.drop(name)
