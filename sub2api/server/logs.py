"""Logs: one line per event on stderr, the event first, then its fields. Never a secret."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import sys
import time
from itertools import islice
from typing import TextIO

from sub2api.gateway.call_log import shown

_FLUSH_SECONDS = 0.2
_MOST_LINES = 2000
_STANDARD = len(vars(logging.makeLogRecord({})))
"""What a record has before `extra` is added to it."""
_ADDED_LATER = frozenset({"message", "asctime", "exc_text"})


class LineFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO event key=value ...`; values with spaces are quoted."""

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._shown_second = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line (several, with a traceback)."""
        created = record.created
        second = int(created)
        if second != self._second:
            self._second = second
            self._shown_second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        millisecond = int((created - second) * 1000)
        line = (
            f"{self._shown_second}.{millisecond:03d}Z {record.levelname} "
            f"{_one_line(record.getMessage())}"
        )
        for name, value in islice(vars(record).items(), _STANDARD, None):
            if value is not None and value != "" and name not in _ADDED_LATER:
                line += f" {name}={value if type(value) is int else shown(str(value))}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class LineHandler(logging.Handler):
    """Writes lines to a stream, those of 0.2 seconds at once: a write costs as much as a line.

    Warnings and worse go out immediately, with everything before them.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        atexit.register(self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        self._lines.append(self.format(record))
        if record.levelno >= logging.WARNING or len(self._lines) >= _MOST_LINES:
            self.flush()
        elif self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:  # a thread's record, or one before the loop runs
                self.flush()
            else:
                self._timer = loop.call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what is held."""
        self.acquire()
        try:
            self._timer = None
            lines, self._lines = self._lines, []
            if lines:
                with contextlib.suppress(OSError, ValueError):  # nobody reads our logs any more
                    self._stream.write("\n".join(lines) + "\n")
                    self._stream.flush()
        finally:
            self.release()


def configure(level: str) -> None:
    """Send all logs to stderr from `level` on."""
    handler = LineHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    # Our lines show none of these, and finding them out is half the cost of a record
    # (the logging HOWTO's "Optimization").
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Hypercorn and asyncio repeat per connection what our one line per call says.
    for name in ("hypercorn.access", "asyncio", "aiosqlite", "alembic", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _one_line(text: str) -> str:
    if "\n" not in text and "\r" not in text:
        return text
    return text.replace("\r", "\\r").replace("\n", "\\n")
