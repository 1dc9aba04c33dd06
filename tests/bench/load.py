"""A fast load generator; prints JSON.

`python -m tests.bench.load URL KEY WORKLOAD CONCURRENCY SECONDS`
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import uvloop

SIZES = {"small": 4 << 10, "large": 400 << 10}


def request_for(url: str, key: str, workload: str) -> bytes:
    """Return one request: `whole-small`, `stream-large`, ..."""
    kind, size = workload.split("-")
    parts = urlsplit(url)
    body = json.dumps(
        {
            "stream": kind == "stream",
            "model": "claude-sonnet-4-5",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "x" * (SIZES[size] - 130)}],
        }
    ).encode()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: {parts.netloc}\r\nx-api-key: {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def read_reply(reader: asyncio.StreamReader, began: float) -> float:
    """Read one reply to its end; return the seconds until its first body byte."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200" not in head[:16]:
        raise RuntimeError(head.decode())
    first = 0.0
    if b"transfer-encoding: chunked" in head:
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line, 16)
            await reader.readexactly(size + 2)
            first = first or time.perf_counter() - began
            if size == 0:
                return first
    at = head.index(b"content-length:")
    await reader.readexactly(int(head[at + 15 :].split(b"\r\n")[0]))
    return time.perf_counter() - began


async def client(
    url: str, request: bytes, until: float, took: list[float], first: list[float]
) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        first.append(await read_reply(reader, began))
        took.append(time.perf_counter() - began)
    writer.close()


async def main(url: str, key: str, workload: str, concurrency: int, seconds: float) -> None:
    request = request_for(url, key, workload)
    took: list[float] = []
    first: list[float] = []
    began = time.perf_counter()
    clients = (client(url, request, began + seconds, took, first) for _ in range(concurrency))
    await asyncio.gather(*clients)
    elapsed = time.perf_counter() - began
    took.sort()
    first.sort()
    result = {
        "calls": len(took),
        "per_second": len(took) / elapsed,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[int(len(took) * 0.99)] * 1000,
        "first_byte_p50_ms": first[len(first) // 2] * 1000,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
