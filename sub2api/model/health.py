"""How an account fares: until when it rests, how full its windows are, what operators ruled."""

from __future__ import annotations

from typing import Literal

import msgspec


class Cooldown(msgspec.Struct, frozen=True):
    """An account's rest, as it is stored: a deadline, compared when it is read.

    `model` is the upstream model that rests, "" for the whole account. `failures` counts rests in a
    row without a success between them. Times are seconds since 1970.
    """

    account_id: int
    model: str
    cause: str
    since: float
    until: float
    failures: int = 1
    detail: str = ""


class UsageWindow(msgspec.Struct, frozen=True):
    """What a vendor last said of one of an account's usage windows (`5h`, `7d`).

    `utilization` is a share: 1.0 is all. `resets_at` and `seen_at` are seconds since 1970.
    `status` is the vendor's word (`allowed`, `allowed_warning`, `rejected`), "" for none.
    """

    name: str
    utilization: float
    resets_at: float
    seen_at: float
    status: str = ""


class RestRule(msgspec.Struct, frozen=True):
    """An operator's rule: an account that answers so rests for a while.

    It fits when the status is equal and any of `keywords` is in the first 64 KiB of the body, in
    any case.
    """

    status: int
    keywords: tuple[str, ...]
    minutes: int
    description: str = ""


class ErrorRule(msgspec.Struct, frozen=True):
    """An operator's rule on what clients are told of an upstream's refusal.

    The lowest `priority` that fits wins. `match` "any": a status of `statuses` or a keyword in the
    first 8 KiB of the body; "all": every kind of condition that is given. A rule without conditions
    never fits. `platforms` empty means all. `status` None passes the upstream's on; `message` None
    passes its message on.
    """

    id: int
    name: str
    priority: int = 100
    enabled: bool = True
    statuses: tuple[int, ...] = ()
    keywords: tuple[str, ...] = ()
    match: Literal["any", "all"] = "any"
    platforms: tuple[str, ...] = ()
    status: int | None = None
    message: str | None = None
