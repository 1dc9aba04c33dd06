"""Logs: one line per event on stderr, the event first, then its fields. Never a secret."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO event key=value ...`; values with spaces are quoted."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line (several, with a traceback)."""
        moment = datetime.fromtimestamp(record.created, UTC)
        stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = "".join(
            f" {name}={_shown(value)}"
            for name, value in vars(record).items()
            if name not in _STANDARD and value not in (None, "")
        )
        line = f"{stamp} {record.levelname} {_one_line(record.getMessage())}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(level: str) -> None:
    """Send all logs to stderr from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Hypercorn and asyncio repeat per connection what our one line per call says.
    for name in ("hypercorn.access", "asyncio", "aiosqlite", "alembic", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _shown(value: object) -> str:
    text = _one_line(str(value))
    if any(character in text for character in ' "='):
        return '"' + text.replace('"', '\\"') + '"'
    return text
