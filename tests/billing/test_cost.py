from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.billing.cost import Tariff, cost_of
from sub2api.billing.prices import TOKEN_CLASSES, Price, PriceBook, Rate
from sub2api.model.tokens import Tokens

COUNTED = [name for name in TOKEN_CLASSES if name != "reasoning"]

counts = st.integers(0, 10**9)
unit_prices = st.integers(0, 10**12)
token_counts = st.fixed_dictionaries(dict.fromkeys(COUNTED, counts))
prices = st.fixed_dictionaries(dict.fromkeys(COUNTED, unit_prices)).map(
    lambda units: Price("m", "s", (Rate(units),), 10_000_000)
)
multipliers = st.decimals(0, 1000, places=6, allow_nan=False, allow_infinity=False)


def price(**units: int) -> Price:
    return Price("m", "s", (Rate(units),))


@given(token_counts, prices, multipliers, st.integers(0, 1000))
def test_the_cost_is_the_exact_product_rounded_half_even_once(
    numbers: dict[str, int], price: Price, multiplier: Decimal, searches: int
) -> None:
    units = price.rates[0].units
    exact = sum((Fraction(numbers[name] * units[name], 10**6) for name in COUNTED), Fraction())
    exact += searches * 10_000_000
    cost = cost_of(Tokens(**numbers, web_searches=searches), price, multiplier=multiplier)
    assert cost.list_cost == round(exact)  # Fraction rounds half to even
    assert cost.cost == round(exact * Fraction(multiplier))


@given(token_counts, token_counts, prices)
def test_two_replies_cost_what_their_sum_costs_but_for_rounding(
    one: dict[str, int], other: dict[str, int], price: Price
) -> None:
    both = {name: one[name] + other[name] for name in COUNTED}
    apart = cost_of(Tokens(**one), price).cost + cost_of(Tokens(**other), price).cost
    assert abs(cost_of(Tokens(**both), price).cost - apart) <= 1


@given(token_counts, prices, st.sampled_from(COUNTED), counts)
def test_more_tokens_never_cost_less(
    numbers: dict[str, int], price: Price, name: str, more: int
) -> None:
    tokens = Tokens(**numbers)
    larger = msgspec.structs.replace(tokens, **{name: numbers[name] + more})
    assert cost_of(larger, price).cost >= cost_of(tokens, price).cost


@given(token_counts, prices, multipliers, multipliers)
def test_a_larger_multiplier_never_costs_less(
    numbers: dict[str, int], price: Price, one: Decimal, other: Decimal
) -> None:
    low, high = sorted((one, other))
    tokens = Tokens(**numbers)
    assert (
        cost_of(tokens, price, multiplier=low).cost <= cost_of(tokens, price, multiplier=high).cost
    )


@pytest.mark.parametrize(
    ("tokens", "unit", "expected"),
    [(1, 500_000, 0), (1, 500_001, 1), (3, 500_000, 2), (5, 500_000, 2), (1, 1_500_000, 2)],
)
def test_halves_go_to_the_even_neighbour(tokens: int, unit: int, expected: int) -> None:
    assert cost_of(Tokens(input=tokens), price(input=unit)).cost == expected


def test_a_multiplier_of_zero_is_free_and_the_list_cost_stays() -> None:
    cost = cost_of(Tokens(input=10**6), price(input=7), multiplier=Decimal(0))
    assert (cost.list_cost, cost.cost) == (7, 0)


def test_the_multiplier_is_applied_before_rounding() -> None:
    cost = cost_of(Tokens(input=1), price(input=400_000), multiplier=Decimal(2))
    assert (cost.list_cost, cost.cost) == (0, 1)


@pytest.mark.parametrize("multiplier", ["-1", "-0.001", "NaN", "Infinity"])
def test_an_impossible_multiplier_is_refused(multiplier: str) -> None:
    with pytest.raises(ValueError, match="multiplier"):
        cost_of(Tokens(), price(input=1), multiplier=Decimal(multiplier))


def test_a_negative_zero_is_zero() -> None:
    cost = cost_of(Tokens(input=10**6), price(input=7), multiplier=Decimal("-0"))
    assert cost.cost == 0


