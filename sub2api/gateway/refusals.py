"""What a call is told that did not come in: which limit, or why there is no account for it."""

from __future__ import annotations

from typing import Protocol

from sub2api.errors import (
    INVALID,
    NO_PREVIOUS_RESPONSE,
    NOT_FOUND,
    OVERLOADED,
    QUOTA_USED_UP,
    RATE_LIMITED,
    ClientError,
)
from sub2api.gateway.parts import Parts
from sub2api.live.interfaces import Refused
from sub2api.model.accounts import PlatformName
from sub2api.model.callers import Caller

_BUSY_RETRY_SECONDS = 5.0
_EMPTY_SECONDS = 1.0
_MOST_EMPTY = 1024
_OVERLOADS = frozenset({"overloaded", "unreachable", "stalled"})
_PERIODS = {
    "5h": "the cost limit per 5 hours",
    "day": "the cost limit per day",
    "week": "the cost limit per week",
    "month": "the cost limit per month",
    "quota": "the quota",
}


class Wanted(Protocol):
    """What was asked for."""

    @property
    def caller(self) -> Caller:
        """Who asked."""
        ...

    @property
    def platforms(self) -> tuple[PlatformName, ...]:
        """The vendors that would do."""
        ...

    @property
    def model(self) -> str:
        """The client's name of the model."""
        ...

    @property
    def only(self) -> int:
        """The one account that can honour it, 0 for any."""
        ...


def is_limit_of_caller(refused: Refused) -> bool:
    """Whether a window or budget of the call's own user or key refused it: waiting is no help."""
    kind, _, rest = refused.full.partition(":")
    return kind in {"rpm", "tpm", "cost"} and rest.partition(":")[0] in {"user", "key"}


def limit(refused: Refused) -> ClientError:
    """Return the refusal of a call beyond a limit of its user or key."""
    kind, noun, *rest = refused.full.split(":")
    whose = "this API key" if noun == "key" else "your account here"
    if kind == "cost":
        what = _PERIODS[rest[1]]
        again = "It begins anew with the next period." if rest[1] != "quota" else ""
        return ClientError(
            f"{what[0].upper()}{what[1:]} of {whose} is used up. {again}".rstrip(),
            status=402,
            kind=QUOTA_USED_UP,
            retry_after=refused.retry_after,
            retry_helps=False,
        )
    unit = "requests" if kind == "rpm" else "tokens"
    return ClientError(
        f"The limit on {unit} per minute of {whose} is reached. Try again shortly.",
        status=429,
        kind=RATE_LIMITED,
        retry_after=refused.retry_after,
    )


def busy(refused: Refused) -> ClientError:
    """Return the refusal of a call that found no place in time."""
    kind = refused.full.partition(":")[0]
    whose = {
        "key": "this API key's concurrent calls",
        "user": "your concurrent calls",
    }.get(kind, "the calls of every account that serves this model")
    said = "too many calls are waiting already" if refused.queue_full else "no place became free"
    return ClientError(
        f"The limit on {whose} is reached and {said}. Try again shortly.",
        status=429,
        kind=RATE_LIMITED,
        retry_after=refused.retry_after or _BUSY_RETRY_SECONDS,
    )


def nobody(parts: Parts, wanted: Wanted) -> ClientError:
    """Return the refusal of a call that no account can take now."""
    if wanted.only:
        return _bound(parts, wanted)
    reachable = parts.catalogue.accounts_for(wanted.caller, wanted.platforms)
    if not reachable:
        return _no_accounts(wanted.platforms)
    now = parts.clock.now()
    if not any(each.account.is_usable(now) for each in reachable):
        return _out_of_use()
    if not parts.catalogue.having(wanted.caller, wanted.platforms, wanted.model):
        return ClientError(
            f"The model {wanted.model[:128]!r} is not served by any account of this API key. "
            "GET /v1/models lists those that are.",
            status=404,
            kind=NOT_FOUND,
            param="model",
            retry_helps=False,
        )
    causes, ends = _rests(parts, wanted, now)
    if not causes:
        return _out_of_use()
    overloaded = causes <= _OVERLOADS
    return ClientError(
        "Every account that serves this model is at rest for a while. Try again later.",
        status=529 if overloaded else 429,
        kind=OVERLOADED if overloaded else RATE_LIMITED,
        retry_after=max(1.0, ends - now) if ends else _BUSY_RETRY_SECONDS,
    )


def _bound(parts: Parts, wanted: Wanted) -> ClientError:
    """Return the refusal of a call that only one account could have honoured."""
    now = parts.clock.now()
    having = parts.catalogue.having(wanted.caller, wanted.platforms, wanted.model)
    mine = next((each for each in having if each.account.id == wanted.only), None)
    if mine is None:
        return ClientError(
            "Previous response not found: the account that gave it is gone.",
            status=400,
            kind=NO_PREVIOUS_RESPONSE,
            param="previous_response_id",
            retry_helps=False,
        )
    rest = parts.health.rest_of(mine.account, mine.upstream_model, now)
    if not mine.account.is_usable(now) or (rest is not None and rest.out_of_use):
        return _out_of_use()
    overloaded = rest is not None and rest.cause in _OVERLOADS
    return ClientError(
        "The account that this conversation is kept with is at rest for a while. Try again later.",
        status=529 if overloaded else 429,
        kind=OVERLOADED if overloaded else RATE_LIMITED,
        retry_after=_BUSY_RETRY_SECONDS if rest is None else max(1.0, rest.until - now),
    )


def _rests(parts: Parts, wanted: Wanted, now: float) -> tuple[frozenset[str], float]:
    """Return why the accounts rest ("" for another reason), and when the first of them is ready.

    Nothing of those that wait for an operator. The answer is good for a second: a storm of calls
    on an empty pool looks at its accounts once.
    """
    caller, platforms, model = wanted.caller, wanted.platforms, wanted.model
    asked = (caller.key.group_ids, platforms, model)
    known = parts.catalogue.snapshot.empty.get(asked)
    if known is not None and known[0] > now:
        return known[1], known[2]
    causes: set[str] = set()
    ends: list[float] = []
    for each in parts.catalogue.candidates_for(caller, platforms, model):
        rest = parts.health.rest_of(each.account, each.upstream_model, now)
        if rest is None:
            causes.add("")
        elif not rest.out_of_use:
            causes.add(rest.cause)
            ends.append(rest.until)
    first = min(ends, default=0.0)
    good_until = min(now + _EMPTY_SECONDS, first or now + _EMPTY_SECONDS)
    if len(parts.catalogue.snapshot.empty) >= _MOST_EMPTY:
        parts.catalogue.snapshot.empty.clear()
    parts.catalogue.snapshot.empty[asked] = (good_until, frozenset(causes), first)
    return frozenset(causes), first


def _out_of_use() -> ClientError:
    return ClientError(
        "Every account for this endpoint is disabled or expired. The operator can see why "
        "with: sub2api account list",
        status=503,
        kind=OVERLOADED,
        retry_helps=False,
    )


def _no_accounts(platforms: tuple[PlatformName, ...]) -> ClientError:
    return ClientError(
        f"This API key has no {' or '.join(platforms)} account behind it, and this "
        "endpoint is served by those only. Add one: sub2api account add "
        f"--platform {platforms[0]}",
        status=400,
        kind=INVALID,
        retry_helps=False,
    )
