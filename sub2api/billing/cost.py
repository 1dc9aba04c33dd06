"""What a reply costs: exact integer arithmetic, rounded once.

cost = (sum of tokens x unit price + searches x price of a search) x multiplier, in nanodollars,
rounded half-even. No float takes part.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sub2api.billing.prices import TOKEN_CLASSES, Price, Rate, unit_price
from sub2api.model.tokens import Tokens

PER = 1_000_000
"""Unit prices are per this many tokens."""


@dataclass(frozen=True, slots=True)
class Cost:
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
    counts = _counts(tokens, rates)
    units = {name: unit_price(rates, name) for name in counts}
    total = sum(count * units[name] for name, count in counts.items())
    if tokens.web_searches and price.web_search is not None:
        total += tokens.web_searches * price.web_search * PER
        units["web_search"] = price.web_search
    numerator, denominator = multiplier.as_integer_ratio()
    return Cost(
        list_cost=_rounded(total, PER),
        cost=_rounded(total * numerator, PER * denominator),
        pricing=_evidence(tokens, price, rates, units) | {"multiplier": str(multiplier)},
    )


def priced_columns(
    tokens: Tokens, price: Price | None, *, multiplier: str = "1", charge: bool
) -> dict[str, Any]:
    """Return the money columns of a usage row: cost, list_cost, charged, multiplier, pricing.

    Without a price, `cost` and `list_cost` are None (unknown, not free) and nothing is charged.
    """
    if price is None:
        return {
            "cost": None,
            "list_cost": None,
            "charged": 0,
            "multiplier": multiplier,
            "pricing": {},
        }
    cost = cost_of(tokens, price, multiplier=Decimal(multiplier))
    return {
        "cost": cost.cost,
        "list_cost": cost.list_cost,
        "charged": cost.cost if charge else 0,
        "multiplier": multiplier,
        "pricing": cost.pricing,
    }


def _counts(tokens: Tokens, rates: list[Rate]) -> dict[str, int]:
    """Return the tokens of each class that occurs.

    Reasoning is counted inside `output`, and is taken out of it only if it has its own price.
    """
    counts = {name: getattr(tokens, name) for name in TOKEN_CLASSES}
    if any("reasoning" in rate.units for rate in rates):
        counts["reasoning"] = min(tokens.reasoning, tokens.output)
        counts["output"] -= counts["reasoning"]
    else:
        del counts["reasoning"]
    return {name: count for name, count in counts.items() if count}


def _evidence(
    tokens: Tokens, price: Price, rates: list[Rate], units: dict[str, int]
) -> dict[str, Any]:
    used = rates[0] if rates else Rate({})
    evidence: dict[str, Any] = {
        "source": price.source,
        "model": price.model,
        "units": units,
        "tier": tokens.service_tier,
        "priced_tier": used.tier,
        "above": used.above,
    }
    if tokens.web_searches and price.web_search is None:
        evidence["unpriced"] = ["web_search"]
    return evidence


def _rounded(numerator: int, denominator: int) -> int:
    """Divide whole numbers, rounding half to even."""
    quotient, rest = divmod(numerator, denominator)
    doubled = 2 * rest
    return quotient + (doubled > denominator or (doubled == denominator and quotient % 2 == 1))
