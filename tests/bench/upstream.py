"""A fast fake vendor for benchmarks: fixed replies. `python -m tests.bench.upstream PORT`."""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

EVENTS = 60


def event(data: dict[str, object]) -> bytes:
    raw = f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(raw), raw)


USAGE = {"input_tokens": 1000, "output_tokens": 60}
TEXT = "x" * 1200
WHOLE = json.dumps(
    {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn", "usage": USAGE,
    }
).encode()  # fmt: skip
REPLY = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(WHOLE)
    + WHOLE
)
START = {"id": "msg_1", "model": "claude-sonnet-4-5", "role": "assistant", "usage": USAGE}
DELTA = {"type": "text_delta", "text": "some words "}
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + event({"type": "message_start", "message": START})
    + b"".join(
        event({"type": "content_block_delta", "index": 0, "delta": DELTA})
        for _ in range(EVENTS - 3)
    )
    + event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE})
    + event({"type": "message_stop"})
    + b"0\r\n\r\n"
)


class Vendor(asyncio.Protocol):
    """Answers a request as soon as its body is complete."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            streams = b'"stream": true' in body[:200] or b'"stream":true' in body[:200]
            self.transport.write(STREAM if streams else REPLY)  # type: ignore[attr-defined]


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
