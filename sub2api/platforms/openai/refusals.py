"""What an OpenAI-compatible host means by a refusal."""

from __future__ import annotations

import dataclasses

from sub2api.errors import Fault, UpstreamError
from sub2api.platforms.refusals import CALLER, CREDENTIAL, LIMITED, error_from, verdict_of
from sub2api.transport.messages import Headers

_MODEL_PHRASE = b'"model_not_found"'


def judge(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Classify a refusal.

    A 403 that is about the model is the caller's; a 429 `insufficient_quota` is about the account's
    contract and, unlike a burst, no reason to come back soon.
    """
    verdict = verdict_of(status)
    head = body[:4096]
    if status == 403 and _MODEL_PHRASE in head:
        verdict = CALLER
    elif status == 429 and b'"insufficient_quota"' in head:
        verdict = dataclasses.replace(
            LIMITED, cause="account_quota", fault=Fault.ACCOUNT, status=CREDENTIAL.status,
            kind=CREDENTIAL.kind, message="The upstream account's quota is used up.",
        )  # fmt: skip
    return error_from(verdict, status, headers, body)
