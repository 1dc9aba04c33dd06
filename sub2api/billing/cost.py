"""What a reply costs: exact integer arithmetic, rounded once.

cost = (sum of tokens x unit price + searches x price of a search) x multiplier, in nanodollars,
rounded half-even. No float takes part.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from sub2api.billing.prices import TOKEN_CLASSES, Price, Rate, unit_price
from sub2api.model.tokens import Tokens

_BY_MODALITY = ("input_audio", "input_image", "output_audio", "output_image")
_COMMON = tuple(name for name in TOKEN_CLASSES if name not in {*_BY_MODALITY, "reasoning"})
_NO_RATE = Rate({})
PER = 1_000_000
"""Unit prices are per this many tokens."""


class Cost(msgspec.Struct, frozen=True):
    """A price applied to a reply.

    `list_cost` and `cost` are nanodollars, before and after the multiplier. `pricing` is what the
    usage row keeps as evidence: `source` and `model` of the price, `units` (the unit price of every
    class that was charged), `tier` as the vendor reported it, `priced_tier` and `above` (the rate
    that was used), `multiplier`, and `unpriced` where a part of the reply has no known price and
    was not charged.
    """

    list_cost: int
    cost: int
    pricing: dict[str, Any]


def cost_of(tokens: Tokens, price: Price, *, multiplier: Decimal = Decimal(1)) -> Cost:
    """Return what `tokens` cost at `price`, times the group's multiplier (0 = free).

    The rate is chosen by the tier the vendor reports (an unknown one is charged as standard) and by
    the length of the whole prompt, cached parts included. Raises ValueError for a multiplier that
    is negative or not a number.
    """
    if not multiplier.is_finite() or multiplier < 0:
        msg = "a multiplier is a finite number, 0 or more"
        raise ValueError(msg)
    rates = price.rates_for(tokens.service_tier, tokens.prompt)
    units: dict[str, int] = {}
    total = 0
    for name, count in _counts(tokens, rates):
        unit = units[name] = unit_price(rates, name)
        total += count * unit
    if tokens.web_searches and price.web_search is not None:
        total += tokens.web_searches * price.web_search * PER
        units["web_search"] = price.web_search
    list_cost = cost = _rounded(total, PER)
    if multiplier != 1:
        numerator, denominator = multiplier.as_integer_ratio()
        cost = _rounded(total * numerator, PER * denominator)
    return Cost(
        list_cost=list_cost,
        cost=cost,
        pricing=_evidence(tokens, price, rates, units, str(multiplier)),
    )


@lru_cache(1024)
def multiplier_of(text: str) -> Decimal:
    """Return a multiplier as a number. Raises ArithmeticError for text that is none."""
    return Decimal(text)


def _counts(tokens: Tokens, rates: list[Rate]) -> list[tuple[str, int]]:
    """Return the tokens of each class that occurs.

    Reasoning is counted inside `output`, and is taken out of it only if it has its own price.
    """
    counts = [(name, count) for name in _COMMON if (count := getattr(tokens, name))]
    if tokens.input_audio or tokens.input_image or tokens.output_audio or tokens.output_image:
        counts += [(name, count) for name in _BY_MODALITY if (count := getattr(tokens, name))]
    if not tokens.reasoning or not any("reasoning" in rate.units for rate in rates):
        return counts
    reasoning = min(tokens.reasoning, tokens.output)
    plain = [
        (name, count - reasoning if name == "output" else count)
        for name, count in counts
        if name != "output" or count > reasoning
    ]
    return [*plain, ("reasoning", reasoning)] if reasoning else plain


def _evidence(
    tokens: Tokens, price: Price, rates: list[Rate], units: dict[str, int], multiplier: str
) -> dict[str, Any]:
    used = rates[0] if rates else _NO_RATE
    evidence: dict[str, Any] = {
        "source": price.source,
        "model": price.model,
        "units": units,
        "tier": tokens.service_tier,
        "priced_tier": used.tier,
        "above": used.above,
        "multiplier": multiplier,
    }
    if tokens.web_searches and price.web_search is None:
        evidence["unpriced"] = ["web_search"]
    return evidence


def _rounded(numerator: int, denominator: int) -> int:
    """Divide whole numbers, rounding half to even."""
    quotient, rest = divmod(numerator, denominator)
    doubled = 2 * rest
    return quotient + (doubled > denominator or (doubled == denominator and quotient % 2 == 1))
