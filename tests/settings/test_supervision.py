"""What a service manager hands down, and to whom."""

from __future__ import annotations

import os

import pytest

from sub2api.settings.supervision import Supervision, supervision


def read(**environ: str) -> Supervision:
    return supervision(environ, pid=77)


def test_without_a_service_manager_there_is_nothing() -> None:
    assert read() == Supervision((), "", 0.0)


def test_sockets_begin_at_descriptor_three() -> None:
    assert read(LISTEN_FDS="2", LISTEN_PID="77").listen_fds == (3, 4)
    assert read(LISTEN_FDS="0", LISTEN_PID="77").listen_fds == ()


@pytest.mark.parametrize(
    "environ",
    [
        {"LISTEN_FDS": "2"},
        {"LISTEN_FDS": "2", "LISTEN_PID": "78"},
        {"LISTEN_FDS": "2", "LISTEN_PID": ""},
        {"LISTEN_FDS": "", "LISTEN_PID": "77"},
        {"LISTEN_FDS": "-1", "LISTEN_PID": "77"},
        {"LISTEN_FDS": "two", "LISTEN_PID": "77"},
    ],
)
def test_sockets_meant_for_somebody_else_are_left_alone(environ: dict[str, str]) -> None:
    assert read(**environ).listen_fds == ()


def test_the_news_go_where_the_service_manager_says() -> None:
    assert read(NOTIFY_SOCKET="@/run/x").notify_socket == "@/run/x"


def test_the_watchdogs_period_is_in_seconds() -> None:
    assert read(WATCHDOG_USEC="30000000").watchdog_seconds == 30.0
    assert read(WATCHDOG_USEC="1500000", WATCHDOG_PID="77").watchdog_seconds == 1.5


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "78"},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_PID": "77"},
    ],
)
def test_a_watchdog_meant_for_somebody_else_is_left_alone(environ: dict[str, str]) -> None:
    assert read(**environ).watchdog_seconds == 0.0


def test_this_process_is_meant_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    assert supervision(ours).listen_fds == (3,)
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/y")
    assert supervision().notify_socket == "/run/y"
