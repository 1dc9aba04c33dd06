"""The nouns: what they promise beyond holding values."""

from __future__ import annotations

from sub2api.model.accounts import Account, Proxy
from sub2api.model.tokens import Tokens
from sub2api.model.usage import UsageRow


def test_an_account_is_usable_while_active_schedulable_and_not_expired() -> None:
    assert Account(id=1, name="a", platform="openai").is_usable(0.0)
    assert not Account(id=1, name="a", platform="openai", status="error").is_usable(0.0)
    assert not Account(id=1, name="a", platform="openai", schedulable=False).is_usable(0.0)
    expiring = Account(id=1, name="a", platform="openai", expires_at=5.0)
    assert expiring.is_usable(4.9)
    assert not expiring.is_usable(5.0)


def test_no_secret_is_in_a_nouns_text() -> None:
    assert "s3cret" not in repr(Account(id=1, name="a", platform="openai", api_key="s3cret"))
    proxy = Proxy(1, "p", "http", "h", 1, "user", "s3cret")
    assert "s3cret" not in repr(proxy)


def test_a_prompt_is_all_its_classes_and_reasoning_is_inside_the_output() -> None:
    tokens = Tokens(1, 2, 4, 8, 16, 32, 64, 128, 256, reasoning=2)
    assert tokens.prompt == 1 + 4 + 8 + 16 + 32 + 64
    assert tokens.produced == 2 + 128 + 256


def test_an_unknown_cost_is_not_zero() -> None:
    row = UsageRow(
        call_id="c", user_id=1, key_id=1, key_name="k", wire="chat", operation="generate",
        model="m", started_at=0.0,
    )  # fmt: skip
    assert row.cost is None
