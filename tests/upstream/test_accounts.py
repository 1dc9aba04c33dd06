"""Accounts: what an operator may make, change and remove."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.model.accounts import Account, Group
from sub2api.model.health import Cooldown, RestRule, UsageWindow
from sub2api.model.limits import Limits
from sub2api.store import health
from tests.fakes.workshop import Workshop


def account(**fields: object) -> Account:
    given = {"id": 0, "name": "a", "platform": "openai", "api_key": "k", **fields}
    return Account(**given)  # type: ignore[arg-type]


async def test_an_account_is_kept_whole_and_found_by_name_and_id(workshop: Workshop) -> None:
    await workshop.groups.add(Group(id=0, name="g", platform="openai"))
    made = await workshop.accounts.add(
        account(base_url="https://h/v1/", model_mapping={"a": "b"}, concurrency=3, notes="n"),
        proxy="socks5h://u:p@127.0.0.1:1080",
        group_names=("g",),
    )
    found = await workshop.accounts.find("a")
    assert found == await workshop.accounts.find(str(made.id))
    assert (found.base_url, found.api_key, found.group_ids) == ("https://h/v1", "k", (1,))
    assert found.proxy is not None
    assert (found.proxy.name, found.proxy.password) == ("127.0.0.1:1080", "p")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "1 to 100"),
        ({"name": " a"}, "1 to 100"),
        ({"name": "12"}, "numbers are ids"),
        ({"platform": "bedrock"}, "unknown platform"),
        ({"platform": "antigravity"}, "not served yet"),
        ({"api_key": ""}, "needs its API key"),
        ({"api_key": "k\n"}, "no key has"),
        ({"concurrency": -1}, "0 or more"),
        ({"base_url": "http://example.com"}, "Invalid base URL: invalid url scheme: http"),
        ({"base_url": "https://169.254.169.254"}, "Invalid base URL"),
        ({"base_url": "https://h/?x=1"}, "query"),
    ],
)
async def test_a_mistake_is_refused_with_a_sentence(
    workshop: Workshop, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(MistakeError, match=said):
        await workshop.accounts.add(account(**fields))
    assert await workshop.accounts.everything() == []


async def test_names_are_unique_until_the_account_is_gone(workshop: Workshop) -> None:
    await workshop.accounts.add(account())
    with pytest.raises(MistakeError, match="already"):
        await workshop.accounts.add(account())
    await workshop.accounts.remove("a")
    await workshop.accounts.add(account())


async def test_changes_leave_the_rest_alone(workshop: Workshop) -> None:
    await workshop.accounts.add(account(concurrency=3), proxy="http://127.0.0.1:8888")
    changed = await workshop.accounts.change("a", {"name": "b", "priority": 7})
    assert (changed.name, changed.priority, changed.concurrency) == ("b", 7, 3)
    assert changed.proxy is not None
    assert (await workshop.accounts.change("b", {}, proxy="")).proxy is None
    again = await workshop.accounts.change("b", {}, proxy="127.0.0.1:8888")
    assert again.proxy is not None
    with pytest.raises(MistakeError, match="there is no account"):
        await workshop.accounts.change("a", {"priority": 1})


async def test_groups_must_exist_and_be_of_the_platform(workshop: Workshop) -> None:
    await workshop.groups.add(Group(id=0, name="claude", platform="anthropic"))
    with pytest.raises(MistakeError, match="there are: claude"):
        await workshop.accounts.add(account(), group_names=("nope",))
    with pytest.raises(MistakeError, match="is for anthropic"):
        await workshop.accounts.add(account(), group_names=("claude",))


CAREFUL: dict[str, object] = {
    "limits": Limits(rpm=5, cost_5h=7),
    "max_sessions": 2,
    "session_idle_minutes": 9,
    "window_cost_limit": 11,
    "window_cost_reserve": 0,
    "rest_rules": (RestRule(403, ("credit", "balance"), 60, "unpaid"),),
    "custom_error_codes": (401,),
    "adaptive_concurrency": True,
}


async def test_limits_and_rules_of_an_account_are_kept_whole(workshop: Workshop) -> None:
    await workshop.accounts.add(account(name="mine", **CAREFUL))
    found = await workshop.accounts.find("mine")
    assert {name: getattr(found, name) for name in CAREFUL} == CAREFUL
    changed = await workshop.accounts.change("mine", {"custom_error_codes": None, "rest_rules": ()})
    assert (changed.custom_error_codes, changed.rest_rules) == (None, ())
    assert changed.limits == CAREFUL["limits"]
    with pytest.raises(MistakeError, match="max_sessions"):
        await workshop.accounts.change("mine", {"max_sessions": -1})


async def test_clearing_makes_running_rests_void_and_deletes_nothing(workshop: Workshop) -> None:
    made = await workshop.accounts.add(account(name="mine"))
    now = workshop.clock.now()
    over = Cooldown(made.id, "old", "burst", since=now - 50, until=now - 40)
    runs = Cooldown(made.id, "", "quota", since=now - 10, until=now + 600)
    async with workshop.database.transaction() as connection:
        await health.save_cooldowns(connection, [over, runs])
        kept = await health.cooldowns(connection)
    [resting] = (await workshop.accounts.rests())[made.id]
    assert (resting.cause, resting.model) == ("quota", "")
    _, cleared = await workshop.accounts.clear_cooldown("mine")
    assert cleared == (resting,)
    assert await workshop.accounts.rests() == {}
    found = await workshop.accounts.find("mine")
    assert found.cleared_at is not None
    async with workshop.database.transaction() as connection:
        assert await health.cooldowns(connection) == kept
        later = Cooldown(made.id, "", "burst", since=found.cleared_at + 1, until=now + 600)
        await health.save_cooldowns(connection, [later])
    assert len((await workshop.accounts.rests())[made.id]) == 1


async def test_names_and_windows_are_known_by_id(workshop: Workshop) -> None:
    made = await workshop.accounts.add(account(name="mine"))
    window = UsageWindow("5h", 0.5, resets_at=9, seen_at=1)
    async with workshop.database.transaction() as connection:
        await health.save_windows(connection, made.id, [window])
    assert await workshop.accounts.names() == {made.id: "mine"}
    assert await workshop.accounts.windows() == {made.id: (window,)}
