"""The values that cross the pool's border."""

from __future__ import annotations

import pytest

from sub2api.transport.messages import Deadlines, Request


def test_the_usual_deadlines_are_those_of_the_architecture() -> None:
    assert Deadlines() == Deadlines(connect=5.0, first_byte=600.0, idle=300.0)


def test_a_request_cannot_change_under_way() -> None:
    request = Request("POST", "https://x.com/", ())
    assert request.body == b""
    with pytest.raises(AttributeError):
        request.body = b"other"  # type: ignore[misc]  # that is the point
