"""Time, chance and ids. Everything that needs them is handed a `Clock`, so that tests set them."""

from __future__ import annotations

import random
import secrets
import time
from datetime import UTC, datetime


class Clock:
    """The machine's own time and randomness."""

    # Not methods that call them: every call asks for the time a dozen times.

    now = staticmethod(time.time)
    """Return seconds since 1970 (UTC): what is stored and compared across processes."""

    monotonic = staticmethod(time.monotonic)
    """Return seconds that never jump: what durations and deadlines are measured with."""

    def today(self) -> datetime:
        """Return the present moment as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    def chance(self) -> float:
        """Return a random float in [0, 1): ties and jitter, never secrets."""
        return random.random()  # noqa: S311  a tie-break is no secret

    def new_id(self, prefix: str = "") -> str:
        """Return a unique id that sorts by time: 48 bits of milliseconds, 80 of chance, in hex."""
        milliseconds = int(self.now() * 1000)
        return f"{prefix}{milliseconds:012x}{secrets.token_hex(10)}"
