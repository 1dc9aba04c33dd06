"""The workloads: what is called, how often at once, and how the fake upstream answers."""

from __future__ import annotations

from dataclasses import dataclass

SMALL = 4 << 10
LARGE = 400 << 10


@dataclass(frozen=True)
class Workload:
    """One kind of load. `saturates` says that a faster row serves more calls."""

    name: str
    about: str
    concurrency: int
    body: int = SMALL
    stream: bool = False
    delay_ms: int = 0
    gap_ms: int = 0
    events: int = 60
    ramp: float = 0.0
    saturates: bool = False


WORKLOADS = (
    Workload("whole-c1", "4 KB call, 1.5 KB reply, c=1", 1),
    Workload("whole-c50", "4 KB call, 1.5 KB reply, c=50", 50, saturates=True),
    Workload("whole-c200", "4 KB call, 1.5 KB reply, c=200", 200, saturates=True),
    Workload("wait-c1", "the same, upstream waits 50 ms, c=1", 1, delay_ms=50),
    Workload("wait-c50", "the same, upstream waits 50 ms, c=50", 50, delay_ms=50),
    Workload("wait-c200", "the same, upstream waits 50 ms, c=200", 200, delay_ms=50),
    Workload("stream-c50", "streams of 60 events at once, c=50", 50, stream=True, saturates=True),
    Workload(
        "paced-c200", "streams of 60 events, 10 ms apart, c=200", 200, stream=True, gap_ms=10,
        ramp=0.5,
    ),
    Workload(
        "streams-c2000", "streams of 60 events, 100 ms apart, c=2,000", 2000, stream=True,
        gap_ms=100, ramp=2.0,
    ),
    # The last: it leaves memory behind that the streams did not take.
    Workload("large-c10", "400 KB call, 1.5 KB reply, c=10", 10, body=LARGE, saturates=True),
)  # fmt: skip
OURS_ONLY = ("rss", "start")
NAMES = tuple(each.name for each in WORKLOADS) + OURS_ONLY
