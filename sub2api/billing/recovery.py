"""What a dead process's journal says: which calls are still to be booked, and at what."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sub2api.billing import segments
from sub2api.billing.records import Close, Open, Progress, Record, recovered
from sub2api.billing.segments import Segment

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adopted:
    """A dead process's segments, now ours, and the closes they hold or imply."""

    segments: list[Segment]
    closes: list[Close]


def adopt(directory: Path) -> list[Adopted]:
    """Take over all segments without an owner and read them. Blocks: call it in a thread.

    Damaged lines are counted in the log and skipped. Segments that cannot be read are left alone.
    """
    adopted = []
    for instance in segments.claim(directory):
        records: list[Record] = []
        damaged = 0
        try:
            for segment in instance:
                found, bad = segments.read(segment)
                records += found
                damaged += bad
        except OSError as error:
            _give_back(instance, error)
            continue
        closes = replay(records)
        _report(instance[0].path.name, closes, damaged)
        adopted.append(Adopted(instance, closes))
    return adopted


def replay(records: Iterable[Record]) -> list[Close]:
    """Return one close per call: its own if it has one, else what its last attempt had come to.

    A second close of a call is ignored, as the ledger would. Progress without an opening tells
    nothing about who pays, and is ignored too.
    """
    opened: dict[str, Open] = {}
    progress: dict[str, Progress] = {}
    closed: dict[str, Close] = {}
    for record in records:
        if isinstance(record, Open):
            opened[record.call_id] = record
            progress.pop(record.call_id, None)
        elif isinstance(record, Progress):
            progress[record.call_id] = record
        else:
            closed.setdefault(record.call_id, record)
    interrupted = [
        _settled(record, progress.get(call_id))
        for call_id, record in opened.items()
        if call_id not in closed
    ]
    return [*closed.values(), *interrupted]


def _settled(opened: Open, progress: Progress | None) -> Close:
    try:
        return recovered(opened, progress)
    except (ValueError, ArithmeticError):
        # A multiplier that is no number: book the tokens, with the cost unknown rather than wrong.
        log.exception("a recovered call cannot be priced", extra={"call": opened.call_id})
        return recovered(msgspec.structs.replace(opened, price=None), progress)


def _give_back(instance: list[Segment], error: OSError) -> None:
    log.error(
        "a dead process's journal cannot be read",
        extra={"file": instance[0].path.name, "reason": error.strerror},
    )
    for segment in instance:
        segment.release()


def _report(name: str, closes: list[Close], damaged: int) -> None:
    if closes:
        interrupted = sum(close.row.settled_by == "recovered" for close in closes)
        log.info(
            "adopted a dead process's journal",
            extra={"file": name, "closed": len(closes) - interrupted, "interrupted": interrupted},
        )
    if damaged:
        log.warning("skipped damaged journal lines", extra={"file": name, "damaged": damaged})
