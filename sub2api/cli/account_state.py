"""How an account fares, as people read it: one word in a list, its rests and windows in tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import click

from sub2api.cli.output import moment, show, show_one
from sub2api.model.accounts import Account
from sub2api.model.health import Cooldown, UsageWindow
from sub2api.model.windows import zone_of

_DAY = 86400.0
_RESTS = ("scope", "cause", "since", "until", "failures", "detail")
_WINDOWS = ("window", "percent", "resets_at", "status", "seen_at")


def state_of(account: Account, rests: Sequence[Cooldown], *, now: float, timezone: str) -> str:
    """Return `active`, or why the account is not asked at `now` (`resting until 14:05`).

    A rest of single models leaves the account active. Clock times are those of `timezone`.
    """
    if account.status != "active":
        return account.status
    if account.expires_at is not None and now >= account.expires_at:
        return "expired"
    if not account.schedulable:
        return "paused"
    until = max((rest.until for rest in rests if not rest.model), default=0.0)
    if until > now:
        return f"resting until {_clock(until, now, timezone)}"
    return "active"


def _clock(until: float, now: float, timezone: str) -> str:
    form = "%H:%M" if until - now < _DAY else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(until, zone_of(timezone)).strftime(form)


def shown_rests(rests: Iterable[Cooldown]) -> list[dict[str, Any]]:
    """Return rows of rests; the scope is `account`, or the model that rests."""
    return [
        {
            "scope": rest.model or "account",
            "cause": rest.cause,
            "since": moment(rest.since),
            "until": moment(rest.until),
            "failures": rest.failures,
            "detail": rest.detail or None,
        }
        for rest in rests
    ]


def shown_windows(windows: Iterable[UsageWindow]) -> list[dict[str, Any]]:
    """Return rows of what the vendor last said of its windows, in per cent."""
    return [
        {
            "window": each.name,
            "percent": (Decimal(round(each.utilization * 1000)) / 10).normalize() + 0,
            "resets_at": moment(each.resets_at),
            "status": each.status or None,
            "seen_at": moment(each.seen_at),
        }
        for each in windows
    ]


def show_with_health(shown: dict[str, Any], *, as_json: bool) -> None:
    """Print an account; for people, its `rests` and `windows` are tables below it."""
    if as_json:
        show_one(shown, as_json=True)
        return
    rests, windows = shown.pop("rests"), shown.pop("windows")
    show_one(shown, as_json=False)
    for title, rows, columns in (("Rests", rests, _RESTS), ("Usage windows", windows, _WINDOWS)):
        if rows:
            click.echo(f"\n{title}:")
            show(rows, columns, as_json=False, empty="")
