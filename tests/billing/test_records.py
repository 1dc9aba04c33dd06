from __future__ import annotations

import msgspec
import pytest

from sub2api.billing.prices import Price, Rate
from sub2api.billing.records import (
    INTERRUPTED,
    INTERRUPTED_STATUS,
    Close,
    Open,
    Progress,
    fill_money,
    fill_usage,
    recovered,
    tariff_of,
)
from sub2api.model.tokens import Tokens, Usage
from sub2api.model.usage import UsageRow

PRICE = Price("m", "bundled", (Rate({"input": 1_000_000, "output": 2_000_000}),))


def row(**fields: object) -> UsageRow:
    known: dict[str, object] = {
        "call_id": "c1",
        "user_id": 1,
        "key_id": 2,
        "key_name": "laptop",
        "account_id": 3,
        "wire": "messages",
        "operation": "generate",
        "model": "m",
        "attempts": 2,
        "started_at": 5.0,
        "client_ip": "127.0.0.1",
    }
    return msgspec.convert(known | fields, UsageRow)


def test_the_columns_of_a_row_are_disjoint_and_complete() -> None:
    tokens = Tokens(
        input=1, output=2, cache_read=3, cache_write=4, cache_write_long=5, input_audio=6,
        input_image=7, output_audio=8, output_image=9, reasoning=10, web_searches=11,
        service_tier="flex",
    )  # fmt: skip
    filled = row()
    fill_usage(filled, tokens, {"vendor": "said"})
    assert filled.received == {"vendor": "said"}
    assert filled.details == {
        "input_audio": 6,
        "input_image": 7,
        "output_audio": 8,
        "output_image": 9,
        "reasoning": 10,
        "web_searches": 11,
        "service_tier": "flex",
    }
    assert filled == row(
        input_tokens=1,
        output_tokens=2,
        cache_read_tokens=3,
        cache_creation_tokens=4,
        cache_creation_long_tokens=5,
        details=filled.details,
        received=filled.received,
    )


def test_rare_classes_that_did_not_occur_take_no_room() -> None:
    filled = row(details={"reasoning": 1})
    fill_usage(filled, Tokens(input=1), {})
    assert filled.details == {}


def test_without_a_price_the_cost_is_unknown_and_nothing_is_charged() -> None:
    filled = row(multiplier="2", cost=1, list_cost=1, charged=1, pricing={"source": "x"})
    fill_money(filled, Tokens(input=5), None, charge=True)
    assert (filled.cost, filled.list_cost, filled.charged, filled.pricing) == (None, None, 0, {})


@pytest.mark.parametrize(("charge", "charged"), [(True, 14), (False, 0)])
def test_only_owners_who_pay_are_charged(charge: bool, charged: int) -> None:
    filled = row(multiplier="2")
    fill_money(filled, Tokens(input=7), tariff_of(PRICE, "2"), charge=charge)
    assert (filled.cost, filled.list_cost, filled.charged) == (14, 7, charged)
    assert filled.pricing["multiplier"] == "2"


def test_a_recovered_call_is_billed_for_what_was_reported() -> None:
    opened = Open(row=row(multiplier="2"), price=PRICE, charge=True)
    progress = Progress(call_id="c1", usage=Usage(Tokens(input=3, output=4), {"raw": 1}))
    close = recovered(opened, progress).row
    assert (close.cost, close.list_cost, close.charged) == (22, 11, 22)
    assert (close.input_tokens, close.output_tokens, close.received) == (3, 4, {"raw": 1})
    assert (close.status, close.error) == (INTERRUPTED_STATUS, INTERRUPTED)
    assert (close.settled_by, close.truncated, close.attempts) == ("recovered", True, 2)
    assert (close.key_name, close.client_ip, close.started_at) == ("laptop", "127.0.0.1", 5.0)


def test_a_recovered_call_that_reported_nothing_costs_nothing() -> None:
    close = recovered(Open(row=row(), price=PRICE), None).row
    assert (close.cost, close.charged, close.output_tokens) == (0, 0, 0)


def test_a_recovered_call_without_a_price_has_an_unknown_cost() -> None:
    close = recovered(Open(row=row(), charge=True), None).row
    assert (close.cost, close.charged) == (None, 0)


def test_an_impossible_multiplier_is_not_charged() -> None:
    with pytest.raises(ArithmeticError):
        recovered(Open(row=row(multiplier="many"), price=PRICE), None)


def test_a_record_knows_its_call() -> None:
    assert Open(row=row()).call_id == Close(row=row()).call_id == "c1"
