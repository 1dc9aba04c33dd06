"""What a model costs: the bundled price list, the operator's overrides, and how to find a price.

Prices are whole nanodollars per million tokens, by class; `web_search` is nanodollars per call.
`prices.json` is made by `tools/make_prices.py`. A model that is not found has no price (None):
what that means is the caller's decision, never a silent zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec

from sub2api.billing.model_names import candidates_of

TOKEN_CLASSES: tuple[str, ...] = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_long",
    "input_audio",
    "input_image",
    "output_audio",
    "output_image",
    "reasoning",
)
"""The priced classes of tokens, named as in `model.tokens.Tokens`."""

PRICE_CLASSES: tuple[str, ...] = (*TOKEN_CLASSES, "web_search")
"""Everything a price may name: the token classes, and the vendor's search tool by the call."""

_FALLBACKS: dict[str, str] = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_long": "cache_write",
    "input_audio": "input",
    "input_image": "input",
    "output_audio": "output",
    "output_image": "output",
    "reasoning": "output",
}
"""The class whose price is used where a price list does not name one."""

_FIRST_PARTY: tuple[str, ...] = (
    "gemini",
    "deepseek",
    "xai",
    "zai",
    "moonshot",
    "minimax",
    "mistral",
    "codestral",
    "xiaomi_mimo",
    "volcengine",
    "tencent",
    "voyage",
    "dashscope",
)
"""Price-list prefixes of vendors that sell their own models, tried in this order for a bare name.

Resellers are missing on purpose: the same open model has another price at each of them, and a name
alone does not tell which one serves it.
"""

_MEMO_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Rate:
    """Unit prices that hold for one service tier, for prompts of more than `above` tokens.

    `tier` is "" for the standard one. A rate names only the classes that differ from the tier's
    rate with the next lower `above`, or, failing that, from the standard tier.
    """

    units: dict[str, int]
    tier: str = ""
    above: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """Everything needed to price one model's replies, whatever they turn out to be.

    `model` is the entry that matched; `source` says where it came from ("bundled 2026-10-21
    litellm 1.106.2", "override #3"). `web_search` is None where it is not known.
    """

    model: str
    source: str
    rates: tuple[Rate, ...]
    web_search: int | None = None

    def rates_for(self, tier: str, prompt: int) -> list[Rate]:
        """Return the rates that apply to a reply, most specific first.

        `tier` is the service tier the vendor reports, `prompt` all prompt tokens, cached or not. A
        tier's own rates come before the standard ones and are not combined with them: a vendor
        that charges more for a long prompt on a special tier lists that price itself.
        """
        reached = [rate for rate in self.rates if rate.above == 0 or prompt > rate.above]
        if len(reached) > 1:
            reached.sort(key=lambda rate: -rate.above)
        own = [rate for rate in reached if tier and rate.tier == tier]
        return own + [rate for rate in reached if not rate.tier]


def unit_price(rates: Sequence[Rate], token_class: str) -> int:
    """Return the nanodollars per million tokens of a class, from rates ordered by preference.

    A class that no rate names costs what its plainer class costs: cached and spoken input as
    input, long-lived cache writes as short-lived ones, and so on. Only an embedding model's price
    lacks `output`: it produces none.
    """
    wanted: str | None = token_class
    while wanted is not None:
        for rate in rates:
            if wanted in rate.units:
                return rate.units[wanted]
        wanted = _FALLBACKS.get(wanted)
    return 0


