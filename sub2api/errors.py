"""Every error raised on purpose.

    Sub2APIError
    ├── SettingsError     the process must not start; the sentence says which key and why
    ├── MistakeError      a command's user asked for something impossible; exit code 1, no traceback
    ├── ClientError       a call is refused; its text is shown, in the client's own dialect
    ├── UpstreamError     an attempt failed; `then` tells the pipeline what to do next
    ├── TransportError    bytes did not get there or back; `cause` says which step failed
    ├── StoreError        the database did not do it; `transient` tells whether it may later
    └── SealError         a sealed secret cannot be opened with this key

A class exists only where somebody catches it differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sub2api.model.health import Harm


class Sub2APIError(Exception):
    """The root, so that a caller can tell our errors from everybody else's."""


class SettingsError(Sub2APIError):
    """The configuration forbids a start. The message names key, value and rule."""


class MistakeError(Sub2APIError):
    """A person asked for something that cannot be done. The message says what to do instead."""


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """A refusal's name in each vendor's vocabulary.

    `anthropic` is `error.type` on Messages; `openai` is (`error.type`, `error.code`) on Responses,
    Chat and Embeddings; `google` is `error.status` on Gemini routes.
    """

    anthropic: str
    openai: tuple[str, str | None]
    google: str


INVALID = ErrorKind("invalid_request_error", ("invalid_request_error", None), "INVALID_ARGUMENT")
UNAUTHENTICATED = ErrorKind(
    "authentication_error", ("invalid_request_error", "invalid_api_key"), "UNAUTHENTICATED"
)
FORBIDDEN = ErrorKind(
    "permission_error", ("invalid_request_error", "access_denied"), "PERMISSION_DENIED"
)
NOT_FOUND = ErrorKind("not_found_error", ("invalid_request_error", "not_found"), "NOT_FOUND")
TOO_LARGE = ErrorKind(
    "request_too_large", ("invalid_request_error", "request_too_large"), "INVALID_ARGUMENT"
)
RATE_LIMITED = ErrorKind(
    "rate_limit_error", ("requests", "rate_limit_exceeded"), "RESOURCE_EXHAUSTED"
)
OVERLOADED = ErrorKind("overloaded_error", ("server_error", "server_is_overloaded"), "UNAVAILABLE")
UPSTREAM = ErrorKind("api_error", ("server_error", "upstream_error"), "INTERNAL")
TIMEOUT = ErrorKind("timeout_error", ("server_error", "timeout"), "DEADLINE_EXCEEDED")
INTERNAL = ErrorKind("api_error", ("server_error", "internal_error"), "INTERNAL")
NO_PREVIOUS_RESPONSE = ErrorKind(
    "invalid_request_error",
    ("invalid_request_error", "previous_response_not_found"),
    "INVALID_ARGUMENT",
)


class ClientError(Sub2APIError):
    """A call is refused. Only this text, status and kind ever reach a client.

    `retry_after` is in seconds. `retry_helps` False tells SDKs that trying again is pointless
    (`x-should-retry: false`). `param` names the offending body field where the dialect has a place.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        kind: ErrorKind = INVALID,
        retry_after: float | None = None,
        retry_helps: bool | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.retry_after = retry_after
        self.retry_helps = (
            status in {408, 409, 429} or status >= 500 if retry_helps is None else retry_helps
        )
        self.param = param


class Fault(Enum):
    """Whose fault an upstream's refusal is. Only an account's fault touches its health."""

    CALLER = "caller"
    ACCOUNT = "account"
    PROVIDER = "provider"


class Next(Enum):
    """What the pipeline does after a failed attempt."""

    SAME_ACCOUNT = "same_account"
    """Ask the same account again after `UpstreamError.again` seconds, twice at most in one call;
    then as OTHER_ACCOUNT. Its harm keeps other calls away meanwhile; a success then ends it."""
    OTHER_ACCOUNT = "other_account"
    """Try the next candidate, as long as the reply is not answered."""
    GIVE_UP = "give_up"
    """Another account would say the same: answer with this error."""


class UpstreamError(Sub2APIError):
    """An attempt failed before the reply was answered, or its stream broke after.

    `status` is the vendor's HTTP status, None when the transport failed. `cause` is a short stable
    word for logs and usage rows (`connect_timeout`, `rate_limited`, `truncated`, ...). `shown` is
    what the client gets if no other account answers. `answer` is the vendor's own reply (status,
    headers, body) when it may pass to the client unchanged: the caller was at fault. `told` is the
    start of the vendor's body whoever was at fault, for the operator's rules; never shown.

    `harm` is what the failure does to the account's health: an account's fault has one, and of a
    provider's those that count at once (529, silence, a blocked way); None leaves it alone.
    `again`: see `Next.SAME_ACCOUNT`.
    """

    def __init__(  # noqa: PLR0913  an error carries all that its catcher decides by
        self,
        message: str,
        *,
        then: Next,
        cause: str,
        shown: ClientError,
        fault: Fault = Fault.PROVIDER,
        status: int | None = None,
        answer: tuple[int, list[tuple[bytes, bytes]], bytes] | None = None,
        harm: Harm | None = None,
        again: float | None = None,
        told: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.then = then
        self.cause = cause
        self.shown = shown
        self.fault = fault
        self.status = status
        self.answer = answer
        self.harm = harm
        self.again = again
        self.told = told


class TransportError(Sub2APIError):
    """An outgoing exchange failed below HTTP, or the peer did not speak HTTP.

    `cause` is one of: `blocked` (the URL guard said no), `dns`, `connect_refused`,
    `connect_timeout`, `tls`, `proxy`, `first_byte_timeout`, `idle_timeout`, `reset`, `truncated`,
    `protocol`, `too_large`, `busy` (no free connection in time).
    `sent` tells whether any byte of the request may have reached the upstream.
    """

    def __init__(self, message: str, *, cause: str, sent: bool) -> None:
        super().__init__(message)
        self.cause = cause
        self.sent = sent


class StoreError(Sub2APIError):
    """A statement failed. No data and no parameter is in the message.

    `transient` True: the database was unavailable (locked, full, gone), the same statement may
    work later. False: it will never take these values (a constraint, an impossible text or number).
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class SealError(Sub2APIError):
    """A sealed text is damaged, or was sealed with another key or for another purpose."""
