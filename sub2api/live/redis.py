"""Connections to Redis (7 or newer) or Valkey, and the live state that is kept there.

`RedisLive(url, clock)` is all a caller needs; `start` it, `close` it. This file is the only one
that imports redis, and is imported only where Redis is configured: that takes 0.1 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from importlib import resources
from typing import Any

import msgspec
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from sub2api.clock import Clock
from sub2api.live.lease import Away
from sub2api.live.shared import SharedLive

MOST_CONNECTIONS = 32
"""Connections for commands per process; one more is for messages, one listens."""

_LONGEST_COMMAND = 1.0
"""Seconds; a command that takes longer means that Redis is away."""

_STALL = 0.2
"""A second that ends later than this was over before this process could look."""

_NOT_TWICE = ("k",)
"""Operations that count twice when they are repeated."""

_LONGEST_QUEUE = 2.0
"""Seconds a command waits for a free connection: many of ours at once are not Redis's fault."""

_RESUBSCRIBE_AFTER = 0.5
_LISTEN_SECONDS = 5.0
_PING_AFTER, _DEAF_AFTER = 2, 4
"""Silent turns of listening after which the connection is asked, and given up."""


class RedisLink:
    """Runs the script and hears messages. Every error is `Away`, after a second at most."""

    def __init__(self, url: str, clock: Clock, *, prefix: str, process_id: str) -> None:
        self._clock = clock
        self._key = "{" + prefix + "}"
        self._process = process_id
        self._script = resources.files("sub2api.live").joinpath("redis.lua").read_text("utf-8")
        self._sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._client: Any = _client(url, MOST_CONNECTIONS + 1)
        self._ears: Any = _client(url, 2)
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder().decode

    async def run(self, operation: str, arguments: Any = ()) -> Any:
        """Run one operation of the script in one round trip. Raises Away."""
        said = (1, self._key, operation, self._process, self._encode(arguments))
        await self._connection_is_free()
        began = self._clock.monotonic()
        try:
            return self._decode(await self._timed(said))
        except TimeoutError as error:
            stalled = self._clock.monotonic() - began > _LONGEST_COMMAND + _STALL
            if not stalled or operation in _NOT_TWICE:
                raise Away("it took longer than a second") from error
        finally:
            self._free.release()
        # It was this process that did nothing for a while, the answer may have been there.
        return await self.run(operation, arguments)

    async def _timed(self, said: tuple[Any, ...]) -> Any:
        try:
            async with asyncio.timeout(_LONGEST_COMMAND):
                try:
                    return await self._client.execute_command("EVALSHA", self._sha, *said)
                except NoScriptError:
                    return await self._client.execute_command("EVAL", self._script, *said)
        except (RedisError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Away(str(error)) from error

    async def _connection_is_free(self) -> None:
        """Take the right to use a connection. Raises Away."""
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(_LONGEST_QUEUE):
                await self._free.acquire()
        except TimeoutError as error:
            raise Away("all connections are busy") from error

    async def publish(self, message: bytes) -> None:
        """Tell every process. Raises Away."""
        try:
            async with asyncio.timeout(_LONGEST_COMMAND):
                await self._client.publish(f"{self._key}:bus", message)
        except (TimeoutError, RedisError, OSError) as error:
            raise Away(str(error)) from error

    async def listen(self, heard: Callable[[bool, bytes], None], ready: Callable[[], None]) -> None:
        """Call `heard(to this process alone, message)` for ever, through lost connections too.

        `ready` is called whenever it has begun to hear.
        """
        own = f"{self._key}:bus:{self._process}"
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with self._ears.pubsub() as pubsub:
                    await pubsub.subscribe(f"{self._key}:bus", own)
                    async for message in _messages(pubsub):
                        if message["type"] == "subscribe":
                            ready()
                        elif message["type"] == "message":
                            heard(message["channel"] == own.encode(), message["data"])
            await asyncio.sleep(_RESUBSCRIBE_AFTER)

    async def close(self) -> None:
        """Close all connections."""
        for client in (self._client, self._ears):
            await client.aclose()
            await client.connection_pool.disconnect()


class RedisLive(SharedLive):
    """Live state shared through Redis (see `Live`, which says what each method promises).

    `prefix` keeps installations apart that share one Redis. `process_id` must be another one for
    each process and each of its lives.
    """

    def __init__(
        self, url: str, clock: Clock, *, prefix: str = "sub2api", process_id: str = ""
    ) -> None:
        process = process_id or clock.new_id()
        super().__init__(RedisLink(url, clock, prefix=prefix, process_id=process), clock)


async def _messages(pubsub: Any) -> AsyncIterator[dict[str, Any]]:
    """Yield what comes; end when a connection has been silent and does not answer a ping."""
    silent = 0
    while silent < _DEAF_AFTER:
        message = await pubsub.get_message(timeout=_LISTEN_SECONDS)
        if message is not None:
            silent = 0
            yield message
            continue
        silent += 1
        if silent == _PING_AFTER:
            await pubsub.ping()


def _client(url: str, connections: int) -> aioredis.Redis:
    """Return a client with a pool of its own; waiting for a connection ends after a second."""
    pool = aioredis.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=_LONGEST_COMMAND,
        socket_connect_timeout=_LONGEST_COMMAND,
        socket_timeout=None,
        socket_keepalive=True,
        protocol=2,
        # One more try: a connection that Redis has closed meanwhile is noticed only in use.
        retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
    )
    return aioredis.Redis.from_pool(pool)
