"""A real PgBouncer in front of a test's Postgres: every transaction may get another connection."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.postgres_server import PostgresServer, ordinary_user, own_folder
from tests.fakes.process import free_port

_START_SECONDS = 20
_SETTINGS = """
[databases]
* = host=127.0.0.1 port={server} user=tester
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
"""


@contextmanager
def running_pgbouncer(server: PostgresServer) -> Iterator[int]:
    """Run it as long as the block lasts, and give its port. Three connections serve everybody."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    program = shutil.which("pgbouncer", path=places)
    assert program, "These tests need pgbouncer, which `make test` installs (tools/services.sh)."
    port = free_port()
    with own_folder() as folder:
        settings = folder / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(server=server.port, port=port))
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [program, str(settings)], stdout=log, stderr=log, **ordinary_user()
            )
        try:
            ends = time.monotonic() + _START_SECONDS
            while not _listens(port):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < ends, "PgBouncer does not answer"
                time.sleep(0.02)
            yield port
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
