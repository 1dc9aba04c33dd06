from __future__ import annotations

import itertools
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from sub2api.billing.prices import Price, Rate
from sub2api.billing.records import Close, Open, Progress
from sub2api.clock import Clock
from sub2api.model.tokens import Tokens, Usage
from sub2api.model.usage import UsageRow

PRICE = Price("m", "bundled", (Rate({"input": 1_000_000, "output": 2_000_000}),))
"""One nanodollar per input token, two per output token."""


class SetClock(Clock):
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


class Calls:
    """Makes records of calls, numbered."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def row(self, call_id: str, **fields: object) -> UsageRow:
        known: dict[str, object] = {
            "call_id": call_id,
            "user_id": 1,
            "key_id": 2,
            "key_name": "laptop",
            "account_id": 3,
            "wire": "messages",
            "operation": "generate",
            "model": "m",
            "started_at": 1.5,
        }
        return UsageRow(**(known | fields))  # type: ignore[arg-type]  # fields by name

    def new_id(self) -> str:
        return f"call{next(self._numbers)}"

    def open(self, call_id: str, **fields: object) -> Open:
        return Open(row=self.row(call_id, **fields), price=PRICE)

    def progress(self, call_id: str, output: int) -> Progress:
        return Progress(call_id=call_id, usage=Usage(Tokens(input=10, output=output)))

    def close(self, call_id: str, **fields: object) -> Close:
        return Close(row=self.row(call_id, **({"cost": 5} | fields)))


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture(scope="session")
def make_calls() -> Callable[[], Calls]:
    return Calls


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    """Let the kernel refuse to grow any file beyond `size`, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def file_size_limit() -> Callable[[int], AbstractContextManager[None]]:
    return _file_size_limit