@dataclass(frozen=True, slots=True)
class Override:
    """An operator's own price. Raises ValueError when it cannot be meant.

    `pattern` is a model name, or the beginning of one and a `*`. `prices` names classes of
    `PRICE_CLASSES`; `input` and `output` are required, so that nothing is free
    by omission. It holds from `valid_from` until before `valid_until` (seconds since 1970, None =
    open).
    """

    id: int
    pattern: str
    prices: Mapping[str, int]
    valid_from: float | None = None
    valid_until: float | None = None

    def __post_init__(self) -> None:
        if not self.pattern.strip() or "*" in self.pattern[:-1]:
            raise self._wrong("a pattern is a model name, with at most one * at its end")
        unknown = set(self.prices) - set(PRICE_CLASSES)
        if unknown or not {"input", "output"} <= set(self.prices):
            raise self._wrong(f"prices name input, output, and of {', '.join(PRICE_CLASSES)} any")
        if any(type(unit) is not int or unit < 0 for unit in self.prices.values()):
            raise self._wrong("a price is a whole number of nanodollars, 0 or more")

    def _wrong(self, rule: str) -> ValueError:
        return ValueError(f"price override #{self.id}: {rule}")

    def matches(self, names: Iterable[str]) -> bool:
        """Tell whether the pattern means any of these (lower-case) names."""
        pattern = self.pattern.strip().lower()
        if pattern.endswith("*"):
            return any(name.startswith(pattern[:-1]) for name in names)
        return pattern in names

    def holds(self, at: float) -> bool:
        """Tell whether the price is in force at `at` (seconds since 1970)."""
        return (self.valid_from is None or at >= self.valid_from) and (
            self.valid_until is None or at < self.valid_until
        )

    @property
    def precedence(self) -> tuple[int, bool, float, int]:
        """Order overrides by: the longer pattern, the exact one, the newer one."""
        pattern = self.pattern.strip()
        begins = float("-inf") if self.valid_from is None else self.valid_from
        return (len(pattern.rstrip("*")), not pattern.endswith("*"), begins, self.id)

    def as_price(self) -> Price:
        """Return the override as a price: one rate, whatever the tier or the prompt's length."""
        units = {name: unit for name, unit in self.prices.items() if name != "web_search"}
        return Price(
            model=self.pattern.strip(),
            source=f"override #{self.id}",
            rates=(Rate(units),),
            web_search=self.prices.get("web_search"),
        )


class PriceBook:
    """All prices there are. Finding one is memoised: the hot path searches once per model."""

    def __init__(self, source: str, models: Mapping[str, dict[str, Any]]) -> None:
        """Take the bundled list: `models` maps lower-case names to entries of `prices.json`."""
        self.source = source
        self._models = models
        self._overrides: tuple[Override, ...] = ()
        self._memo: dict[
            tuple[str, str], tuple[tuple[tuple[Override, Price], ...], Price | None]
        ] = {}

    @classmethod
    def load_bundled(cls) -> PriceBook:
        """Read the price list that comes with this release."""
        text = resources.files("sub2api.billing").joinpath("prices.json").read_bytes()
        listed = msgspec.json.decode(text)
        source = f"bundled {listed['date']} {listed['source']} {listed['source_version']}"
        return cls(source, listed["models"])

    def __len__(self) -> int:
        return len(self._models)

    def set_overrides(self, overrides: Iterable[Override]) -> None:
        """Replace the operator's prices."""
        self._overrides = tuple(
            sorted(overrides, key=lambda override: override.precedence, reverse=True)
        )
        self._memo.clear()

    def find(self, model: str, platform: str, at: float) -> Price | None:
        """Return the price of `model` in force at `at` (seconds since 1970), None if there is none.

        `platform` is that of the account which serves the call: where a price list has several
        entries for one name, its own comes first.
        """
        found = self._memo.get((model, platform))
        if found is None:
            found = self._search(model, platform)
            if len(self._memo) >= _MEMO_SIZE:
                del self._memo[next(iter(self._memo))]
            self._memo[model, platform] = found
        overrides, bundled = found
        for override, price in overrides:
            if override.holds(at):
                return price
        return bundled

    def _search(
        self, model: str, platform: str
    ) -> tuple[tuple[tuple[Override, Price], ...], Price | None]:
        names = candidates_of(model)
        own = tuple(
            (override, override.as_price())
            for override in self._overrides
            if override.matches(names)
        )
        return own, self._bundled(names, platform)

    def _bundled(self, names: tuple[str, ...], platform: str) -> Price | None:
        for name in names:
            for listed in (f"{platform}/{name}", name, *(f"{v}/{name}" for v in _FIRST_PARTY)):
                entry = self._models.get(listed)
                if entry is not None:
                    return self._read(listed, entry)
        return None

    def _read(self, name: str, entry: dict[str, Any]) -> Price:
        rates = tuple(
            Rate(
                units={
                    key: unit
                    for key, unit in rate.items()
                    if key in _FALLBACKS or key in ("input", "output")
                },
                tier=rate.get("tier", ""),
                above=rate.get("above", 0),
            )
            for rate in entry["rates"]
        )
        return Price(name, self.source, rates, entry.get("web_search"))
