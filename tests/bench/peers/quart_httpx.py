"""The usual Python stack: Quart under Hypercorn, httpx to the upstream, one process.

It does what a gateway must: check the key, read model and stream, put in the upstream's key, relay
the reply, read its usage. `python -m tests.bench.peers.quart_httpx PORT`, with BENCH_UPSTREAM and
BENCH_KEY in the environment.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from typing import Any

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, Response, request

UPSTREAM = os.environ.get("BENCH_UPSTREAM", "http://127.0.0.1:9001")
KEYS = {hashlib.sha256(os.environ.get("BENCH_KEY", "k").encode()).digest(): "bench"}
USAGE = re.compile(rb'"usage":\s*(\{[^{}]*\})')
HOP = {"connection", "content-length", "transfer-encoding", "host", "x-api-key"}

app = Quart(__name__)
used = {"input_tokens": 0, "output_tokens": 0}
client: httpx.AsyncClient


@app.before_serving
async def open_client() -> None:
    global client
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=512)
    client = httpx.AsyncClient(base_url=UPSTREAM, timeout=600, limits=limits)


@app.after_serving
async def close_client() -> None:
    await client.aclose()


def meter(text: bytes) -> None:
    for found in USAGE.findall(text):
        usage = json.loads(found)
        for name in used:
            used[name] += usage.get(name, 0)


async def events(reply: httpx.Response) -> AsyncGenerator[bytes]:
    try:
        async for piece in reply.aiter_raw():
            if b'"usage"' in piece:
                meter(piece)
            yield piece
    finally:
        await reply.aclose()


@app.post("/v1/messages")
async def messages() -> Any:
    key = request.headers.get("x-api-key", "").encode()
    if hashlib.sha256(key).digest() not in KEYS:
        return {"error": "unknown key"}, 401
    body = await request.get_data()
    call = json.loads(body)
    headers = {name: value for name, value in request.headers if name.lower() not in HOP}
    headers["x-api-key"] = "u"
    sent = client.build_request("POST", "/v1/messages", content=body, headers=headers)
    reply = await client.send(sent, stream=True)
    kind = {"content-type": reply.headers.get("content-type", "application/json")}
    if call.get("stream"):
        response = Response(events(reply), status=reply.status_code, headers=kind)
        response.timeout = None
        return response
    whole = await reply.aread()
    await reply.aclose()
    meter(whole)
    return whole, reply.status_code, kind


def main() -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.accesslog = config.errorlog = None
    config.keep_alive_max_requests = sys.maxsize
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()
