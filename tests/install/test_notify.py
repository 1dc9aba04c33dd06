"""What the launcher starts speaks to a service manager: readiness, watchdog, stop."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from tests.install.conftest import FIRST, SECOND
from tests.install.machine import Machine

QUICK = {"UPDATE_CONFIRM_SECONDS": "2", "SUB2API_TRIAL_SECONDS": "40"}


class Manager:
    """A service manager's ear."""

    def __init__(self, directory: Path) -> None:
        self.address = str(directory / "notify")
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(self.address)
        Path(self.address).chmod(0o777)
        self._ear.settimeout(90)

    def hears(self, state: bytes) -> None:
        while self._ear.recv(100) != state:
            pass

    def close(self) -> None:
        self._ear.close()


def test_on_trial_and_confirmed_it_reports_readiness_and_life(machine: Machine) -> None:
    manager = Manager(machine.home.parent)
    machine.install(FIRST)
    told = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000", **QUICK}
    try:
        process = machine.serve(**told)
        manager.hears(b"READY=1")
        manager.hears(b"WATCHDOG=1")
        upgrade = threading.Thread(target=machine.done, args=("~/.local/bin/sub2api upgrade",))
        upgrade.start()
        # It ends by itself when there is another release; the manager starts the launcher again.
        manager.hears(b"STOPPING=1")
        assert process.wait(60) == 0
        machine.serve(**told)
        manager.hears(b"READY=1")
        manager.hears(b"WATCHDOG=1")
        upgrade.join()
        assert machine.current == SECOND
        assert machine.stop() == 0
        manager.hears(b"STOPPING=1")
    finally:
        manager.close()
