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

_PLAIN = frozenset(TOKEN_CLASSES) - {"reasoning"}
"""Classes that are counted as they are; reasoning is inside `output`, searches are no tokens."""
_NO_RATE = Rate({})
_MOST_SCALES = 64
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
    """Return what `tokens` cost at `price`: see `Tariff`, which is for more than one reply."""
    return Tariff(price, multiplier).cost(tokens)


@lru_cache(1024)
def multiplier_of(text: str) -> Decimal:
    """Return a multiplier as a number. Raises ArithmeticError for text that is none."""
    return Decimal(text)


class _Scale:
    """The unit prices that hold for one service tier and length of prompt."""

    def __init__(self, price: Price, multiplier: Decimal, tier: str, above: int) -> None:
        rates = price.rates_for(tier, above + 1)
        used = rates[0] if rates else _NO_RATE
        self.units = {name: unit_price(rates, name) for name in TOKEN_CLASSES}
        self.parts_reasoning = any("reasoning" in rate.units for rate in rates)
        self._common = {"source": price.source, "model": price.model}
        self._rest = {
            "tier": tier,
            "priced_tier": used.tier,
            "above": used.above,
            "multiplier": str(multiplier),
        }
        self._known: dict[tuple[str, ...], dict[str, Any]] = {}

    def evidence(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """Return what the usage row keeps of a cost in these classes. Shared: nobody changes it."""
        known = self._known.get(classes)
        if known is None:
            units = {name: self.units[name] for name in classes}
            known = self._known[classes] = {**self._common, "units": units, **self._rest}
        return known


class Tariff:
    """A price and a group's multiplier (0 = free), ready for many replies.

    The rate is chosen by the tier the vendor reports (an unknown one is charged as standard) and by
    the length of the whole prompt, cached parts included. Raises ValueError for a multiplier that
    is negative or not a number.
    """

    def __init__(self, price: Price, multiplier: Decimal = Decimal(1)) -> None:
        if not multiplier.is_finite() or multiplier < 0:
            msg = "a multiplier is a finite number, 0 or more"
            raise ValueError(msg)
        self.price = price
        self._multiplier = multiplier
        self._ratio = None if multiplier == 1 else multiplier.as_integer_ratio()
        self._steps = sorted({rate.above for rate in price.rates if rate.above})
        self._scales: dict[tuple[str, int], _Scale] = {}

    def cost(self, tokens: Tokens) -> Cost:
        """Return what a reply costs."""
        scale = self._scale(tokens)
        counts = msgspec.to_builtins(tokens)  # the classes that occur, in their order
        searches = 0
        if not counts.keys() <= _PLAIN:
            searches = counts.get("web_searches", 0)
            counts = _parted(counts, scale)
        units = scale.units
        total = 0
        for name, count in counts.items():
            total += count * units[name]
        pricing = scale.evidence(tuple(counts))
        if searches:
            total, pricing = self._with_searches(searches, total, pricing)
        list_cost = cost = _rounded(total, PER)
        if self._ratio is not None:
            cost = _rounded(total * self._ratio[0], PER * self._ratio[1])
        return Cost(list_cost, cost, pricing)

    def _scale(self, tokens: Tokens) -> _Scale:
        above = 0
        if self._steps:
            prompt = tokens.prompt
            above = max([step for step in self._steps if prompt > step], default=0)
        asked = (tokens.service_tier, above)
        scale = self._scales.get(asked)
        if scale is None:
            scale = _Scale(self.price, self._multiplier, *asked)
            if len(self._scales) < _MOST_SCALES:  # vendors name tiers, and may name any
                self._scales[asked] = scale
        return scale

    def _with_searches(
        self, searches: int, total: int, pricing: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        each = self.price.web_search
        if each is None:
            return total, {**pricing, "unpriced": ["web_search"]}
        units = {**pricing["units"], "web_search": each}
        return total + searches * each * PER, {**pricing, "units": units}


def _parted(counts: dict[str, int], scale: _Scale) -> dict[str, int]:
    """Keep what is priced by the token; take reasoning out of `output` if it has its own price."""
    parted = {name: count for name, count in counts.items() if name in _PLAIN}
    if scale.parts_reasoning and (
        reasoning := min(counts.get("reasoning", 0), counts.get("output", 0))
    ):
        parted["output"] -= reasoning
        if not parted["output"]:
            del parted["output"]
        parted["reasoning"] = reasoning
    return parted


def _rounded(numerator: int, denominator: int) -> int:
    """Divide whole numbers, rounding half to even."""
    quotient, rest = divmod(numerator, denominator)
    doubled = 2 * rest
    return quotient + (doubled > denominator or (doubled == denominator and quotient % 2 == 1))
