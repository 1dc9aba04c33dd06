"""What an Intake makes of a client's bytes, however they are cut."""

from __future__ import annotations

from itertools import pairwise

from sub2api.server.heads import BadRequest
from sub2api.server.intake import ELSEWHERE, Intake, Refused, Request
from tests.server.wire import LIMIT

Outcome = list[tuple[object, ...]]


def understood(data: bytes, cuts: tuple[int, ...] = ()) -> Outcome:
    """Return what an Intake makes of bytes that come cut; how it ends is the last item.

    After a refusal whose request has a body, what follows depends on what has arrived: it counts
    as the end.
    """
    intake = Intake(LIMIT)
    found: Outcome = []
    for start, end in pairwise([0, *cuts, len(data)]):
        intake.feed(data[start:end])
        while True:
            try:
                each = intake.next()
            except BadRequest:
                return [*found, ("bad",)]
            except Refused as refused:
                found.append(("refused", refused.error.status, refused.head.path))
                if refused.head.length or not refused.in_step:
                    return found
                continue
            if each is None:
                break
            if each is ELSEWHERE:
                return [*found, ("elsewhere", intake.buffer + data[end:])]
            assert isinstance(each, Request)
            if each.complete:
                found.append((each.head, each.match, each.body))
    return [*found, ("waits",)]
