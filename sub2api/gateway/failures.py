"""What went wrong with an attempt: what the client is told, and what may follow."""

from __future__ import annotations

from sub2api.errors import TIMEOUT, UPSTREAM, ClientError, Next, UpstreamError

_BREAKS = {
    "truncated": "The upstream broke the stream off before it was complete.",
    "reset": "The upstream broke the stream off before it was complete.",
    "idle_timeout": "The upstream has been silent for too long.",
    "too_large": "The upstream sent an event that is too large.",
}


def break_text(cause: str) -> str:
    """Return what a client is told of a stream that broke off."""
    return _BREAKS.get(cause, _BREAKS["truncated"])


def broken(cause: str, message: str = "") -> UpstreamError:
    """Return the error of an attempt whose bytes did not come, or came wrong."""
    timed_out = cause in {"idle_timeout", "first_byte_timeout"}
    shown = ClientError(
        _BREAKS.get(cause, "The upstream could not be reached. Try again later."),
        status=504 if timed_out else 502,
        kind=TIMEOUT if timed_out else UPSTREAM,
    )
    return UpstreamError(message or cause, then=Next.OTHER_ACCOUNT, cause=cause, shown=shown)


def error_event(received: dict[str, object]) -> UpstreamError:
    """Return the failure that an error event stands for, classified by its vendor's type word."""
    text = str(received.get("type") or received.get("code") or received.get("status") or "")
    message = str(received.get("message") or "The upstream failed.")[:2048]
    caller = text in {"invalid_request_error", "INVALID_ARGUMENT", "not_found_error"}
    shown = ClientError(message if caller else "The upstream failed. Try again later.",
                        status=400 if caller else 502, kind=UPSTREAM)  # fmt: skip
    then = Next.GIVE_UP if caller else Next.OTHER_ACCOUNT
    return UpstreamError(f"error event: {text}", then=then, cause="error_event", shown=shown)
