from __future__ import annotations

import random
from importlib import resources
from typing import Any

import msgspec
import pytest

from sub2api.billing.cost import cost_of
from sub2api.billing.prices import (
    PRICE_CLASSES,
    Override,
    Price,
    PriceBook,
    Rate,
    unit_price,
)
from sub2api.model.tokens import Tokens

USD = 1_000_000_000
"""Nanodollars a dollar: prices below read as dollars per million tokens."""

MODELS: dict[str, dict[str, Any]] = {
    "gpt-5": {"rates": [{"input": 10, "output": 20}]},
    "gpt-5-nano": {"rates": [{"input": 1, "output": 2}]},
    "gemini-x": {"rates": [{"input": 3, "output": 4}]},
    "gemini/gemini-x": {"rates": [{"input": 5, "output": 6}], "web_search": 7},
    "zai/glm-4.6": {"rates": [{"input": 8, "output": 9}]},
    "dashscope/glm-4.6": {"rates": [{"input": 80, "output": 90}]},
    "somehost/glm-9": {"rates": [{"input": 80, "output": 90}]},
}


@pytest.fixture
def book() -> PriceBook:
    return PriceBook("bundled test", MODELS)


@pytest.fixture(scope="module")
def bundled() -> PriceBook:
    return PriceBook.load_bundled()


def found(book: PriceBook, model: str, platform: str = "openai", at: float = 0.0) -> Price:
    price = book.find(model, platform, at)
    assert price is not None
    return price


def units(price: Price, tier: str = "", prompt: int = 0) -> dict[str, int]:
    rates = price.rates_for(tier, prompt)
    return {name: unit_price(rates, name) for name in ("input", "output", "cache_read")}


def test_an_unknown_model_has_no_price(book: PriceBook) -> None:
    assert book.find("gpt-6", "openai", 0) is None
    assert book.find("gpt-5-mini", "openai", 0) is None
    assert book.find("", "openai", 0) is None


def test_the_platforms_own_entry_is_preferred(book: PriceBook) -> None:
    assert found(book, "gemini-x", "gemini").model == "gemini/gemini-x"
    assert found(book, "gemini-x", "gemini").web_search == 7
    assert found(book, "gemini-x", "antigravity").model == "gemini-x"


def test_a_bare_name_finds_its_own_vendor_and_never_a_reseller(book: PriceBook) -> None:
    assert found(book, "glm-4.6").model == "zai/glm-4.6"
    assert book.find("glm-9", "openai", 0) is None
    assert found(book, "somehost/glm-9").model == "somehost/glm-9"


def test_the_order_of_the_list_does_not_matter() -> None:
    names = list(MODELS)
    expected = PriceBook("a", MODELS)
    for seed in range(20):
        random.Random(seed).shuffle(names)
        shuffled = PriceBook("a", {name: MODELS[name] for name in names})
        for asked in ("gpt-5-2030-01-01", "gpt-5-nano", "gemini-x-latest", "glm-4-6", "other"):
            assert shuffled.find(asked, "gemini", 0) == expected.find(asked, "gemini", 0)


def test_what_was_found_is_remembered_within_bounds(book: PriceBook) -> None:
    assert book.find("gpt-5", "openai", 0) is book.find("gpt-5", "openai", 1)
    for number in range(5000):
        assert book.find(f"nothing-{number}", "openai", 0) is None
    assert len(book._memo) == 4096
    assert found(book, "gpt-5").model == "gpt-5"


def override(id: int, pattern: str, unit: int, **period: float) -> Override:
    return Override(id, pattern, {"input": unit, "output": unit}, **period)


def test_an_override_beats_the_list_and_tells_who_it_is(book: PriceBook) -> None:
    book.find("gpt-5", "openai", 0)
    book.set_overrides([Override(3, "GPT-5", {"input": 1, "output": 2, "web_search": 4})])
    price = found(book, "gpt-5-2030-01-01")
    assert price == Price("GPT-5", "override #3", (Rate({"input": 1, "output": 2}),), 4)
    assert found(book, "gpt-5-nano").source == "bundled test"
    book.set_overrides([])
    assert found(book, "gpt-5").source == "bundled test"


