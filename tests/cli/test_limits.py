"""Limits and health on the command line."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest

from sub2api.cli.account_state import state_of
from sub2api.clock import Clock
from sub2api.model.accounts import Account
from sub2api.model.health import Cooldown, UsageWindow
from sub2api.model.usage import UsageRow
from sub2api.store import health, spending
from sub2api.store.database import Database
from tests.fakes.shell import Shell

ADD = ("account", "add", "--platform", "anthropic", "--name", "mine", "--api-key", "k-1")
NOW = Clock().now()


def write(shell: Shell, *rests: Cooldown, windows: Sequence[UsageWindow] = ()) -> None:
    """Do what a running gateway does: note how account 1 fares."""

    async def save() -> None:
        database = await Database.open(f"sqlite:///{shell.directory / 'sub2api.db'}")
        async with database.transaction() as connection:
            await health.save_cooldowns(connection, rests)
            await health.save_windows(connection, 1, windows)
        await database.close()

    asyncio.run(save())


def spend(shell: Shell, nanodollars: int, key_id: int = 1) -> None:
    """Book a call of now."""
    row = UsageRow(
        call_id="c",
        started_at=Clock().now(),
        user_id=1,
        key_id=key_id,
        key_name="k",
        wire="chat",
        operation="generate",
        model="m",
        cost=nanodollars,
    )

    async def save() -> None:
        database = await Database.open(f"sqlite:///{shell.directory / 'sub2api.db'}")
        async with database.transaction() as connection:
            await spending.book(connection, [row])
        await database.close()

    asyncio.run(save())


def test_limits_of_an_account_are_set_shown_and_kept(ready: Shell) -> None:
    made = ready.json(
        *(*ADD, "--rpm", "5", "--cost-day", "0.000000001", "--max-sessions", "2"),
        *("--window-cost-limit", "20", "--window-cost-reserve", "2.50", "--adaptive-concurrency"),
        *("--rest-rule", "403:credit,out: of:60", "--custom-error-codes", "401,403"),
    )
    assert made["limits"] == {"rpm": 5, "cost_day": 1e-9}
    assert (made["max_sessions"], made["session_idle_minutes"]) == (2, 5)
    assert (made["window_cost_limit"], made["window_cost_reserve"]) == (20, 2.5)
    assert made["rest_rules"] == ["403:credit,out: of:60"]
    assert made["custom_error_codes"] == [401, 403]
    assert made["adaptive_concurrency"] is True
    changed = ready.json(
        *("account", "update", "mine", "--rpm", "0", "--tpm", "9", "--no-rest-rules"),
        *("--custom-error-codes", "", "--no-adaptive-concurrency", "--session-idle-minutes", "7"),
    )
    assert changed["limits"] == {"tpm": 9, "cost_day": 1e-9}
    assert (changed["rest_rules"], changed["custom_error_codes"]) == ([], None)
    assert (changed["adaptive_concurrency"], changed["session_idle_minutes"]) == (False, 7)
    assert ready.json("account", "update", "mine", "--notes", "n")["limits"] == changed["limits"]
    assert "tpm=9, cost_day=0.000000001" in ready("account", "show", "mine").output


def test_an_account_is_paused_and_resumed(ready: Shell) -> None:
    ready.json(*ADD)
    assert ready.json("account", "pause", "mine")["schedulable"] is False
    assert ready.json("account", "list")["items"][0]["state"] == "paused"
    assert "paused" in ready("account", "list").output
    assert ready.json("account", "resume", "mine")["schedulable"] is True
    assert ready.json("account", "show", "mine")["state"] == "active"


def test_enabling_forgets_the_error_that_put_an_account_out_of_use(ready: Shell) -> None:
    ready.json(*ADD)
    with sqlite3.connect(ready.directory / "sub2api.db") as plain:
        plain.execute("UPDATE accounts SET status = 'error', error_message = 'invalid key'")
    plain.close()
    assert ready.json("account", "list")["items"][0]["state"] == "error"
    enabled = ready.json("account", "enable", "mine")
    assert (enabled["status"], enabled["error"]) == ("active", None)


def test_rests_and_windows_are_shown_and_rests_are_cleared(ready: Shell) -> None:
    ready.json(*ADD)
    write(
        ready,
        Cooldown(1, "", "burst", NOW - 5, NOW + 600, failures=2, detail="slow down"),
        Cooldown(1, "opus", "quota", NOW - 5, NOW + 900),
        Cooldown(1, "old", "quota", NOW - 9, NOW - 5),
        windows=[UsageWindow("5h", 0.456, NOW + 60, NOW, "allowed"), UsageWindow("7d", 1, NOW, 1)],
    )
    assert ready.json("account", "list")["items"][0]["state"].startswith("resting until ")
    shown = ready.json("account", "show", "mine")
    assert [(each["scope"], each["cause"]) for each in shown["rests"]] == [
        ("account", "burst"),
        ("opus", "quota"),
    ]
    assert [(each["window"], each["percent"]) for each in shown["windows"]] == [
        ("5h", 45.6),
        ("7d", 100),
    ]
    text = ready("account", "show", "mine").output
    for word in ("Rests:", "slow down", "Usage windows:", "45.6", "100", "RESETS AT"):
        assert word in text
    cleared = ready("account", "clear-cooldown", "mine").output
    assert "Cleared: account (burst), was to rest until" in cleared
    assert "Cleared: opus (quota)" in cleared
    assert ready.json("account", "list")["items"][0]["state"] == "active"
    assert "was not resting" in ready("account", "clear-cooldown", "mine").output
    assert ready.json("account", "clear-cooldown", "mine") == {"name": "mine", "cleared": []}
    assert "Rests:" not in ready("account", "show", "mine").output


@pytest.mark.parametrize(
    ("fields", "rests", "state"),
    [
        ({}, (), "active"),
        ({}, (Cooldown(1, "m", "burst", 0, 9000),), "active"),
        ({}, (Cooldown(1, "", "burst", 0, 999),), "active"),
        ({}, (Cooldown(1, "", "burst", 0, 4600),), "resting until 02:16"),
        ({}, (Cooldown(1, "", "burst", 0, 90_000),), "resting until 1970-01-02 02:00"),
        ({"expires_at": 1000}, (), "expired"),
        ({"schedulable": False}, (Cooldown(1, "", "burst", 0, 4600),), "paused"),
        ({"status": "disabled", "schedulable": False}, (), "disabled"),
        ({"status": "error"}, (), "error"),
    ],
)
def test_the_state_is_the_first_reason_that_holds(
    fields: dict[str, Any], rests: tuple[Cooldown, ...], state: str
) -> None:
    account = Account(id=1, name="a", platform="openai", **fields)
    assert state_of(account, rests, now=1000, timezone="Europe/Berlin") == state


def test_groups_have_limits_and_routes(ready: Shell) -> None:
    ready.json(*ADD)
    made = ready.json(
        *("group", "add", "--name", "g", "--platform", "anthropic", "--concurrency", "3"),
        *("--rpm", "7", "--route", "opus-*=mine", "--first-byte-timeout", "2.5"),
    )
    assert (made["concurrency"], made["limits"]) == (3, {"rpm": 7})
    assert (made["routes"], made["first_byte_timeout"]) == ({"opus-*": "mine"}, 2.5)
    changed = ready.json(
        *("group", "update", "g", "--cost-month", "9", "--route", "opus-*=", "--route", "*=1"),
        *("--first-byte-timeout", "default"),
    )
    assert changed["limits"] == {"rpm": 7, "cost_month": 9}
    assert (changed["routes"], changed["first_byte_timeout"]) == ({"*": "mine"}, None)
    assert ready.json("group", "show", "g")["routes"] == {"*": "mine"}
    assert ready.json("group", "update", "g", "--name", "h")["routes"] == {"*": "mine"}


def test_a_key_shows_what_it_spent_of_its_limits(ready: Shell) -> None:
    made = ready.json("key", "create", "k", "--cost-day", "10", "--quota", "100", "--rpm", "6")
    assert (made["limits"], made["quota"]) == ({"rpm": 6, "cost_day": 10}, 100)
    spend(ready, 1_500_000_000)
    day, quota = ready.json("key", "show", "k")["spent"]
    assert (day["window"], day["limit"], day["spent"]) == ("day", 10, 1.5)
    assert (quota["window"], quota["spent"], quota["until"]) == ("quota", 1.5, None)
    assert "1.5" in ready("key", "show", "k").output.split("WINDOW")[1]
    changed = ready.json(
        *("key", "update", "k", "--cost-day", "0", "--quota", "0", "--name", "n", "--expires", "1d")
    )
    assert (changed["name"], changed["limits"], changed["quota"]) == ("n", {"rpm": 6}, 0)
    assert changed["expires"] is not None
    assert ready.json("key", "show", "n")["spent"] == []
    assert "WINDOW" not in ready("key", "show", "n").output


def test_the_owner_has_limits_of_all_keys_together(ready: Shell) -> None:
    assert ready.json("limit", "show")["limits"] == {}
    changed = ready.json("limit", "set", "--concurrency", "4", "--cost-month", "20")
    assert (changed["concurrency"], changed["limits"]) == (4, {"cost_month": 20})
    spend(ready, 250_000_000, key_id=9)
    [month] = ready.json("limit", "set", "--rpm", "3")["spent"]
    assert (month["window"], month["spent"]) == ("month", 0.25)
    assert ready.json("limit", "show")["limits"] == {"rpm": 3, "cost_month": 20}
    assert "0.25" in ready("limit", "show").output


def test_error_rules_are_managed(ready: Shell) -> None:
    assert "No error rules" in ready("error-rule", "list").output
    made = ready.json(
        *("error-rule", "add", "--name", "busy", "--statuses", "529,503", "--keyword", "full"),
        *("--platform", "anthropic", "--match", "all", "--priority", "5"),
        *("--answer-status", "503", "--answer-message", "Soon."),
    )
    assert (made["statuses"], made["keywords"], made["match"]) == ([529, 503], ["full"], "all")
    assert (made["answer_status"], made["answer_message"]) == (503, "Soon.")
    changed = ready.json(
        *("error-rule", "update", "busy", "--disable", "--answer-status", "", "--keyword", ""),
        *("--answer-message", "", "--platform", "", "--name", "b2"),
    )
    assert (changed["enabled"], changed["answer_status"], changed["answer_message"]) == (
        False,
        None,
        None,
    )
    assert (changed["keywords"], changed["platforms"], changed["statuses"]) == ([], [], [529, 503])
    assert "529, 503" in ready("error-rule", "list").output
    assert ready.json("error-rule", "remove", "b2")["name"] == "b2"
    assert ready.json("error-rule", "list")["items"] == []
