"""One log line per call, made in one go: it is the one record that every call pays for."""

from __future__ import annotations

import logging
import re
import time

_QUOTED = re.compile(r'[ "=]')


NAME = "sub2api.gateway.calls"
_BLANK = vars(logging.makeLogRecord({"name": NAME, "levelno": logging.INFO, "levelname": "INFO"}))


class CallRecord(logging.LogRecord):
    """A record whose message is its whole line; made without finding out who logs it."""

    def __init__(self, line: str) -> None:
        vars(self).update(_BLANK)
        self.created = time.time()  # noqa: TID251  like every record's
        self.msecs = self.created % 1 * 1000
        self.msg = line


def shown(text: str) -> str:
    """Return text as a line's value: one line, quoted if it could be misread."""
    if "\n" in text or "\r" in text:
        text = text.replace("\r", "\\r").replace("\n", "\\n")
    if _QUOTED.search(text):
        return '"' + text.replace('"', '\\"') + '"'
    return text
