"""Listening sockets, handed down by a service manager or our own, and what it wants to hear."""

from __future__ import annotations

import logging
import os
import resource
import socket

from sub2api.errors import SettingsError
from sub2api.settings import Settings
from sub2api.settings.supervision import Supervision

log = logging.getLogger(__name__)

_OTHER_FILES = 256
_MOST_UNSENT = 128 << 10
"""Bytes of a reply that the kernel takes before its client does. Left to itself it takes 4 MB for
each slow reader; a few hundred of those exhaust its memory, and every connection stalls."""


def listen(settings: Settings, inherited: tuple[int, ...] = ()) -> list[socket.socket]:
    """Return the sockets to accept on, bound but not listening yet.

    `inherited` descriptors come before `server.host` and `server.port`. Raises SettingsError when
    the port is taken.
    """
    server = settings.server
    if inherited:
        listeners = [_adopted(fd) for fd in inherited]
    else:
        listeners = [_bound(server.host, server.port, reuse=server.reuse_port)]
    for listener in listeners:
        _bound_unsent(listener)
    return listeners


def allow_files(connections: int) -> None:
    """Let this process open as many files as so many clients and their upstreams take.

    The usual soft limit (1,024) is far below `server.max_connections`. Logs a warning when the
    hard limit is too low.
    """
    wanted = 2 * connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (ValueError, OSError):  # macOS refuses more than the kernel's own maximum
        most = soft
    if most < wanted:
        log.warning(
            "fewer clients can be served than server.max_connections: too few files may be open",
            extra={"files": most, "wanted": wanted, "raise": "LimitNOFILE= or ulimit -n"},
        )


def tell(supervision: Supervision, state: str) -> None:
    """Send a state such as `READY=1`; a service manager that cannot be reached is ignored."""
    address = supervision.notify_socket
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as raw:
            raw.setblocking(False)
            raw.sendto(state.encode(), address)
    except OSError:
        return


def _bound_unsent(listener: socket.socket) -> None:
    """Bound what the kernel holds of a reply; connections take it over from their listener."""
    if listener.family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MOST_UNSENT)


def _adopted(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


def _bound(host: str, port: int, *, reuse: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"server.port {port} on {host} cannot be listened on: {error.strerror}. Choose "
            "another: SERVER_PORT or `sub2api serve --port`"
        ) from error
    return listener
