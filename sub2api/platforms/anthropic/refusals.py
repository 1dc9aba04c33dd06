"""What an Anthropic-compatible host means by a refusal."""

from __future__ import annotations

import dataclasses

from sub2api.errors import UpstreamError
from sub2api.platforms.refusals import CREDENTIAL, error_from, verdict_of
from sub2api.transport.messages import Headers

_ACCOUNT_PHRASES = (b"organization has been disabled", b"credit balance is too low")
"""400s that are about the account although the status says otherwise."""


def judge(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Classify a refusal."""
    verdict = verdict_of(status)
    if status == 400 and any(phrase in body[:4096].lower() for phrase in _ACCOUNT_PHRASES):
        verdict = dataclasses.replace(CREDENTIAL, cause="account_disabled")
    return error_from(verdict, status, headers, body)
