"""What the Gemini API means by a refusal."""

from __future__ import annotations

import math
import re

from sub2api.errors import UpstreamError
from sub2api.platforms.refusals import CREDENTIAL, error_from, verdict_of
from sub2api.transport.messages import Headers

_DELAY = re.compile(rb'"(?:retryDelay|quotaResetDelay)"\s*:\s*"(\d+(?:\.\d+)?)s"')
_BAD_KEY = (b"API_KEY_INVALID", b"API key not valid", b"API key expired")


def judge(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Classify a refusal. Google answers a bad key with 400, and puts delays into the body."""
    verdict = verdict_of(status)
    head = body[:16384]
    if status == 400 and any(phrase in head for phrase in _BAD_KEY):
        verdict = CREDENTIAL
    wait = _DELAY.search(head) if status in {429, 503} else None
    retry_after = float(math.ceil(float(wait.group(1)))) if wait else None
    return error_from(verdict, status, headers, body, retry_after=retry_after)
