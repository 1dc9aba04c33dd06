"""The route table that every front door reads: which path is which wire and operation.

Paths are forgiving where clients are known to differ: with the version segment, without it, doubled
(`/v1/v1`), with a trailing slash. Everything else is 404 in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sub2api.errors import INVALID, NOT_FOUND, ClientError
from sub2api.model.routes import Operation, Wire

_VERSIONS = re.compile(r"^(?:/(v1beta|v1alpha|v1))+(?=/|$)")

_POSTS: dict[str, tuple[Wire, Operation]] = {
    "messages": (Wire.MESSAGES, Operation.GENERATE),
    "messages/count_tokens": (Wire.MESSAGES, Operation.COUNT_TOKENS),
    "responses": (Wire.RESPONSES, Operation.GENERATE),
    "responses/compact": (Wire.RESPONSES, Operation.COMPACT),
    "responses/input_tokens": (Wire.RESPONSES, Operation.COUNT_TOKENS),
    "chat/completions": (Wire.CHAT, Operation.GENERATE),
    "embeddings": (Wire.CHAT, Operation.EMBED),
}

GEMINI_ACTIONS: dict[str, Operation] = {
    "generateContent": Operation.GENERATE,
    "streamGenerateContent": Operation.GENERATE,
    "countTokens": Operation.COUNT_TOKENS,
    "embedContent": Operation.EMBED,
    "batchEmbedContents": Operation.EMBED,
}


@dataclass(frozen=True, slots=True)
class Match:
    """A recognised request line.

    `tail` is the path below the version segment ("messages/count_tokens"). `version` is the
    client's version segment, "" if it sent none. `model` and `action` are set on Gemini routes;
    `model` also on `GET models/{id}`.
    """

    wire: Wire
    operation: Operation
    tail: str
    version: str = ""
    model: str = ""
    action: str = ""


_TAILS = frozenset({*_POSTS, "usage"})
_PATHS = {
    f"/{version}/{tail}" if version else f"/{tail}": Match(wire, operation, tail, version)
    for tail, (wire, operation) in _POSTS.items()
    for version in ("", "v1")
}
"""The paths that nearly every call has, matched beforehand."""


class RouteError(ClientError):
    """No route. `wire` is the dialect to say so in."""

    def __init__(self, message: str, *, status: int, wire: Wire) -> None:
        kind = NOT_FOUND if status == 404 else INVALID
        super().__init__(message, status=status, kind=kind, retry_helps=False)
        self.wire = wire


def is_gateway(path: str) -> bool:
    """Whether a path is one of the AI routes, whatever its method."""
    return path in _PATHS or _tail_of(path)[0] in _TAILS or _is_models(_tail_of(path)[0])


def guess_wire(path: str, header_names: Iterable[bytes]) -> Wire:
    """Tell which vendor's client is asking on a path that several share.

    By `x-goog-api-key`, then `anthropic-version`, else OpenAI: what the clients really send on
    `GET /v1/models`.
    """
    names = set(header_names)
    if path.startswith("/v1beta") or b"x-goog-api-key" in names:
        return Wire.GEMINI
    if b"anthropic-version" in names:
        return Wire.MESSAGES
    return Wire.CHAT


def match(method: str, path: str, header_names: Iterable[bytes]) -> Match:
    """Return the route of a request line. Raises RouteError: 404, 405 or 426."""
    if method == "POST" and (known := _PATHS.get(path)) is not None:
        return known
    guess = guess_wire(path, header_names)
    tail, version = _tail_of(path)
    if tail in _POSTS:
        return _post(method, tail, version)
    if _is_models(tail):
        return _models(method, tail, version, guess)
    if tail == "usage" and method in {"GET", "HEAD"}:
        return Match(guess, Operation.USAGE, tail, version)
    raise RouteError(
        f"There is no {method} {path[:200]} here. Served: /v1/messages, /v1/responses, "
        "/v1/chat/completions, /v1/embeddings, /v1/models, /v1/usage, /v1beta/models/...",
        status=404,
        wire=guess,
    )


def _tail_of(path: str) -> tuple[str, str]:
    """Return a path's part below its version segment, and that segment."""
    tail = path.rstrip("/")
    versions = _VERSIONS.match(tail)
    version = ""
    if versions is not None:
        version = versions.group(1)
        tail = tail[versions.end() :]
    return tail.strip("/"), version


def _is_models(tail: str) -> bool:
    return tail == "models" or tail.startswith("models/")


def _post(method: str, tail: str, version: str) -> Match:
    wire, operation = _POSTS[tail]
    if method == "POST":
        return Match(wire, operation, tail, version)
    if tail == "responses" and method == "GET":
        # Codex asks for a WebSocket first; after 426 it goes on over HTTP, after 404 it gives up.
        raise RouteError("WebSocket is not offered here: use POST.", status=426, wire=wire)
    raise RouteError(f"{method} is not allowed on /{tail}: use POST.", status=405, wire=wire)


def _models(method: str, tail: str, version: str, guess: Wire) -> Match:
    name = tail.removeprefix("models").lstrip("/")
    if method in {"GET", "HEAD"}:
        return Match(guess, Operation.MODELS, tail, version, model=name)
    model, separator, action = name.rpartition(":")
    if not separator:
        model, separator, action = name.rpartition("/")
    operation = GEMINI_ACTIONS.get(action)
    if method != "POST" or not model:
        raise RouteError(f"{method} is not allowed on /{tail[:200]}.", status=405, wire=Wire.GEMINI)
    if operation is None:
        raise RouteError(
            f"Unsupported action: {action[:100]}. Supported: {', '.join(GEMINI_ACTIONS)}.",
            status=404,
            wire=Wire.GEMINI,
        )
    return Match(Wire.GEMINI, operation, tail, version, model=model, action=action)