def test_an_override_can_price_a_model_nobody_lists(book: PriceBook) -> None:
    book.set_overrides([override(1, "my-model*", 5)])
    assert found(book, "my-model-7b").source == "override #1"
    assert book.find("other-my-model", "openai", 0) is None


@pytest.mark.parametrize(
    ("at", "expected"),
    [(0, "bundled test"), (10, "override #1"), (19.9, "override #1"), (20, "bundled test")],
)
def test_an_override_holds_from_its_first_to_before_its_last_moment(
    book: PriceBook, at: float, expected: str
) -> None:
    book.set_overrides([override(1, "gpt-5", 5, valid_from=10, valid_until=20)])
    assert found(book, "gpt-5", at=at).source == expected


def test_the_longest_pattern_wins_then_the_exact_one_then_the_newest(book: PriceBook) -> None:
    overrides = [
        override(1, "*", 1),
        override(2, "gpt-*", 1, valid_from=99),
        override(3, "gpt-5*", 1, valid_from=50),
        override(4, "gpt-5", 1),
        override(5, "gpt-5", 1, valid_from=10),
        override(6, "gpt-5", 1, valid_from=20),
        override(7, "gpt-5", 1, valid_from=20),
    ]
    for seed in range(10):
        random.Random(seed).shuffle(overrides)
        book.set_overrides(overrides)
        assert [found(book, "gpt-5", at=at).source[-1] for at in (0, 10, 20, 100)] == list("4577")
        assert found(book, "gpt-5-nano", at=100).source == "override #3"
        assert found(book, "gpt-x", at=100).source == "override #2"
        assert found(book, "gpt-x", at=0).source == "override #1"


@pytest.mark.parametrize("pattern", ["", "  ", "a*b", "**", "*a"])
def test_a_pattern_with_a_star_inside_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="override #1: a pattern"):
        override(1, pattern, 1)


@pytest.mark.parametrize(
    "prices",
    [
        {},
        {"input": 1},
        {"output": 1},
        {"input": 1, "output": 1, "sugar": 1},
        {"input": -1, "output": 1},
        {"input": True, "output": 1},
        {"input": 1.5, "output": 1},
    ],
)
def test_prices_that_cannot_be_meant_are_refused(prices: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="override #1: "):
        Override(1, "m", prices)


def test_a_class_without_a_price_costs_what_its_plainer_class_costs() -> None:
    rates = [Rate({"input": 2, "output": 3})]
    assert [unit_price(rates, name) for name in PRICE_CLASSES[:-1]] == [
        2, 3, 2, 2, 2, 2, 2, 3, 3, 3,
    ]  # fmt: skip
    assert unit_price([Rate({"input": 2, "cache_write": 5})], "cache_write_long") == 5
    assert unit_price([Rate({"input": 2})], "output") == 0


def test_rates_are_chosen_by_tier_and_by_the_length_of_the_prompt() -> None:
    price = Price(
        "m",
        "s",
        (
            Rate({"input": 1, "output": 2, "cache_read": 3}),
            Rate({"input": 10}, above=100),
            Rate({"input": 20, "output": 21}, above=200),
            Rate({"input": 5}, tier="flex"),
            Rate({"output": 6}, tier="flex", above=200),
        ),
    )
    assert units(price, prompt=100) == {"input": 1, "output": 2, "cache_read": 3}
    assert units(price, prompt=101) == {"input": 10, "output": 2, "cache_read": 3}
    assert units(price, prompt=201) == {"input": 20, "output": 21, "cache_read": 3}
    assert units(price, "flex", 201) == {"input": 5, "output": 6, "cache_read": 3}
    assert units(price, "flex", 101) == {"input": 5, "output": 2, "cache_read": 3}
    assert units(price, "unheard-of", 101) == units(price, prompt=101)


# The bundled list. Figures are the vendors' public prices, in dollars per million tokens.


