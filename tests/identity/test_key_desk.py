"""The key desk: cached, coalesced, and refusing for the right reason."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from sub2api.errors import ClientError
from sub2api.identity.key_desk import KeyDesk
from sub2api.model.callers import ApiKey, Caller, User
from tests.fakes.workshop import Workshop

CALLER = Caller(ApiKey(id=1, user_id=1, name="k", hint=""), User(id=1, email="o"))


class Counting:
    """Counts the look-ups that reach the store."""

    def __init__(self, database: object) -> None:
        self.database = database
        self.asked = 0

    def reading(self) -> object:
        self.asked += 1
        return self.database.reading()  # type: ignore[attr-defined]


def refused(caller: Caller | None, **where: object) -> ClientError:
    desk = KeyDesk(None, None)  # type: ignore[arg-type]
    with pytest.raises(ClientError) as caught:
        desk.check(caller, **{"now": 100.0, "client_ip": "1.2.3.4", **where})  # type: ignore[arg-type]
    assert not caught.value.retry_helps
    return caught.value


async def test_a_flood_of_unknown_keys_asks_the_store_once_each(workshop: Workshop) -> None:
    counting = Counting(workshop.database)
    desk = KeyDesk(counting, workshop.clock)  # type: ignore[arg-type]
    for _ in range(50):
        assert await desk.caller_of("sk-nobody") is None
    assert counting.asked == 1
    assert await desk.caller_of("") is None
    assert await desk.caller_of("x" * 10_000) is None
    assert counting.asked == 1


async def test_calls_at_once_share_one_look_up_and_clear_forgets(workshop: Workshop) -> None:
    _, text = await workshop.keys.create(ApiKey(id=0, user_id=0, name="k", hint=""))
    counting = Counting(workshop.database)
    desk = KeyDesk(counting, workshop.clock)  # type: ignore[arg-type]
    callers = await asyncio.gather(*(desk.caller_of(text) for _ in range(20)))
    assert {caller.key.name for caller in callers if caller} == {"k"}
    assert counting.asked == 1
    await workshop.keys.revoke("k")
    desk.clear()
    caller = await desk.caller_of(text)
    assert caller is not None
    assert caller.key.status == "revoked"


async def test_a_failing_store_is_asked_again_by_those_who_waited(workshop: Workshop) -> None:
    class Failing(Counting):
        def reading(self) -> object:
            if self.asked == 0:
                self.asked += 1
                raise RuntimeError("store")
            return super().reading()

    desk = KeyDesk(Failing(workshop.database), workshop.clock)  # type: ignore[arg-type]
    results = await asyncio.gather(
        *(desk.caller_of("sk-x") for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results].count(RuntimeError) == 1
    assert results.count(None) == 2


async def test_a_client_that_leaves_does_not_cut_its_look_up_off(workshop: Workshop) -> None:
    _, text = await workshop.keys.create(ApiKey(id=0, user_id=0, name="k", hint=""))
    counting = Counting(workshop.database)
    desk = KeyDesk(counting, workshop.clock)  # type: ignore[arg-type]
    for _ in range(5):
        leaving = asyncio.ensure_future(desk.caller_of(text))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    assert await desk.caller_of(text) is not None
    assert counting.asked == 1


def changed(key: dict[str, object] | None = None, user: dict[str, object] | None = None) -> Caller:
    return Caller(
        dataclasses.replace(CALLER.key, **(key or {})),  # type: ignore[arg-type]
        dataclasses.replace(CALLER.user, **(user or {})),  # type: ignore[arg-type]
    )


def test_refusals_name_their_reason() -> None:
    assert refused(None).status == 401
    assert "disabled" in str(refused(changed({"status": "disabled"})))
    assert refused(changed(user={"status": "disabled"})).status == 401
    assert refused(changed({"expires_at": 100.0})).status == 403
    assert refused(changed({"ip_allow": ("10.0.0.0/8",)})).status == 403
    assert refused(changed({"ip_deny": ("1.2.3.0/24",), "ip_allow": ("1.2.3.4",)})).status == 403
    assert refused(changed({"ip_allow": ("10.0.0.1",)}), client_ip="unix").status == 403


def test_a_good_key_is_let_in() -> None:
    desk = KeyDesk(None, None)  # type: ignore[arg-type]
    for key in ({}, {"expires_at": 101.0}, {"ip_allow": ("1.2.3.0/24",)}, {"ip_deny": ("::1",)}):
        caller = changed(key)
        assert desk.check(caller, now=100.0, client_ip="::ffff:1.2.3.4") is caller
    assert desk.check(changed({"ip_deny": ("::1",)}), now=0, client_ip="unix")
