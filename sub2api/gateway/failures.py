"""What went wrong with an attempt: what the client is told, and what may follow."""

from __future__ import annotations

import msgspec

from sub2api.errors import TIMEOUT, UPSTREAM, ClientError, Fault, Next, UpstreamError
from sub2api.model.accounts import PlatformName
from sub2api.model.health import Harm
from sub2api.platforms import BY_NAME

_BREAKS = {
    "truncated": "The upstream broke the stream off before it was complete.",
    "reset": "The upstream broke the stream off before it was complete.",
    "idle_timeout": "The upstream has been silent for too long.",
    "too_large": "The upstream sent an event that is too large.",
}
_SILENT = frozenset({"idle_timeout", "first_byte_timeout"})

_STATUS_OF = {
    # Messages: https://docs.anthropic.com/en/api/errors
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402,
    "permission_error": 403, "not_found_error": 404, "request_too_large": 413,
    "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
    # Responses and Chat: `code`, else `type`
    "invalid_prompt": 400, "context_length_exceeded": 400, "invalid_api_key": 401,
    "model_not_found": 404, "rate_limit_exceeded": 429, "insufficient_quota": 429,
    "usage_limit_reached": 429, "server_error": 500, "server_is_overloaded": 503, "slow_down": 503,
    # Gemini: `status`, google.rpc.Code
    "INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429, "INTERNAL": 500, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
_ANTHROPIC = frozenset(
    {"rate_limit_error", "authentication_error", "permission_error", "billing_error",
     "overloaded_error", "api_error"}
)  # fmt: skip
_ABOUT_CREDENTIALS = (
    "api key", "api-key", "api_key", "token has", "oauth", "credential", "authentication",
)  # fmt: skip


def break_text(cause: str) -> str:
    """Return what a client is told of a stream that broke off."""
    return _BREAKS.get(cause, _BREAKS["truncated"])


def broken(cause: str, message: str = "") -> UpstreamError:
    """Return the error of an attempt whose bytes did not come, or came wrong."""
    timed_out = cause in _SILENT
    shown = ClientError(
        _BREAKS.get(cause, "The upstream could not be reached. Try again later."),
        status=504 if timed_out else 502,
        kind=TIMEOUT if timed_out else UPSTREAM,
    )
    harm = Harm("rest", "stalled", detail=message or cause) if timed_out else None
    return UpstreamError(
        message or cause, then=Next.OTHER_ACCOUNT, cause=cause, shown=shown, harm=harm
    )


def error_event(
    received: dict[str, object], platform: PlatformName | None = None, now: float = 0.0
) -> UpstreamError:
    """Return the failure that an error event stands for, read by its vendor's table.

    `received` is the event's error object. Its words stand for the status that the vendor would
    have answered with; a word that is not known is the provider's fault. Without a `platform` the
    words tell whose they are. `now` (seconds since 1970) is when it came: waits count from there.
    """
    word, status = _status_of(received)
    message = str(received.get("message") or "The upstream failed.")[:2048]
    if status in {401, 403} and not _is_about_credentials(message):
        status = 500
    body = msgspec.json.encode({"error": received})
    error = BY_NAME[platform or _vendor_of(word)].judge(status, [], body, now)
    if error.fault is Fault.CALLER:
        # The words were meant for the client; their frame is the vendor's, not the client's.
        error.shown = ClientError(message, status=400, kind=UPSTREAM)
        error.answer = None
    elif error.fault is Fault.PROVIDER:
        error.shown = ClientError(
            "The upstream failed. Try again later.", status=502, kind=UPSTREAM
        )
    error.args = (f"error event: {word}",)
    error.cause = "error_event"
    error.status = None
    return error


def _status_of(received: dict[str, object]) -> tuple[str, int]:
    words = [str(received[name]) for name in ("code", "type", "status") if received.get(name)]
    for word in words:
        if word in _STATUS_OF:
            return word, _STATUS_OF[word]
    return " ".join(words)[:100], 500


def _vendor_of(word: str) -> PlatformName:
    if word.isupper():
        return "gemini"
    return "anthropic" if word in _ANTHROPIC else "openai"


def _is_about_credentials(message: str) -> bool:
    said = message.lower()
    return any(phrase in said for phrase in _ABOUT_CREDENTIALS)
