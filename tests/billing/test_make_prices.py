from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sub2api.billing.prices import PriceBook
from tools import make_prices


def facts(**fields: Any) -> dict[str, Any]:
    base = {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": Decimal("0.000003"),
        "output_cost_per_token": Decimal("1.5E-5"),
    }
    return base | fields


def rates(**fields: Any) -> list[dict[str, Any]]:
    entry = make_prices.entry_of(facts(**fields))
    assert entry is not None
    return entry["rates"]


BASE = {"input": 3_000_000_000, "output": 15_000_000_000}


def test_dollars_a_token_become_whole_nanodollars_a_million() -> None:
    assert rates() == [BASE]
    assert rates(input_cost_per_token=Decimal("0.0000032000000000000003"))[0]["input"] == (
        3_200_000_000
    )


def test_every_class_tier_and_threshold_is_read() -> None:
    assert rates(
        cache_read_input_token_cost=Decimal("3E-7"),
        cache_creation_input_token_cost=Decimal("0.00000375"),
        cache_creation_input_token_cost_above_1hr=Decimal("0.000006"),
        cache_creation_input_token_cost_above_1hr_above_200k_tokens=Decimal("0.000012"),
        input_cost_per_token_above_200k_tokens=Decimal("0.000006"),
        input_cost_per_token_batches=Decimal("0.0000015"),
        input_cost_per_token_above_200k_tokens_priority=Decimal("0.00001"),
        input_cost_per_token_cache_hit=Decimal("0.1"),
        input_cost_per_character=Decimal("0.1"),
        output_cost_per_token_flex=None,
    ) == [
        {**BASE, "cache_read": 300_000_000, "cache_write": 3_750_000_000,
         "cache_write_long": 6_000_000_000},
        {"above": 200_000, "cache_write_long": 12_000_000_000, "input": 6_000_000_000},
        {"tier": "batch", "input": 1_500_000_000},
        {"tier": "priority", "above": 200_000, "input": 10_000_000_000},
    ]  # fmt: skip


def test_a_fast_mode_multiplies_the_standard_prices() -> None:
    assert rates(
        input_cost_per_token_above_200k_tokens=Decimal("0.000006"),
        input_cost_per_token_batches=Decimal("0.0000015"),
        provider_specific_entry={"fast": Decimal("2.0")},
    )[-2:] == [
        {"tier": "fast", "input": 6_000_000_000, "output": 30_000_000_000},
        {"tier": "fast", "above": 200_000, "input": 12_000_000_000},
    ]


def test_tiers_by_prompt_length_become_thresholds() -> None:
    steps = [
        {"range": [0, 1000], "input_cost_per_token": Decimal("1E-6")},
        {"range": [Decimal("1000.0"), 2000], "input_cost_per_token": Decimal("2E-6")},
    ]
    assert rates(tiered_pricing=steps) == [
        {**BASE, "input": 1_000_000_000},
        {"above": 1000, "input": 2_000_000_000},
    ]


def test_reasoning_is_kept_only_where_it_has_a_price_of_its_own() -> None:
    assert rates(output_cost_per_reasoning_token=Decimal("0.000015")) == [BASE]
    assert rates(output_cost_per_reasoning_token=Decimal("0.00002"))[0]["reasoning"] == (
        20_000_000_000
    )
    assert rates(
        output_cost_per_token_flex=Decimal("0.000007"),
        output_cost_per_reasoning_token_flex=Decimal("0.000007"),
        output_cost_per_reasoning_token_priority=Decimal("0.000015"),
    ) == [BASE, {"tier": "flex", "output": 7_000_000_000}]


def test_searches_are_priced_by_the_call() -> None:
    sizes = {"search_context_size_low": Decimal(1), "search_context_size_medium": Decimal("0.01")}
    entry = make_prices.entry_of(facts(search_context_cost_per_query=sizes))
    assert entry is not None
    assert entry["web_search"] == 10_000_000


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "audio_speech"},
        {"mode": "image_generation"},
        {"input_cost_per_token": 0},
        {"output_cost_per_token": 0},
        {"input_cost_per_token": None, "output_cost_per_token": None},
        {"input_cost_per_request": Decimal("0.005")},
        {"litellm_provider": "bedrock"},
    ],
)
def test_what_has_no_price_by_the_token_is_left_out(fields: dict[str, Any]) -> None:
    assert make_prices.entry_of(facts(**fields)) is None


def test_embeddings_and_geminis_image_models_are_kept() -> None:
    assert rates(mode="embedding", output_cost_per_token=0)[0]["output"] == 0
    assert rates(mode="image_generation", litellm_provider="gemini") == [BASE]


def test_a_negative_price_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        make_prices.entry_of(facts(input_cost_per_token=Decimal(-1)))


def test_copies_under_a_prefix_are_left_out_and_differences_kept() -> None:
    dearer = facts(input_cost_per_token=Decimal("0.000004"))
    models = make_prices.models_of(
        {
            "M-1": facts(),
            "host/m-1": facts(litellm_provider="host"),
            "us.anthropic.m-1": facts(litellm_provider="bedrock_mantle"),
            "other/m-1": dearer,
            "host/m-2": facts(),
        }
    )
    assert models.keys() == {"m-1", "other/m-1", "host/m-2"}


def test_one_name_with_two_prices_is_refused() -> None:
    with pytest.raises(ValueError, match="listed twice"):
        make_prices.models_of({"M": facts(), "m": facts(input_cost_per_token=Decimal(1))})


def test_the_file_is_one_model_a_line_and_readable_by_the_price_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "list.json", tmp_path / "prices.json"
    source.write_text(json.dumps({"b": facts(), "a": facts()}, default=float), "utf-8")
    arguments = ["make_prices", str(source), "--version", "1.2.3", "--date", "2026-01-02"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--output", str(target)])
    make_prices.main()
    assert "2 models" in capsys.readouterr().out
    made = json.loads(target.read_text("utf-8"))
    assert list(made["models"]) == ["a", "b"]
    assert (made["source_version"], made["date"], len(made["sha256"])) == (
        "1.2.3",
        "2026-01-02",
        64,
    )
    assert len(target.read_text("utf-8").splitlines()) == 9 + 1
    price = PriceBook("x", made["models"]).find("a", "openai", 0)
    assert price is not None
    assert price.rates[0].units == BASE
