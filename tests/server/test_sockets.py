"""Sockets to listen on, and news for the service manager."""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sub2api.errors import SettingsError
from sub2api.server import sockets
from sub2api.settings import Settings
from sub2api.settings.supervision import Supervision
from tests.fakes.world import settings_for


def settings(directory: Path, port: int = 0, **environment: str) -> Settings:
    return settings_for(directory, SERVER_PORT=str(port), **environment)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_socket_is_bound_and_does_not_listen_yet(tmp_path: Path) -> None:
    (listener,) = sockets.listen(settings(tmp_path))
    with listener, socket.socket() as client:
        host, port = listener.getsockname()
        assert host == "127.0.0.1"
        assert port > 0
        with pytest.raises(ConnectionRefusedError):
            client.connect((host, port))
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        assert not listener.get_inheritable()
        unsent = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        assert unsent == 128 << 10, "a slow reader's reply waits here, not in the kernel"


def test_an_ipv6_address_is_listened_on(tmp_path: Path) -> None:
    try:
        (listener,) = sockets.listen(settings(tmp_path, SERVER_HOST="::1"))
    except SettingsError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert listener.family is socket.AF_INET6


def test_a_taken_port_is_named_in_the_error(tmp_path: Path, taken: int) -> None:
    with pytest.raises(SettingsError, match=rf"server\.port {taken} on 127\.0\.0\.1"):
        sockets.listen(settings(tmp_path, taken))


def test_the_next_release_may_listen_on_the_same_port(tmp_path: Path) -> None:
    (first,) = sockets.listen(settings(tmp_path, SERVER_REUSE_PORT="true"))
    with first:
        first.listen()
        port = first.getsockname()[1]
        (second,) = sockets.listen(settings(tmp_path, port, SERVER_REUSE_PORT="true"))
        with second:
            assert second.getsockname() == first.getsockname()
        with pytest.raises(SettingsError):
            sockets.listen(settings(tmp_path, port))


def test_sockets_that_were_handed_down_come_first(tmp_path: Path, taken: int) -> None:
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        handed = os.dup(ours.fileno())
        os.set_inheritable(handed, True)
        (listener,) = sockets.listen(settings(tmp_path, taken), (handed,))
        with listener:
            assert listener.fileno() == handed
            assert listener.getsockname() == ours.getsockname()
            assert not listener.get_inheritable()


def test_the_service_manager_hears_the_news(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        sockets.tell(Supervision(notify_socket=path), "READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_address_begins_with_an_at() -> None:
    name = f"sub2api-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        sockets.tell(Supervision(notify_socket="@" + name), "STOPPING=1")
        assert manager.recv(100) == b"STOPPING=1"


def test_a_service_manager_that_does_not_listen_is_no_error(tmp_path: Path) -> None:
    sockets.tell(Supervision(), "READY=1")
    sockets.tell(Supervision(notify_socket=str(tmp_path / "nobody")), "READY=1")
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        for _ in range(5000):  # until its queue is full, and on
            sockets.tell(Supervision(notify_socket=path), "WATCHDOG=1")
        assert manager.recv(100) == b"WATCHDOG=1"


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_as_many_files_may_be_open_as_clients_need(
    limits: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    hard = limits[1]
    assert hard > 1024, "this machine allows too few files for the test"
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    sockets.allow_files(300)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (856, hard)
    sockets.allow_files(10)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (856, hard)
    assert not caplog.records


def test_too_few_files_are_told(
    limits: tuple[int, int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft = limits[0]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    sockets.allow_files(soft)
    assert "max_connections" in caplog.text
    assert vars(caplog.records[0])["files"] == soft
