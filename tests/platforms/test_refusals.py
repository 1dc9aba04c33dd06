"""Refusals of the vendors: whose fault, and what happens next."""

from __future__ import annotations

import pytest

from sub2api.errors import Fault, Next
from sub2api.platforms import BY_NAME

CALLER = (Fault.CALLER, Next.GIVE_UP)
ACCOUNT = (Fault.ACCOUNT, Next.OTHER_ACCOUNT)
PROVIDER = (Fault.PROVIDER, Next.OTHER_ACCOUNT)
ERROR = b'{"error":{"type":"invalid_request_error","message":"prompt is too long"}}'


@pytest.mark.parametrize("platform", ["anthropic", "openai", "gemini"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, CALLER), (404, CALLER), (413, CALLER), (422, CALLER), (401, ACCOUNT), (402, ACCOUNT),
        (403, ACCOUNT), (429, ACCOUNT), (500, PROVIDER), (503, PROVIDER), (529, PROVIDER),
        (302, PROVIDER), (408, PROVIDER),
    ],
)  # fmt: skip
def test_every_status_has_its_fault(
    platform: str, status: int, expected: tuple[Fault, Next]
) -> None:
    error = BY_NAME[platform].judge(status, [], ERROR)  # type: ignore[index]
    assert (error.fault, error.then) == expected
    assert error.status == status
    if error.fault is Fault.CALLER:
        assert error.answer == (status, [], ERROR)
    else:
        assert error.answer is None
        assert "prompt" not in str(error.shown)


@pytest.mark.parametrize(
    ("platform", "status", "body", "cause"),
    [
        ("anthropic", 400, b"This organization has been disabled.", "account_disabled"),
        ("anthropic", 400, b"Your credit balance is too low", "account_disabled"),
        ("openai", 403, b'{"error":{"code":"model_not_found"}}', "caller_fault"),
        ("openai", 429, b'{"error":{"code":"insufficient_quota"}}', "account_quota"),
        ("gemini", 400, b'{"error":{"message":"API key not valid."}}', "credential_refused"),
    ],
)
def test_bodies_tell_what_the_status_hides(
    platform: str, status: int, body: bytes, cause: str
) -> None:
    assert BY_NAME[platform].judge(status, [], body).cause == cause  # type: ignore[index]


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
    assert BY_NAME["anthropic"].judge(429, headers, b"").shown.retry_after == expected


def test_googles_wait_is_read_from_the_body_rounded_up() -> None:
    body = b'{"error":{"details":[{"@type":"RetryInfo","retryDelay":"10.1s"}]}}'
    assert BY_NAME["gemini"].judge(429, [], body).shown.retry_after == 11.0
    assert BY_NAME["gemini"].judge(400, [], body).shown.retry_after is None
