"""The gateway's front door under any ASGI server: a Quart request becomes a `Call`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
from quart import Request, Response
from werkzeug.datastructures import Headers

from sub2api.clock import Clock
from sub2api.errors import TIMEOUT, ClientError
from sub2api.gateway.answer import id_headers, refusal
from sub2api.gateway.bodies import Pace, too_large
from sub2api.gateway.call import Call, first_values, without_framing
from sub2api.gateway.client_address import client_address, networks_of
from sub2api.gateway.pipeline import Pipeline
from sub2api.gateway.routes import Match, RouteError, match
from sub2api.model.routes import Wire
from sub2api.protocols.dialects import DIALECTS
from sub2api.web.gateway.reply import QuartReply, ReplyAborted


class Door:
    """Turns requests into calls and replies into responses."""

    def __init__(self, pipeline: Pipeline) -> None:
        parts = pipeline.parts
        self._pipeline = pipeline
        self._bodies = parts.bodies
        self._spawn: Callable[[Coroutine[Any, Any, None]], None] = parts.spawn
        self._clock: Clock = parts.clock
        self._limit = parts.settings.server.max_request_body_size
        self._trusted = networks_of(parts.settings.server.trusted_proxies)

    async def open(self, request: Request) -> Response:
        """Answer one request of the gateway's routes, or refuse it in its dialect."""
        arrived = self._clock.monotonic()
        call_id = self._clock.new_id("req_")
        headers = _headers(request)
        try:
            found = match(request.method, request.path, [name for name, _ in headers])
        except RouteError as error:
            return _refused(error.wire, error, call_id)
        call = self._call(request, found, headers, (call_id, arrived))
        try:
            if _may_be_large(request):
                await self._pipeline.check_key(call)  # nobody's large body is read
            body = await self._body(request)
        except ClientError as error:
            response = _refused(found.wire, error, call_id)
            response.headers["connection"] = "close"
            return response
        return await self._answered(msgspec.structs.replace(call, body=body))

    async def _answered(self, call: Call) -> Response:
        reply = QuartReply()
        # A task of its own: it outlives this handler when the client leaves, to settle the call.
        self._spawn(self._served(call, reply))
        try:
            status, headers = await reply.head()
        except ReplyAborted:
            return Response(b"", 500)
        except asyncio.CancelledError:
            reply.left()
            raise
        response = Response(reply.body(), status, _shown(headers))
        response.timeout = None  # Quart would cut a reply after 60 s, silently
        return response

    async def _served(self, call: Call, reply: QuartReply) -> None:
        try:
            await self._pipeline.serve(call, reply)
        finally:
            self._bodies.give(len(call.body))

    async def _body(self, request: Request) -> bytes:
        """Read the body, at most as far as the limits. Raises ClientError 413, 408 or 503."""
        length = request.headers.get("content-length", "")
        self._check_size(int(length) if length.isdigit() else 0)
        parts: list[bytes] = []
        size = held = 0
        try:
            async for chunk in self._chunks(request):
                size += len(chunk)
                self._check_size(size)
                parts.append(chunk)
                held += len(chunk)
                self._bodies.take(len(chunk))
            return await self._bodies.gathered(parts)
        except BaseException:
            self._bodies.give(held)
            raise

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise too_large(self._limit)

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises ClientError 408 when it comes too slowly."""
        pace = Pace(self._clock.monotonic())
        chunks = aiter(request.body)
        while True:
            try:
                async with asyncio.timeout(pace.deadline - self._clock.monotonic()):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                message = "The request body did not arrive in time."
                raise ClientError(message, status=408, kind=TIMEOUT) from None
            pace.got(len(chunk), self._clock.monotonic())
            yield chunk

    def _call(
        self,
        request: Request,
        found: Match,
        headers: tuple[tuple[bytes, bytes], ...],
        id_and_arrival: tuple[str, float],
    ) -> Call:
        call_id, arrived = id_and_arrival
        forwarded = request.headers.get("x-forwarded-for", "")
        return Call(
            id=call_id,
            match=found,
            method=request.method,
            query=request.query_string,
            headers=headers,
            body=b"",
            client_ip=client_address(request.remote_addr or "", forwarded, self._trusted),
            arrived=arrived,
            fields=first_values(headers),
            memo={},
        )


def _may_be_large(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    chunked = "transfer-encoding" in request.headers or "content-length" not in request.headers
    return request.method == "POST" and (chunked or not length.isdigit() or int(length) > 65536)


def _headers(request: Request) -> tuple[tuple[bytes, bytes], ...]:
    scope: Any = request.scope
    return without_framing(
        tuple((bytes(name).lower(), bytes(value)) for name, value in scope["headers"])
    )


def _refused(wire: Wire, error: ClientError, call_id: str) -> Response:
    status, headers, body = refusal(DIALECTS[wire], error, call_id)
    pairs = [*headers, *id_headers(call_id)]
    return Response(body, status, _shown(pairs))


def _shown(pairs: list[tuple[bytes, bytes]]) -> Headers:
    return Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs])
