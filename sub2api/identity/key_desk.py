"""The key desk: from the text of a key to who calls, without asking the store every time."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable

from sub2api.clock import Clock
from sub2api.errors import FORBIDDEN, UNAUTHENTICATED, ClientError
from sub2api.identity.api_keys import digest
from sub2api.model.callers import Caller
from sub2api.store import api_keys as stored
from sub2api.store.database import Database

_MOST = 65535
_UNKNOWN_SECONDS = 30.0
_LONGEST = 512


class KeyDesk:
    """Caches callers by the SHA-256 of their key's text.

    Known keys stay until `clear` (configuration changed); unknown ones are remembered for 30 s, so
    that a flood of them costs the store nothing. One look-up per key is under way at a time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: OrderedDict[str, tuple[Caller | None, float]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Caller | None]] = {}
        self.generation = 0
        """Callers that were found before it changed must be asked for again."""

    async def caller_of(self, text: str) -> Caller | None:
        """Return whose key this is, None for no key or an unknown one."""
        if not text or len(text) > _LONGEST:
            return None
        key_hash = digest(text)
        found = self._known.get(key_hash)
        if found is not None and (found[0] is not None or found[1] > self._clock.monotonic()):
            self._known.move_to_end(key_hash)
            return found[0]
        while (asking := self._asking.get(key_hash)) is not None:
            await asyncio.wait([asking])
            if not asking.cancelled() and asking.exception() is None:
                return asking.result()
        asking = asyncio.get_running_loop().create_task(self._ask(key_hash))
        self._asking[key_hash] = asking
        # Who leaves now does not stop it: a query that is cut off costs its connection, and the
        # next call with this key would have to ask again.
        await asyncio.wait([asking])
        return asking.result()

    def knows(self, text: str) -> bool:
        """Whether this is the text of a key that is in the cache."""
        found = self._known.get(digest(text)) if 0 < len(text) <= _LONGEST else None
        return found is not None and found[0] is not None

    def clear(self) -> None:
        """Forget everything: keys, users or groups have changed."""
        self.generation += 1
        self._known.clear()

    def check(self, caller: Caller | None, *, now: float, client_ip: str) -> Caller:
        """Return the caller if its key may be used. Raises ClientError 401 or 403."""
        if caller is None:
            raise _unauthenticated(
                "Invalid API key. Send a key of this gateway as `Authorization: Bearer`, "
                "`x-api-key` or `x-goog-api-key`."
            )
        key = caller.key
        if key.status != "active":
            raise _unauthenticated(f"This API key is {key.status}.")
        if caller.user.status != "active":
            raise _unauthenticated("The owner of this API key is not active.")
        if key.expires_at is not None and now >= key.expires_at:
            raise _forbidden("This API key has expired.")
        if (key.ip_allow or key.ip_deny) and not _admits(key.ip_allow, key.ip_deny, client_ip):
            raise _forbidden("Access denied.")  # deliberately vague
        return caller

    async def _ask(self, key_hash: str) -> Caller | None:
        generation = self.generation
        try:
            async with self._database.reading() as connection:
                caller = await stored.caller_by_hash(connection, key_hash)
        finally:
            del self._asking[key_hash]
        if generation == self.generation:
            self._keep(key_hash, caller)
        return caller

    def _keep(self, key_hash: str, caller: Caller | None) -> None:
        self._known[key_hash] = (caller, self._clock.monotonic() + _UNKNOWN_SECONDS)
        self._known.move_to_end(key_hash)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


def _unauthenticated(message: str) -> ClientError:
    return ClientError(message, status=401, kind=UNAUTHENTICATED, retry_helps=False)


def _forbidden(message: str) -> ClientError:
    return ClientError(message, status=403, kind=FORBIDDEN, retry_helps=False)


def _admits(allow: Iterable[str], deny: Iterable[str], client_ip: str) -> bool:
    """Apply the lists: deny first; a non-empty allow list admits only what it names."""
    try:
        address = ipaddress.ip_address(client_ip)
    except ValueError:
        return not tuple(allow)
    address = getattr(address, "ipv4_mapped", None) or address
    if any(address in ipaddress.ip_network(text, strict=False) for text in deny):
        return False
    allowed = tuple(allow)
    return not allowed or any(
        address in ipaddress.ip_network(text, strict=False) for text in allowed
    )
