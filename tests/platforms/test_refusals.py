"""Refusals of the vendors: whose fault, what it does to the account, and what happens next.

The rows in `tests/golden/refusals` are answers as the vendors give them, one file per vendor.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sub2api.errors import Fault, Next, UpstreamError
from sub2api.platforms import BY_NAME
from sub2api.platforms.refusals import retry_after_of

GOLDEN = Path(__file__).parents[1] / "golden" / "refusals"
PLATFORMS = ("anthropic", "openai", "gemini")
ROWS = [
    pytest.param(platform, row, id=f"{platform}: {row['name']}")
    for platform in PLATFORMS
    for row in json.loads((GOLDEN / f"{platform}.json").read_text())
]
CALLER = (Fault.CALLER, Next.GIVE_UP)
ACCOUNT = (Fault.ACCOUNT, Next.OTHER_ACCOUNT)
PROVIDER = (Fault.PROVIDER, Next.OTHER_ACCOUNT)
ERROR = b'{"error":{"type":"invalid_request_error","message":"prompt is too long"}}'


def judged(platform: str, row: dict[str, Any]) -> tuple[UpstreamError, bytes]:
    body = (
        row["body"].encode() if isinstance(row["body"], str) else json.dumps(row["body"]).encode()
    )
    headers = [(name.encode(), value.encode()) for name, value in row["headers"].items()]
    return BY_NAME[platform].judge(row["status"], headers, body, row["now"]), body  # type: ignore[index]


@pytest.mark.parametrize(("platform", "row"), ROWS)
def test_a_recorded_refusal_is_read_as_its_row_says(platform: str, row: dict[str, Any]) -> None:
    """Pains 20, 22 and T35, T39-T43."""
    error, body = judged(platform, row)
    expect = row["expect"]
    assert (error.fault.value, error.then.value) == (expect["fault"], expect["then"])
    assert error.status == row["status"]
    assert error.again == expect.get("again")
    assert (error.answer is not None) == expect["passes"]
    if expect["passes"]:
        assert error.answer is not None
        assert (error.answer[0], error.answer[2]) == (row["status"], body)
    else:
        assert error.shown.status == expect["shown"]
    if expect["harm"] is None:
        assert error.harm is None
        return
    assert error.harm is not None
    until = error.harm.until
    assert {
        "kind": error.harm.kind,
        "cause": error.harm.cause,
        "scope": error.harm.scope,
        "until": None if until is None else pytest.approx(until, rel=0, abs=0.01),
    } == expect["harm"]
    assert error.harm.detail == expect.get("detail", error.harm.detail)
    if until is not None:
        assert error.shown.retry_after == pytest.approx(until - row["now"], rel=0, abs=0.01)


def test_there_are_rows_enough_to_trust_the_table() -> None:
    assert len(ROWS) >= 90
    assert {param.values[0] for param in ROWS} == set(PLATFORMS)


@pytest.mark.parametrize(("platform", "row"), ROWS)
def test_a_callers_fault_never_harms_an_account(platform: str, row: dict[str, Any]) -> None:
    """Pain 22."""
    error, _ = judged(platform, row)
    assert error.fault is not Fault.CALLER or error.harm is None


@pytest.mark.parametrize(("platform", "row"), ROWS)
def test_what_a_client_is_told_is_never_the_vendors_text(
    platform: str, row: dict[str, Any]
) -> None:
    error, _ = judged(platform, row)
    assert str(error.shown).startswith("The upstream")
    assert error.harm is None or len(error.harm.detail) <= 512


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, CALLER), (404, CALLER), (413, CALLER), (422, CALLER), (401, ACCOUNT), (402, ACCOUNT),
        (403, ACCOUNT), (429, ACCOUNT), (500, PROVIDER), (503, PROVIDER), (529, PROVIDER),
        (302, PROVIDER), (408, PROVIDER),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "body", [ERROR, b"", b"\xff\xfe", b"[]", b'"text"', b'{"error":7}', b"[" * 9]
)
def test_every_status_has_its_fault_whatever_the_body(
    platform: str, status: int, expected: tuple[Fault, Next], body: bytes
) -> None:
    error = BY_NAME[platform].judge(status, [], body, 1764028800.0)  # type: ignore[index]
    assert (error.fault, error.then) == expected
    assert (error.harm is not None) == (error.fault is Fault.ACCOUNT or status == 529)
    if error.fault is Fault.CALLER:
        assert error.answer == (status, [], body)
    else:
        assert error.answer is None
    assert error.told == body


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"retry-after", b"7")], 7.0),
        ([(b"retry-after-ms", b"1500"), (b"retry-after", b"7")], 1.5),
        ([(b"retry-after", b"Mon, 23 Nov 2026 10:00:10 GMT"),
          (b"date", b"Mon, 23 Nov 2026 10:00:00 GMT")], 10.0),
        ([(b"retry-after", b"soon")], None),
        ([], None),
    ],
)  # fmt: skip
def test_the_wait_is_read_from_headers(
    headers: list[tuple[bytes, bytes]], expected: float | None
) -> None:
    error = BY_NAME["anthropic"].judge(429, headers, b"", 0.0)
    assert error.shown.retry_after == expected == retry_after_of(headers)


def test_a_burst_of_a_subscription_does_not_rest_it_for_hours() -> None:
    """Pain 20: the window headers come with every reply, also with a burst's refusal."""
    row = next(each for each in ROWS if "whose windows have room" in str(each.id)).values[1]
    error, _ = judged("anthropic", row)  # type: ignore[arg-type]
    assert error.harm is not None
    assert error.harm.until == row["now"] + 20  # type: ignore[index,call-overload]


NAMES = st.sampled_from(
    ["error", "message", "type", "code", "status", "details", "@type", "metadata", "reason",
     "violations", "quotaId", "quotaDimensions", "model", "retryDelay", "quotaResetDelay",
     "resets_at", "resets_in_seconds", "detail"]
)  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers(-9, 2**62) | st.floats(allow_nan=False)
    | st.sampled_from(["x/ErrorInfo", "RetryInfo", "QuotaFailure", "9" * 400 + "s", "1e999", "12s",
                       "try again in 3s", "per day", "{", "\u00b2", "usage_limit_reached"])
)  # fmt: skip
JSON = st.recursive(
    LEAVES, lambda each: st.lists(each, max_size=3) | st.dictionaries(NAMES, each, max_size=6)
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"retry-after", b"retry-after-ms", b"date", b"x-codex-primary-reset-after-seconds",
             b"x-codex-primary-used-percent", b"x-ratelimit-remaining-requests",
             b"x-ratelimit-reset-requests", b"anthropic-ratelimit-unified-5h-reset",
             b"anthropic-ratelimit-unified-reset", b"anthropic-ratelimit-requests-reset",
             b"anthropic-ratelimit-requests-remaining"]
        ),
        st.sampled_from([b"0", b"1", b"\xb2", b"9" * 400, b"1764028900", b"0001-01-01", b"nan"])
        | st.binary(max_size=12),
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLATFORMS), st.sampled_from([400, 401, 403, 429, 503, 529]), HEADERS, JSON)
def test_no_answer_of_a_vendor_can_break_the_reading(
    platform: str, status: int, headers: list[tuple[bytes, bytes]], body: object
) -> None:
    now = 1764028800.0
    error = BY_NAME[platform].judge(status, headers, json.dumps(body).encode(), now)  # type: ignore[index]
    assert error.fault is not Fault.CALLER or error.harm is None
    if error.harm is not None and error.harm.until is not None:
        assert now < error.harm.until < now + 32 * 86400
