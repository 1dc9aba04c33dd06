"""A scripted AI vendor on loopback: three vendors' wires, real sockets, its own books.

What `--demo` starts and what the tests run against. It answers any credential; a test scripts a
credential's next calls with `script` and `always`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec

from sub2api.demo import anthropic, gemini, openai, openai_responses
from sub2api.demo.exchange import Exchange, HttpRequest, read_request, reset
from sub2api.demo.generation import Scene, encode
from sub2api.demo.ledger import Entry, Ledger, Seen
from sub2api.demo.models import MODELS
from sub2api.demo.script import Play, Raw, Refuse, Step

_GENERATORS = {
    "messages": anthropic.generate,
    "chat": openai.chat,
    "responses": openai_responses.generate,
    "gemini": gemini.generate,
}
_ERRORS = {
    "messages": anthropic.error_body,
    "chat": openai.error_body,
    "responses": openai.error_body,
    "gemini": gemini.error_body,
}
_SIMPLE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "/count_tokens": anthropic.count,
    "/input_tokens": openai_responses.count,
    "/embeddings": openai.embed,
    ":countTokens": gemini.count,
    ":embedContent": gemini.embed,
    ":batchEmbedContents": gemini.embed_batch,
}
_REMEMBERED = 10_000


class DemoUpstream:
    """The server. `ledger` holds what it would bill and what it was sent."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.record_bytes = False
        self.port = 0
        self._scripts: dict[str, deque[Step]] = {}
        self._always: dict[str, Step] = {}
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._beginnings: dict[tuple[str, bytes], None] = {}
        self._responses: dict[str, str] = {}
        self._numbers = 0

    @property
    def base_url(self) -> str:
        """The URL accounts are given."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def entries(self) -> deque[Entry]:
        """Every generation that was begun."""
        return self.ledger.entries

    @property
    def requests(self) -> deque[Seen]:
        """Every request that arrived."""
        return self.ledger.requests

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; `port` 0 picks one."""
        self._server = await asyncio.start_server(self._connected, host, port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        if self._server is not None:
            await self._server.wait_closed()

    def script(self, credential: str, *steps: Step) -> None:
        """Queue steps for a credential's next calls."""
        self._scripts.setdefault(credential, deque()).extend(steps)

    def always(self, credential: str, step: Step | None) -> None:
        """Do this on every call of a credential that has nothing queued; None ends it."""
        if step is None:
            self._always.pop(credential, None)
        else:
            self._always[credential] = step

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (request := await read_request(reader)) is not None:
                if not await self._answer(request, Exchange(reader, writer)):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass  # the peer is gone: its business
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, request: HttpRequest, exchange: Exchange) -> bool:
        """Answer one request. Returns whether the connection goes on."""
        self.ledger.requests.append(
            Seen(request.method, request.path, request.query, request.headers, request.body)
        )
        wire = _wire_of(request)
        credential = _credential(request)
        if not credential:
            await exchange.whole(401, _ERRORS[wire](401, "no credential"))
            return True
        step = self._step(credential, request)
        if isinstance(step, Raw):
            await exchange.raw(step.data)
            if step.reset:
                reset(exchange.writer)
            return False
        if isinstance(step, Refuse):
            body = step.body
            if body is None:
                body = _ERRORS[wire](step.status, step.message)
            await exchange.whole(step.status, body, step.headers)
            return True
        return await self._play(wire, credential, request, exchange, step)

    def _step(self, credential: str, request: HttpRequest) -> Step:
        """Return what the script says; lists and counts are only refused, never scripted apart."""
        if request.method == "GET":
            return Play()
        queued = self._scripts.get(credential)
        if queued:
            return queued.popleft()
        return self._always.get(credential, Play())

    async def _play(
        self, wire: str, credential: str, request: HttpRequest, exchange: Exchange, play: Play
    ) -> bool:
        body: Any = {}
        if request.body:
            try:
                body = msgspec.json.decode(request.body)
            except msgspec.DecodeError:
                await exchange.whole(400, _ERRORS[wire](400, "invalid JSON"))
                return True
        simple = _simple(wire, request, body)
        if simple is not None:
            await exchange.whole(*simple)
            return True
        refusal = self._unknown_response(wire, credential, body)
        if refusal is not None:
            await exchange.whole(400, refusal)
            return True
        return await self._generate(self._scene(wire, credential, request, body, play), exchange)

    def _scene(
        self, wire: str, credential: str, request: HttpRequest, body: dict[str, Any], play: Play
    ) -> Scene:
        self._numbers += 1
        model = body.get("model") or unquote(request.path.split("models/")[-1].split(":")[0])
        stream = body.get("stream") is True or "streamGenerateContent" in request.path
        beginning = (credential, request.body[:400])
        cached = beginning in self._beginnings
        self._beginnings[beginning] = None
        if len(self._beginnings) > _REMEMBERED:
            del self._beginnings[next(iter(self._beginnings))]
        number = f"{self._numbers:08d}"
        as_array = wire == "gemini" and stream and "alt=sse" not in request.query
        return Scene(wire, str(model), credential, body, play, number, stream, cached, as_array)

    def _unknown_response(self, wire: str, credential: str, body: dict[str, Any]) -> bytes | None:
        previous = body.get("previous_response_id")
        if wire != "responses" or not previous or self._responses.get(previous) == credential:
            return None
        error = {
            "message": f"Previous response with id '{previous}' not found.",
            "type": "invalid_request_error",
            "param": "previous_response_id",
            "code": "previous_response_not_found",
        }
        return encode({"error": error})

    async def _generate(self, scene: Scene, exchange: Exchange) -> bool:
        answer = _GENERATORS[scene.wire](scene)
        entry = Entry(scene.credential, scene.wire, scene.model, scene.stream, scene.request_id)
        self.ledger.entries.append(entry)
        if scene.wire == "responses" and scene.body.get("store") is not False:
            self._responses[answer.whole["id"]] = scene.credential
        recorded = bytearray() if self.record_bytes else None
        goes_on = await exchange.play(scene, answer, entry, recorded)
        if recorded is not None:
            self.ledger.bodies[scene.request_id] = bytes(recorded)
        return goes_on


