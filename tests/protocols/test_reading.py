"""What the wires share when they look into a body."""

from __future__ import annotations

import math

import msgspec
import pytest

from sub2api.errors import ClientError
from sub2api.model.routes import Operation, Wire
from sub2api.protocols.dialects import DIALECTS
from sub2api.protocols.reading import count, decode_object, limit_of, member, text

WIRES = [Wire.MESSAGES, Wire.RESPONSES, Wire.CHAT]


def refused(wire: Wire, body: bytes, operation: Operation = Operation.GENERATE) -> ClientError:
    with pytest.raises(ClientError) as caught:
        DIALECTS[wire].peek(body, operation, "gemini-x")
    assert caught.value.status == 400
    assert not caught.value.retry_helps
    return caught.value


@pytest.mark.parametrize("wire", list(Wire))
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "not valid JSON"),
        (b'{"model":"\xff","generationConfig":"\xff"}', "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"generationConfig":' + b"[" * 5000, ""),
    ],
)
def test_a_body_that_is_no_object_is_refused_with_a_sentence(
    wire: Wire, body: bytes, said: str
) -> None:
    assert said in str(refused(wire, body))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "model is required"),
        (b'{"model":null}', "model is required"),
        (b'{"model":123}', "must be a string"),
        (b'{"model":"  "}', "1 to 256"),
        (b'{"model":"a","model":"b"}', "more than once"),
        (b'{"model":"a","mod\\u0065l":"b"}', "more than once"),
        (b'{"model":"a","stream":"true"}', "stream must be true or false"),
    ],
)
def test_a_bad_model_or_stream_is_refused_by_name(wire: Wire, body: bytes, said: str) -> None:
    error = refused(wire, body)
    assert said in str(error)
    assert error.param in {"model", "stream"}


@pytest.mark.parametrize("wire", WIRES)
def test_a_nested_model_key_is_no_second_model(wire: Wire) -> None:
    body = b'{"tools":[{"model":"x"}],"model":"a","metadata":{"model":"y"},"stream":null}'
    assert DIALECTS[wire].peek(body, Operation.GENERATE, "").model == "a"


def test_a_fractional_limit_is_left_to_the_vendor() -> None:
    assert limit_of(1.5) is None
    assert limit_of(True) is None
    assert limit_of(0) is None
    assert limit_of(12) == 12


def test_counts_are_whole_and_sane_whatever_was_sent() -> None:
    assert [count(each) for each in (3, 3.9, -1, True, "7", None, math.nan, math.inf, 2**70)] == [
        3, 3, 0, 0, 0, 0, 0, 2**53, 2**53,
    ]  # fmt: skip


def test_members_and_texts_of_the_wrong_type_are_empty() -> None:
    assert member([1], "a") == {}
    assert member({"a": 1}, "a") == {}
    assert text(1) == ""
    assert decode_object(b"[") == {}
    assert decode_object(b"[1]") == {}


def test_a_decoder_that_recurses_too_deep_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    from sub2api.protocols import reading

    class Deep:
        def decode(self, body: bytes) -> None:
            raise RecursionError

    with pytest.raises(ClientError, match="nested too deeply"):
        reading.decode_body(Deep(), b"{}")  # type: ignore[arg-type]
    assert isinstance(msgspec.UNSET, msgspec.UnsetType)