def test_the_long_prompt_rate_counts_cached_tokens_too() -> None:
    long = Price("m", "s", (Rate({"input": 10, "output": 1}), Rate({"input": 20}, above=100)))
    tokens = Tokens(input=1_000_000, cache_read=0)
    assert cost_of(tokens, long).pricing["above"] == 100
    short = Tokens(input=50, cache_read=50)
    assert cost_of(short, long).pricing["above"] == 0
    over = Tokens(input=50, cache_read=40, cache_write=5, cache_write_long=5, input_audio=1)
    assert cost_of(over, long).pricing["above"] == 100


def test_replies_alike_share_their_evidence() -> None:
    tariff = Tariff(price(input=10**6, output=10**6))
    one, other = (tariff.cost(Tokens(input=count, output=1)) for count in (3, 5))
    assert (one.cost, other.cost) == (4, 6)
    assert one.pricing is other.pricing
    assert tariff.cost(Tokens(input=3)).pricing["units"] == {"input": 10**6}


def test_a_vendor_may_name_any_number_of_tiers() -> None:
    tariff = Tariff(price(input=10**6))
    for number in range(200):
        cost = tariff.cost(Tokens(input=3, service_tier=f"t{number}"))
        assert (cost.cost, cost.pricing["tier"]) == (3, f"t{number}")
    assert len(tariff._scales) == 64


def test_an_unknown_tier_is_charged_as_standard_and_recorded_as_reported() -> None:
    tiers = Price("m", "s", (Rate({"input": 10}), Rate({"input": 5}, tier="flex")))
    flex = cost_of(Tokens(input=10**6, service_tier="flex"), tiers)
    odd = cost_of(Tokens(input=10**6, service_tier="scale"), tiers)
    assert (flex.cost, flex.pricing["tier"], flex.pricing["priced_tier"]) == (5, "flex", "flex")
    assert (odd.cost, odd.pricing["tier"], odd.pricing["priced_tier"]) == (10, "scale", "")


def test_reasoning_is_charged_inside_output_unless_it_has_its_own_price() -> None:
    tokens = Tokens(output=3_000_000, reasoning=1_000_000)
    assert cost_of(tokens, price(output=10)).cost == 30
    assert cost_of(tokens, price(output=10, reasoning=1)).cost == 21
    more = Tokens(output=1_000_000, reasoning=9_000_000)
    assert cost_of(more, price(output=10, reasoning=1)).cost == 1


def test_searches_without_a_known_price_are_named_not_hidden() -> None:
    cost = cost_of(Tokens(web_searches=2), price(input=1))
    assert cost.cost == 0
    assert cost.pricing["unpriced"] == ["web_search"]
    priced = cost_of(Tokens(web_searches=2), Price("m", "s", (Rate({}),), 10_000_000))
    assert priced.cost == 20_000_000
    assert priced.pricing["units"] == {"web_search": 10_000_000}
    assert "unpriced" not in priced.pricing


def test_the_evidence_names_every_unit_price_that_was_charged() -> None:
    tokens = Tokens(input=1, output=2, cache_write_long=3)
    cost = cost_of(tokens, price(input=1, output=2, cache_write=5), multiplier=Decimal("0.85"))
    assert cost.pricing == {
        "source": "s",
        "model": "m",
        "units": {"input": 1, "output": 2, "cache_write_long": 5},
        "tier": "",
        "priced_tier": "",
        "above": 0,
        "multiplier": "0.85",
    }


def test_a_price_without_any_rate_costs_nothing_and_says_so() -> None:
    assert cost_of(Tokens(input=5), Price("m", "s", ())).pricing["units"] == {"input": 0}


def test_a_real_reply_costs_what_the_price_list_says() -> None:
    sonnet = PriceBook.load_bundled().find("claude-sonnet-4-5", "anthropic", 0)
    assert sonnet is not None
    tokens = Tokens(input=1234, output=567, cache_read=8901, cache_write=234, cache_write_long=56)
    # dollars per token: 3e-6, 15e-6, 0.3e-6, 3.75e-6, 6e-6
    assert cost_of(tokens, sonnet).cost == (
        1234 * 3000 + 567 * 15000 + 8901 * 300 + 234 * 3750 + 56 * 6000
    )
