"""Make sub2api/billing/prices.json from a public price list.

    python -m tools.make_prices LIST.json --version 1.106.2 --date 2026-10-21

LIST.json is `model_prices_and_context_window_backup.json` as found in LiteLLM's wheel. Only that
file is needed: unpack it from the wheel, never install or run the package. Numbers are read as
decimals and become whole nanodollars per million tokens (3e-06 dollars a token = 3000000000); what
is finer than that in the list is floating-point noise, and is rounded half-even.

An entry is kept when it prices tokens of a text model above zero. Entries whose facts equal those
of the same model without its provider or region prefix are left out, and so are clouds that cannot
be reached.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "sub2api" / "billing" / "prices.json"

_TEXT_MODES = {"chat", "responses", "completion", "embedding"}
_GEMINI_PROVIDERS = {"gemini", "vertex_ai-language-models"}
# Clouds called by signature or by deployment name: no account of ours speaks to them, and their
# regional variants would be a third of the file.
_UNREACHABLE = {"bedrock", "bedrock_converse", "sagemaker", "azure", "azure_ai", "azure_text"}
_PER_CALL_FEES = ("input_cost_per_request", "input_cost_per_query")
_NANODOLLARS_PER_MILLION_TOKENS = Decimal(10) ** 15
_NANODOLLARS = Decimal(10) ** 9

_CLASSES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_long",
    "input_cost_per_audio_token": "input_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_reasoning_token": "reasoning",
}
_FIELD = re.compile(
    rf"(?P<field>{'|'.join(sorted(_CLASSES, key=len, reverse=True))})"
    r"(?:_above_(?P<thousands>\d+)k_tokens)?(?:_(?P<tier>batches|[a-z]+))?"
)
_TIERS = {None: "", "batches": "batch"}
_REGION = re.compile(r"^(?:[a-z-]+\.)?(?:anthropic|openai|google|meta|mistral|deepseek)\.")

Rates = dict[tuple[str, int], dict[str, int]]
"""Unit prices by class, by (service tier, prompt tokens above which they hold)."""


def main() -> None:
    """Read the command line, write the file, say what became of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("list", type=Path)
    parser.add_argument("--version", required=True, help="the release of litellm the list is from")
    parser.add_argument("--date", required=True, help="the day the list was made, YYYY-MM-DD")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    text = arguments.list.read_bytes()
    book = {
        "source": "litellm",
        "source_version": arguments.version,
        "date": arguments.date,
        "sha256": hashlib.sha256(text).hexdigest(),
        "models": models_of(json.loads(text, parse_float=Decimal)),
    }
    arguments.output.write_text(render(book), "utf-8")
    print(
        f"{len(book['models'])} models, {arguments.output.stat().st_size} bytes: {arguments.output}"
    )


def render(book: dict[str, Any]) -> str:
    """Return the file's text: one model a line, sorted, so that a new list is a readable diff."""
    head = {key: value for key, value in book.items() if key != "models"}
    lines = [f" {_compact(key)}:{_compact(value)}," for key, value in head.items()]
    models = [
        f"  {_compact(name)}:{_compact(entry)}" for name, entry in sorted(book["models"].items())
    ]
    return "\n".join(["{", *lines, ' "models":{', ",\n".join(models), " }", "}", ""])


def models_of(listed: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return our entries by lower-case name.

    Raises ValueError if two names become one, with different facts.
    """
    models: dict[str, dict[str, Any]] = {}
    for name, facts in listed.items():
        entry = entry_of(facts)
        if entry is None:
            continue
        if models.setdefault(name.lower(), entry) != entry:
            msg = f"{name} is listed twice, with different prices"
            raise ValueError(msg)
    return {name: entry for name, entry in models.items() if not _is_duplicate(name, entry, models)}


def entry_of(facts: dict[str, Any]) -> dict[str, Any] | None:
    """Return one model's entry, None when the list does not price its tokens."""
    if not _is_text(facts) or facts["litellm_provider"] in _UNREACHABLE:
        return None
    if any(facts.get(fee) for fee in _PER_CALL_FEES):
        return None
    rates = _rates_of(facts)
    base = rates.get(("", 0), {})
    if not base.get("input") or (facts["mode"] != "embedding" and not base.get("output")):
        return None
    entry: dict[str, Any] = {
        "platform": facts["litellm_provider"],
        "rates": [_rate(key, units) for key, units in sorted(rates.items())],
    }
    search = facts.get("search_context_cost_per_query", {}).get("search_context_size_medium")
    if search:
        entry["web_search"] = _whole(search, _NANODOLLARS)
    return entry


def _is_text(facts: dict[str, Any]) -> bool:
    # Gemini's image models answer on the same route as its text models, and cost by the token.
    mode = facts.get("mode")
    return mode in _TEXT_MODES or (
        mode == "image_generation" and facts["litellm_provider"] in _GEMINI_PROVIDERS
    )


def _rates_of(facts: dict[str, Any]) -> Rates:
    rates: Rates = {}
    for key, value in _priced_fields(facts):
        tier, above, name = key
        rates.setdefault((tier, above), {})[name] = _whole(value, _NANODOLLARS_PER_MILLION_TOKENS)
    fast = facts.get("provider_specific_entry", {}).get("fast")
    if fast:
        _add_multiple(rates, "fast", Decimal(fast))
    for units in rates.values():
        _drop_redundant_reasoning(units, rates.get(("", 0), {}))
    return {key: units for key, units in rates.items() if units}


def _priced_fields(facts: dict[str, Any]) -> Iterator[tuple[tuple[str, int, str], Decimal]]:
    """Yield ((tier, above, class), dollars a token) for every token price of an entry."""
    for field, value in facts.items():
        match = _FIELD.fullmatch(field)
        if match and value is not None:
            tier = _TIERS.get(match["tier"], match["tier"])
            above = int(match["thousands"] or 0) * 1000
            yield (tier, above, _CLASSES[match["field"]]), Decimal(value)
    for step in facts.get("tiered_pricing", ()):
        for field in step.keys() & _CLASSES.keys():
            yield ("", int(step["range"][0]), _CLASSES[field]), Decimal(step[field])


def _add_multiple(rates: Rates, tier: str, factor: Decimal) -> None:
    """Add a tier that costs a multiple of the standard one, every class and threshold alike."""
    for (own_tier, above), units in list(rates.items()):
        if not own_tier:
            rates[tier, above] = {
                name: _whole(unit * factor, Decimal(1)) for name, unit in units.items()
            }


def _drop_redundant_reasoning(units: dict[str, int], base: dict[str, int]) -> None:
    if units.get("reasoning") == units.get("output", base.get("output")):
        units.pop("reasoning", None)


def _rate(key: tuple[str, int], units: dict[str, int]) -> dict[str, Any]:
    tier, above = key
    named = {"tier": tier} if tier else {}
    return {**named, **({"above": above} if above else {}), **dict(sorted(units.items()))}


def _whole(value: Decimal | int, unit: Decimal) -> int:
    amount = (Decimal(value) * unit).quantize(Decimal(1), ROUND_HALF_EVEN)
    if amount < 0:
        msg = f"a price is negative: {value}"
        raise ValueError(msg)
    return int(amount)


def _is_duplicate(name: str, entry: dict[str, Any], models: dict[str, dict[str, Any]]) -> bool:
    bare = _REGION.sub("", name.rpartition("/")[2])
    other = models.get(bare)
    return (
        bare != name
        and other is not None
        and {**other, "platform": ""} == {**entry, "platform": ""}
    )


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    main()
