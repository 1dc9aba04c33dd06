"""A user's life with the product: install, first request, upgrade, rollback, uninstall."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sub2api.demo.script import Play
from sub2api.demo.upstream import DemoUpstream
from tests.install.conftest import FIRST, SECOND
from tests.install.machine import Machine
from tests.updates.releases import Releases

MESSAGE = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}
QUICK = {"UPDATE_CONFIRM_SECONDS": "2", "SUB2API_TRIAL_SECONDS": "20"}


@contextmanager
def slow_vendor() -> Iterator[str]:
    """Run a vendor whose streams take their time, on a loop of its own; give its base URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    vendor = DemoUpstream()
    try:
        asyncio.run_coroutine_threadsafe(vendor.start(), loop).result(30)
        vendor.always("slow", Play(text="one two three four five six seven eight", delay=1.0))
        vendor.always("quick", Play())
        yield vendor.base_url
    finally:
        asyncio.run_coroutine_threadsafe(vendor.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def prepared(machine: Machine, vendor: str, credential: str) -> str:
    """Add an account and a key; return the key's text."""
    machine.json(
        f"account add --platform anthropic --name mine --api-key {credential} --base-url {vendor}"
    )
    machine.json("key create --name laptop --text sk-a-key-for-the-tests")
    return "sk-a-key-for-the-tests"


def kept(machine: Machine) -> list[dict[str, Any]]:
    """Return accounts and keys, but for when they were used."""
    items = machine.json("account list")["items"] + machine.json("key list")["items"]
    return [{name: value for name, value in each.items() if name != "last_used"} for each in items]


def calls(machine: Machine) -> int:
    return len(machine.json("usage --recent 20")["items"])


def test_from_the_first_line_to_the_last(machine: Machine, server: Releases) -> None:
    machine.install(FIRST)
    assert "0.9.0\n* 0.8.0" in machine.done(machine.installer("list-versions"))
    machine.serving(**QUICK)
    with slow_vendor() as vendor:
        key = prepared(machine, vendor, "slow")
        machine.until(lambda: works(machine, key))
        before = kept(machine)

        with machine.post("/v1/messages", {**MESSAGE, "stream": True}, key) as stream:
            first = stream.readline()
            upgraded = threading.Thread(target=machine.done, args=("~/.local/bin/sub2api upgrade",))
            upgraded.start()
            rest = stream.read()
        assert b"message_start" in first
        assert b"message_stop" in rest
        upgraded.join()
        machine.until(machine.answers)
        assert machine.current == SECOND
        assert machine.json("version")["version"] == SECOND
        assert kept(machine) == before
        assert works(machine, key)

        machine.done(machine.installer("rollback"))
        assert machine.current == FIRST
        machine.until(machine.answers)
        assert machine.json("version")["version"] == FIRST
        assert kept(machine) == before
        assert works(machine, key)
        machine.until(lambda: calls(machine) == 4)

        machine.done(machine.installer("upgrade -y"))
        assert machine.current == SECOND
        assert works(machine, key)
    assert machine.stop() == 0
    machine.done(machine.installer("uninstall -y"))
    left = machine.left()
    assert ".local/share/sub2api/sub2api.db" in left
    assert all(path.startswith((".local/share/sub2api/", ".config/sub2api/")) for path in left)

    machine.install(SECOND)
    assert calls(machine) == 5
    machine.done(machine.installer("uninstall -y --purge"))
    assert machine.left() == set()


def works(machine: Machine, key: str) -> bool:
    try:
        with machine.post("/v1/messages", MESSAGE, key) as reply:
            return b'"text"' in reply.read()
    except OSError:
        return False


@pytest.mark.parametrize("language", ["en_US.UTF-8", "zh_CN.UTF-8"])
def test_it_speaks_two_languages(machine: Machine, language: str) -> None:
    said = machine.refused(machine.installer("upgrade"), LANG=language)
    assert ("nothing is installed" in said) == language.startswith("en")
    assert ("尚未安装" in said) == language.startswith("zh")


def test_installing_again_is_an_upgrade_and_keeps_settings(machine: Machine) -> None:
    machine.install(FIRST)
    config = machine.home / ".local/share/sub2api/config.yaml"
    config.write_text(config.read_text() + "log:\n  level: warning\n")
    assert "nothing to do" in machine.install(FIRST)
    said = machine.done(machine.installer("-y"))
    assert machine.current == SECOND
    assert "proves itself at the next start" in said
    assert "level: warning" in config.read_text()
    machine.serving(**QUICK)
    machine.until(lambda: not (machine.directory / "releases/pending.json").exists())
    assert machine.stop() == 0