def dollars(price: Price, tier: str = "", prompt: int = 0) -> dict[str, float]:
    rates = price.rates_for(tier, prompt)
    names = ("input", "output", "cache_read", "cache_write", "cache_write_long")
    return {name: unit_price(rates, name) / USD for name in names}


@pytest.mark.parametrize(
    ("model", "platform", "expected"),
    [
        ("claude-sonnet-4-5", "anthropic", (3, 15, 0.3, 3.75, 6)),
        ("claude-sonnet-4-5-20250929", "anthropic", (3, 15, 0.3, 3.75, 6)),
        ("claude-haiku-4-5", "anthropic", (1, 5, 0.1, 1.25, 2)),
        ("claude-opus-4-5", "anthropic", (5, 25, 0.5, 6.25, 10)),
        ("gpt-5.1", "openai", (1.25, 10, 0.125, 1.25, 1.25)),
        ("gpt-5-nano", "openai", (0.05, 0.4, 0.005, 0.05, 0.05)),
        ("o1-pro", "openai", (150, 600, 150, 150, 150)),
        ("gemini-2.5-flash", "gemini", (0.3, 2.5, 0.03, 0.3, 0.3)),
        ("text-embedding-3-small", "openai", (0.02, 0, 0.02, 0.02, 0.02)),
        ("gemini-embedding-001", "gemini", (0.15, 0, 0.15, 0.15, 0.15)),
    ],
)
def test_well_known_models_have_their_public_price(
    bundled: PriceBook, model: str, platform: str, expected: tuple[float, ...]
) -> None:
    assert tuple(dollars(found(bundled, model, platform)).values()) == expected


def test_long_prompts_and_service_tiers_have_their_public_price(bundled: PriceBook) -> None:
    gemini = found(bundled, "gemini-2.5-pro", "gemini")
    assert dollars(gemini, prompt=200_000)["input"] == 1.25
    assert dollars(gemini, prompt=200_001)["input"] == 2.5
    assert dollars(gemini, prompt=200_001)["output"] == 15
    vertex = found(bundled, "vertex_ai/claude-sonnet-4-5")
    assert dollars(vertex, prompt=200_001)["input"] == 6
    assert dollars(vertex, prompt=200_001)["output"] == 22.5
    assert dollars(found(bundled, "gpt-5.1"), "priority")["output"] == 20
    assert dollars(found(bundled, "gpt-5.1"), "flex")["input"] == 0.625
    assert dollars(found(bundled, "claude-opus-4-8"), "fast")["input"] == 10
    assert found(bundled, "claude-sonnet-4-5").web_search == USD // 100


def test_near_names_of_the_bundled_list_are_not_mixed_up(bundled: PriceBook) -> None:
    assert bundled.find("claude-opus-4-5x", "anthropic", 0) is None
    assert bundled.find("gpt-5.1-mini", "openai", 0) is None
    assert found(bundled, "gpt-5.1-codex-mini").model == "gpt-5.1-codex-mini"
    assert found(bundled, "claude-sonnet-4-5-20991231").model == "claude-sonnet-4-5"
    assert found(bundled, "glm-4.6").model == "zai/glm-4.6"
    assert found(bundled, "gpt-5.1").source.startswith("bundled 20")


def test_every_listed_model_is_found_and_costs_something(bundled: PriceBook) -> None:
    text = resources.files("sub2api.billing").joinpath("prices.json").read_bytes()
    assert len(text) < 400_000
    listed = msgspec.json.decode(text)["models"]
    assert len(listed) == len(bundled) > 2000
    allowed = {*PRICE_CLASSES, "tier", "above"}
    for name, entry in listed.items():
        price = found(bundled, name, "")
        assert price.model == name
        assert cost_of(Tokens(input=1_000_000), price).cost > 0
        assert all(rate.keys() <= allowed for rate in entry["rates"])
        assert {"input"} <= entry["rates"][0].keys()
        assert not {"tier", "above"} & entry["rates"][0].keys()


def test_a_price_survives_the_journals_json() -> None:
    price = Price("m", "s", (Rate({"input": 1}, "flex", 5),), 6)
    assert msgspec.json.decode(msgspec.json.encode(price), type=Price) == price
