"""What every wire offers to the gateway: a `Dialect`. `protocols/dialects.py` lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import msgspec

from sub2api.errors import ClientError
from sub2api.model.routes import Operation, Wire
from sub2api.model.tokens import Usage


class Peek(msgspec.Struct, frozen=True):
    """What the gateway must know of a request body before it picks an account.

    `max_output` is the client's own output limit in tokens. `bound_ids` are ids in the body that
    only the account which issued them can honour (`previous_response_id`, a stored conversation).
    `wants_usage` is False when a Chat client streams without `stream_options.include_usage`: the
    usage chunk we ask the vendor for must then be kept from it. `stores` is False when the client
    asked the vendor not to keep the response (`store: false`).
    """

    model: str
    stream: bool = False
    max_output: int | None = None
    bound_ids: tuple[str, ...] = ()
    wants_usage: bool = True
    stores: bool = True


class StreamState(Enum):
    """How far an upstream's event stream has come."""

    OPEN = "open"
    FINISHED = "finished"
    """The wire's terminal event was seen (for Gemini: a chunk with a finish reason)."""
    FAILED = "failed"
    """The vendor reported an error inside the stream."""


@dataclass(slots=True)
class StreamFacts:
    """What has been learnt from a stream so far; read after every `feed`.

    `usage` is the latest usage, None until one was seen. `produced` turns True with the first
    event that carries generated content. `model` is the name the vendor reports. `response_id` is
    the id the vendor gave the reply. `error` is the vendor's error object when `state` is FAILED.
    """

    state: StreamState = StreamState.OPEN
    usage: Usage | None = None
    produced: bool = False
    model: str = ""
    response_id: str = ""
    error: dict[str, Any] = field(default_factory=dict)


class StreamReader(Protocol):
    """Watches one upstream event stream of one wire, and makes the few edits the client needs."""

    facts: StreamFacts

    def feed(self, block: bytes) -> bytes:
        """Take one or more complete SSE events, raw; return what the client is to get.

        Usually the same object comes back. Edits are exactly: the model name restored, and a usage
        chunk the client did not ask for dropped.
        """
        ...


class ReplyFacts(msgspec.Struct, frozen=True):
    """What a complete (non-stream) reply body says: the same facts as a stream's."""

    usage: Usage | None = None
    model: str = ""
    response_id: str = ""


class StreamOptions(msgspec.Struct, frozen=True):
    """How a stream must be shown: `client_model` None leaves the vendor's model name in place."""

    client_model: str | None = None
    upstream_model: str = ""
    drop_usage: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire, as plain functions.

    `peek(body, operation, path_model)` raises ClientError (400) naming the bad field;
    `path_model` is the model in the URL on Gemini routes, "" elsewhere.
    `open_stream(options)` gives a fresh reader. `read_reply(body)` reads a whole reply and never
    raises. `rename_model(body, name)` gives a request body with its model replaced in place, every
    other byte untouched. `restore_model(body, name)` does the same for a whole reply.
    `refusal(error, call_id)` is a JSON error body; `error_event(error, call_id)` the SSE bytes that
    end a stream with an error, complete frames. `keep_alive` are the SSE bytes of a keep-alive,
    empty where the wire tolerates none.
    """

    wire: Wire
    peek: Callable[[bytes, Operation, str], Peek]
    open_stream: Callable[[StreamOptions], StreamReader]
    read_reply: Callable[[bytes], ReplyFacts]
    rename_model: Callable[[bytes, str], bytes]
    restore_model: Callable[[bytes, str], bytes]
    refusal: Callable[[ClientError, str], bytes]
    error_event: Callable[[ClientError, str], bytes]
    keep_alive: bytes
