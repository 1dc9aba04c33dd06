"""Health beyond one process: restarts, clearing, news, usage windows."""

from __future__ import annotations

import dataclasses

import pytest

from sub2api.model.health import Cooldown, Harm, UsageWindow
from tests.fakes.health import BURST, A, Ward, account, half_open, until


async def test_rests_survive_a_restart() -> None:
    """Pain 23: a deploy must not send everything to accounts whose limit is hit."""
    before = Ward()
    before.health.harmed(A, "m", Harm("rest", "window_5h", until=before.clock.at + 9000))
    before.health.harmed(A, "x", Harm("rest", "quota", scope="model", until=before.clock.at + 50))
    await before.health.close()
    after = Ward(beside=before)
    await after.health.load([A])
    assert (until(after), until(after, model="x")) == (9000, 9000)
    after.clock.at += 9000
    assert half_open(after)


async def test_a_rest_that_success_has_ended_is_not_there_after_a_restart() -> None:
    before = Ward()
    before.health.harmed(A, "m", BURST)
    before.clock.at += 6
    before.health.succeeded(A, "m", before.clock.at)
    await before.health.close()
    after = Ward(beside=before)
    await after.health.load([A])
    assert (until(after), half_open(after)) == (None, False)


async def test_failures_in_a_row_go_on_counting_after_a_restart() -> None:
    before = Ward()
    for _ in range(3):
        before.health.harmed(A, "m", BURST)
        before.clock.at += until(before) or 0
    await before.health.close()
    after = Ward(beside=before)
    await after.health.load([A])
    after.health.harmed(A, "m", BURST)
    assert until(after) == 40.0


async def test_clearing_voids_rests_that_began_before_it() -> None:
    """Pain 20: clear now, in every process."""
    ward = Ward()
    other = Ward(beside=ward)
    ward.health.harmed(A, "m", Harm("rest", "window_7d", until=ward.clock.at + 300000))
    await ward.health.close()
    assert until(other) == 300000
    ward.clock.at += 10
    cleared = dataclasses.replace(A, cleared_at=ward.clock.at)
    for each in (ward, other):
        each.changed.clear()
        await each.health.load([cleared])
        assert (until(each), half_open(each), each.changed) == (None, False, [1])
    ward.clock.at += 1
    ward.health.harmed(cleared, "m", BURST)
    await ward.health.load([cleared])
    assert until(ward) == 5.0


async def test_loading_keeps_the_newer_of_memory_and_store() -> None:
    ward = Ward()
    now = ward.clock.at
    ward.records.rows[1, ""] = Cooldown(1, "", "burst", now - 100, now + 1000, 3)
    ward.health.harmed(A, "m", BURST)
    await ward.health.load([A])
    assert until(ward) == 5.0
    ward.records.rows[1, ""] = Cooldown(1, "", "burst", now + 1, now + 1000, 3)
    await ward.health.load([A])
    assert until(ward) == 1000


async def test_accounts_that_are_gone_are_forgotten() -> None:
    ward = Ward()
    ward.health.harmed(A, "m", BURST)
    ward.health.note_windows(A, [UsageWindow("5h", 0.5, ward.clock.at + 9, ward.clock.at)])
    await ward.health.load([account(2)])
    assert until(ward) is None
    assert ward.health.windows_of(1) == ()


async def test_other_processes_hear_of_rests_and_their_ends_and_do_not_write_them() -> None:
    ward = Ward()
    other = Ward(beside=ward)
    ward.health.harmed(A, "m", BURST)
    ward.health.harmed(account(2), "m", Harm("error", "payment", detail="Payment required"))
    await ward.health.close()
    assert (until(other), until(other, account(2))) == (5.0, 600.0)
    told = other.health.rest_of(account(2), "m", ward.clock.at)
    assert told is not None
    assert told.out_of_use
    assert other.changed == [1, 2]
    writes = len(ward.records.writes)
    await other.health.close()
    assert len(ward.records.writes) == writes
    ward.clock.at += 6
    ward.health.succeeded(A, "m", ward.clock.at)
    await ward.health.close()
    assert not half_open(other)
    assert other.changed == [1, 2, 1]


def test_news_that_cannot_be_read_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    ward = Ward()
    for message in (b"", b"{}", b'{"origin":"x","cooldowns":[{"account_id":"?"}]}'):
        ward.wire.heard[0](message)
    assert until(ward) is None
    assert "not readable" in caplog.text


async def test_windows_are_kept_and_written_when_they_change() -> None:
    ward = Ward()
    now = ward.clock.at
    five, seven = UsageWindow("5h", 0.5, now + 900, now), UsageWindow("7d", 0.1, now + 9000, now)
    ward.health.note_windows(A, [five, seven])
    await ward.health.close()
    ward.health.note_windows(A, [UsageWindow("5h", 0.504, now + 900, now + 1)])
    await ward.health.close()
    assert len(ward.records.writes) == 1
    later = UsageWindow("5h", 0.6, now + 900, now + 2)
    ward.health.note_windows(A, [later])
    await ward.health.close()
    assert ward.health.windows_of(1) == (later, seven)
    assert ward.records.kept_windows == {1: (later, seven)}
    after = Ward(beside=ward)
    await after.health.load([A])
    assert after.health.windows_of(1) == (later, seven)


async def test_the_store_being_away_does_not_end_a_rest() -> None:
    ward = Ward()
    ward.records.broken = True
    ward.health.harmed(A, "m", BURST)
    await ward.health.close()
    assert until(ward) == 5.0
    ward.records.broken = False
    await ward.health.close()
    assert set(ward.records.rows) == {(1, "")}