def _wire_of(request: HttpRequest) -> str:
    path = request.path
    if ("/models/" in path and ":" in path) or path.startswith("/v1beta"):
        return "gemini"
    if "/messages" in path or "anthropic-version" in request.headers:
        return "messages"
    return "responses" if "/responses" in path else "chat"


def _credential(request: HttpRequest) -> str:
    headers = request.headers
    return (
        headers.get("x-api-key")
        or headers.get("x-goog-api-key")
        or headers.get("authorization", "").removeprefix("Bearer ")
    )


def _simple(wire: str, request: HttpRequest, body: dict[str, Any]) -> tuple[int, bytes] | None:
    """Answer what is no generation; None if it is one."""
    path = request.path
    if request.method == "GET":
        return _listing(wire, path)
    for ending, reply in _SIMPLE.items():
        if path.endswith(ending):
            return 200, encode(reply(body))
    known = ("/messages", "/responses", "/responses/compact", "/chat/completions")
    if path.endswith(known) or path.endswith((":generateContent", ":streamGenerateContent")):
        return None
    return 404, _ERRORS[wire](404, f"no route {path}")


def _listing(wire: str, path: str) -> tuple[int, bytes]:
    rows = {"messages": anthropic.model_row, "gemini": gemini.model_row}.get(wire, openai.model_row)
    names = MODELS["openai" if wire in {"chat", "responses"} else wire]
    wanted = path.partition("/models")[2].strip("/")
    if wanted:
        if wanted not in names:
            return 404, _ERRORS[wire](404, f"no model {wanted}")
        return 200, encode(rows(wanted))
    listed = [rows(name) for name in names]
    if wire == "gemini":
        return 200, encode({"models": listed})
    if wire == "messages":
        ends = {"first_id": names[0], "last_id": names[-1]}
        return 200, encode({"data": listed, "has_more": False, **ends})
    return 200, encode({"object": "list", "data": listed})
