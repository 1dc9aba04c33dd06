from __future__ import annotations

import zlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sub2api.billing import lines
from sub2api.billing.prices import Price, Rate
from sub2api.billing.records import Binding, Close, Open, Progress
from sub2api.model.tokens import Tokens, Usage
from sub2api.model.usage import FailedAttempt, UsageRow


def row(**fields: object) -> UsageRow:
    known: dict[str, object] = {
        "call_id": "c1",
        "user_id": 1,
        "key_id": 2,
        "key_name": "k",
        "wire": "messages",
        "operation": "generate",
        "model": "m",
        "started_at": 1.5,
    }
    return UsageRow(**(known | fields))  # type: ignore[arg-type]  # fields by name


OPEN = Open(row=row(), price=Price("m", "s", (Rate({"input": 1}),)), charge=True)
OPENING = lines.Opening(
    Open(row=row(user_agent="Ünicode", multiplier="2"), price=OPEN.price, charge=True)
)
PROGRESS = Progress(call_id="c1", usage=Usage(Tokens(input=5), {"input_tokens": 5}))
CLOSE = Close(
    row=row(cost=None, received={"a": [1, {"b": None}]}), bindings=[Binding(2, "r", 3, 4.0)]
)


def test_a_line_is_a_checksum_and_json() -> None:
    line = lines.encode(CLOSE)
    checksum, _, text = line.partition(b" ")
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert int(checksum, 16) == zlib.crc32(text.rstrip(b"\n"))
    assert msgspec.json.decode(text)["type"] == "close"


def test_every_record_comes_back_as_it_was() -> None:
    for record in (OPEN, PROGRESS, CLOSE):
        assert lines.decode(lines.encode(record)) == record
    assert lines.prepare(CLOSE)[0] is CLOSE


def test_a_line_cut_anywhere_is_no_record() -> None:
    line = lines.encode(PROGRESS)
    for end in range(len(line) - 1):
        assert lines.decode(line[:end]) is None


def test_a_changed_byte_is_noticed() -> None:
    line = lines.encode(PROGRESS)
    for index in range(len(line) - 1):
        changed = line[:index] + bytes([line[index] ^ 1]) + line[index + 1 :]
        assert lines.decode(changed) is None


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(noise: bytes) -> None:
    assert lines.decode(noise) is None
    assert lines.decode(b"%08x %b" % (zlib.crc32(noise), noise)) is None


def test_records_of_other_releases_are_read_as_far_as_they_are_known() -> None:
    newer = msgspec.json.decode(msgspec.json.encode(PROGRESS)) | {"novelty": 1}
    text = msgspec.json.encode(newer)
    assert lines.decode(b"%08x %b\n" % (zlib.crc32(text), text)) == PROGRESS
    text = b'{"type":"unheard-of"}'
    assert lines.decode(b"%08x %b\n" % (zlib.crc32(text), text)) is None


@given(st.text(st.characters(codec=None), max_size=50))
def test_any_text_of_a_client_can_be_written_and_read(text: str) -> None:
    record, line = lines.prepare(Close(row=row(model=text, received={text: [text]})))
    assert lines.decode(line) == record


def test_half_a_surrogate_pair_is_replaced() -> None:
    record, line = lines.prepare(Close(row=row(model="gpt\ud800", received={"\udfff": "x"})))
    assert record.row.model == "gpt?"
    assert record.row.received == {"?": "x"}
    assert lines.decode(line) == record


def test_an_oversized_record_loses_what_the_vendor_sent_but_not_what_it_costs() -> None:
    huge = {"junk": ["x" * 100] * 5000}
    bindings = [Binding(2, "r", 3, 4.0)]
    record, line = lines.prepare(Close(row=row(cost=7, received=huge), bindings=bindings))
    assert len(line) < lines.MAX_LINE
    assert (record.row.cost, record.row.received, record.bindings) == (7, {}, [])
    progress, line = lines.prepare(Progress(call_id="c1", usage=Usage(Tokens(input=5), huge)))
    assert progress.usage == Usage(Tokens(input=5))
    assert lines.decode(line) == progress


def test_long_text_is_cut_before_anything_is_dropped() -> None:
    record, line = lines.prepare(Close(row=row(model="m" * 1_000_000, received={"a": 1})))
    assert record.row.model == "m" * 4096
    assert record.row.received == {"a": 1}
    assert lines.decode(line) == record


@given(st.text(max_size=20), st.floats(0, 2e9), st.integers(1, 9), st.text(max_size=50))
def test_an_opening_is_the_line_of_the_whole_record(
    call_id: str, started_at: float, attempts: int, address: str
) -> None:
    own = {"call_id": call_id, "started_at": started_at, "attempts": attempts}
    mine = row(**own, client_ip=address, user_agent="Ünicode", multiplier="2")
    line = OPENING.line(mine)
    assert lines.decode(line) == msgspec.structs.replace(OPEN, row=mine)


def test_an_opening_is_tamed_like_any_line() -> None:
    odd = row(user_agent="\udcff", model="x" * 300_000)
    line = lines.Opening(Open(row=odd)).line(odd)
    assert len(line) < lines.MAX_LINE
    found = lines.decode(line)
    assert isinstance(found, Open)
    assert found.row.model == "x" * 4096


def test_failed_attempts_survive(calls: Any) -> None:
    failed = FailedAttempt(position=1, account_id=9, cause="burst", started_at=1.5, list_cost=3)
    close = msgspec.structs.replace(calls.close("a"), attempts=[failed])
    assert lines.decode(lines.encode(close)) == close
    assert b'"attempts":[' not in lines.encode(calls.close("a"))
