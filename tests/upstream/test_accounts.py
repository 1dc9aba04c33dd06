"""Accounts: what an operator may make, change and remove."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.model.accounts import Account, Group
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
