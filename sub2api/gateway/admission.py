"""Who may come in: the key, then a place for the call on its key, its user and an account."""

from __future__ import annotations

from functools import lru_cache

from sub2api.errors import RATE_LIMITED, ClientError
from sub2api.gateway.call import Call
from sub2api.gateway.credentials import key_of
from sub2api.gateway.parts import Parts
from sub2api.gateway.scheduling import MOST_CANDIDATES, slot, slot_of
from sub2api.live.interfaces import Entry, Granted, Place, Refused, Slot
from sub2api.model.callers import Caller
from sub2api.upstream.catalogue import Candidate

_BUSY_RETRY_SECONDS = 5.0
_NOBODY: tuple[int, Caller | None] = (-1, None)


async def caller_of(parts: Parts, call: Call) -> Caller:
    """Return who calls. Raises ClientError 401 or 403; reaches no upstream.

    Keys fail closed: a store that cannot be asked means no entry for keys not yet known.
    """
    desk = parts.key_desk
    generation, caller = call.memo.get("caller", _NOBODY)
    if generation != desk.generation:
        generation = desk.generation
        caller = await desk.caller_of(key_of(call))
        if caller is not None:
            call.memo["caller"] = (generation, caller)
    return desk.check(caller, now=parts.clock.now(), client_ip=call.client_ip)


async def enter(
    parts: Parts, call: Call, caller: Caller, ranking: list[Candidate]
) -> tuple[Candidate, float]:
    """Take the call's places, waiting its turn. Returns (candidate, seconds waited).

    Raises ClientError 429 when the wait is over or the queue is full.
    """
    settings, user, key = parts.settings.gateway, caller.user, caller.key
    shortlist = ranking[:MOST_CANDIDATES]
    places = _places(user.id, user.concurrency, key.id, key.concurrency)
    entry = Entry(
        call.id,
        user.id,
        key.id,
        slots=places,
        candidates=_candidates(shortlist),
        wait=settings.slot_wait_seconds,
        max_waiting=settings.max_waiting,
    )
    decision = await parts.live.enter(entry)
    if isinstance(decision, Granted):
        return shortlist[decision.candidate], decision.waited
    assert isinstance(decision, Refused)  # noqa: S101  asked without budgets and bindings
    raise _busy(decision)


async def another(parts: Parts, call: Call, ranking: list[Candidate]) -> Candidate | None:
    """Move the call to the first account with a free place, without waiting; None if all full."""
    shortlist = ranking[:MOST_CANDIDATES]
    decision = await parts.live.swap(call.id, _candidates(shortlist))
    return shortlist[decision.candidate] if isinstance(decision, Granted) else None


def _candidates(shortlist: list[Candidate]) -> tuple[Place, ...]:
    return tuple([Place(each.account.id, (slot_of(each.account),)) for each in shortlist])


@lru_cache(8192)
def _places(user_id: int, of_user: int, key_id: int, of_key: int) -> tuple[Slot, Slot]:
    return slot("user", user_id, of_user), slot("key", key_id, of_key)


def _busy(refused: Refused) -> ClientError:
    whose = {
        "key": "this API key's concurrent calls",
        "user": "your concurrent calls",
        "account": "the concurrent calls of every account that serves this model",
    }[refused.full.partition(":")[0]]
    said = "too many calls are waiting already" if refused.queue_full else "no place became free"
    return ClientError(
        f"The limit on {whose} is reached and {said}. Try again shortly.",
        status=429,
        kind=RATE_LIMITED,
        retry_after=_BUSY_RETRY_SECONDS,
    )
