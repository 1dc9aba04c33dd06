"""What a service manager puts into the environment of what it starts.

Sources: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

_FIRST_FD = 3


@dataclass(frozen=True, slots=True)
class Supervision:
    """`listen_fds` are sockets opened for us; `notify_socket` is where news go, "" for nowhere.

    `watchdog_seconds` is how often news are expected, 0 for never.
    """

    listen_fds: tuple[int, ...] = ()
    notify_socket: str = ""
    watchdog_seconds: float = 0.0


def supervision(environ: Mapping[str, str] = os.environ, pid: int = 0) -> Supervision:
    """Read what is meant for this process (`pid`, 0 = our own); inherited leftovers are not."""
    ours = str(pid or os.getpid())
    count = environ.get("LISTEN_FDS", "")
    meant = environ.get("LISTEN_PID") == ours and count.isdigit()
    period = environ.get("WATCHDOG_USEC", "")
    watched = period.isdigit() and environ.get("WATCHDOG_PID", ours) == ours
    return Supervision(
        listen_fds=tuple(range(_FIRST_FD, _FIRST_FD + int(count))) if meant else (),
        notify_socket=environ.get("NOTIFY_SOCKET", ""),
        watchdog_seconds=int(period) / 1e6 if watched else 0.0,
    )


def environment_for_child(**changes: str) -> dict[str, str]:
    """Return this process's environment with changes, for a program that it starts.

    What a service manager wants to hear from us, it must not hear from somebody else.
    """
    ours = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | changes
