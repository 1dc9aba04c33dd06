"""How long a rest lasts, and what the next failure makes of it. Pure functions."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from sub2api.model.health import Cooldown


class Rest(msgspec.Struct, frozen=True):
    """Why an account may not be asked now. `until` is in seconds since 1970.

    `model` is the upstream model that rests, "" for the whole account (or its proxy).
    `out_of_use`: it waits for an operator, not for `until`; that is only how long this process
    leaves it alone until the store says so. No client should be told to come again then.
    """

    until: float
    cause: str
    detail: str
    model: str
    out_of_use: bool = False


class Schedule(NamedTuple):
    """Seconds of the first rest, and of the longest; each failure in a row doubles the last."""

    first: float
    longest: float

    def after(self, failures: int) -> float:
        """Return the rest after that many failures in a row, in seconds."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 30))


SHORT = Schedule(5.0, 60.0)
"""For what is nobody's fault: 5xx, broken connections."""
_SCHEDULES = {
    "burst": Schedule(5.0, 300.0),
    "overloaded": Schedule(60.0, 600.0),
    "unreachable": SHORT,
    "window_5h": Schedule(300.0, 3600.0),
    "window_7d": Schedule(300.0, 3600.0),
    "quota": Schedule(300.0, 3600.0),
}
_OTHER = Schedule(60.0, 3600.0)


class Trouble(NamedTuple):
    """What begins a rest. `until` None, or a moment that is over, leaves it to the schedule."""

    cause: str
    until: float | None = None
    detail: str = ""
    schedule: Schedule | None = None


def following(
    last: Cooldown | None, key: tuple[int, str], trouble: Trouble, now: float
) -> Cooldown:
    """Return the rest of `key` (account, model) after a trouble; `last` itself if it stays.

    A rest is never shortened. Failures told while it runs are of calls that were under way when it
    began: they are the same failure, and make it no longer unless the vendor says so.
    """
    running = last is not None and now < last.until
    failures = 1
    if last is not None and last.cause == trouble.cause:
        failures = last.failures + (not running)
    end = trouble.until
    if end is None or end <= now:
        if last is not None and running and last.cause == trouble.cause:
            return last
        schedule = trouble.schedule or _SCHEDULES.get(trouble.cause, _OTHER)
        end = now + schedule.after(failures)
    if last is not None and running and end <= last.until:
        return last
    return Cooldown(
        account_id=key[0],
        model=key[1],
        cause=trouble.cause,
        since=now,
        until=end,
        failures=failures,
        detail=trouble.detail,
    )


def ended(rest: Cooldown, now: float) -> Cooldown:
    """Return how the end of a rest is stored: a success makes its failures none."""
    return msgspec.structs.replace(rest, since=now, until=min(now, rest.until), failures=0)
