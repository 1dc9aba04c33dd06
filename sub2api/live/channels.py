"""Who listens to which channel in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class Channels:
    """Listeners by channel."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[bytes], None]]] = {}

    def subscribe(self, channel: str, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with every message from now on."""
        self._listeners.setdefault(channel, []).append(heard)

    def tell(self, channel: str, message: bytes) -> None:
        """Tell every listener of this process; the error of one is not the others' concern."""
        for heard in self._listeners.get(channel, ()):
            try:
                heard(message)
            except Exception:
                log.exception("a message was not understood", extra={"channel": channel})
