"""The scripted vendor's own books: what it would bill, to reconcile the gateway's rows with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Entry:
    """One generation that was begun.

    `usage` is the usage object last sent to the peer, in the vendor's own shape ({} if none was).
    `complete` tells whether the reply was written to its end; `produced` counts the words written.
    """

    credential: str
    wire: str
    model: str
    stream: bool
    request_id: str
    usage: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    produced: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Ledger:
    """Bounded records: the newest `limit` of each kind."""

    def __init__(self, limit: int = 20_000) -> None:
        self.entries: deque[Entry] = deque(maxlen=limit)
        self.requests: deque[Seen] = deque(maxlen=limit)
        self.bodies: dict[str, bytes] = {}
        """Response body bytes by request id, while `record_bytes` is on."""
