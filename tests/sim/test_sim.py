"""A small day, as an ordinary test; `make sim` lives through a large one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sub2api.gateway.scheduling import Ranking, Scheduler
from tests.sim.chart import chart
from tests.sim.measures import Measures, Sample, findings, jain, table
from tests.sim.simulation import Result, Scale, simulate
from tests.sim.virtual import VirtualLoop

SMALL = Scale(accounts=30, users=300, hours=6.0, sessions=2.5)


@pytest.fixture(scope="module")
def day() -> Result:
    return simulate(SMALL)


def test_every_bar_is_met(day: Result) -> None:
    assert [each for each in day.found if not each.met] == [], table(day.found)


def test_the_day_was_a_hard_one(day: Result) -> None:
    text = table(day.found)
    for refusal in ("burst", "server error", "unreachable", "window"):
        assert refusal in text
    assert day.measures.waits
    assert day.measures.calls > 5_000
    assert max(each.resting for each in day.measures.samples) > SMALL.accounts / 4


def test_the_day_can_be_drawn(day: Result) -> None:
    assert chart(day.measures.samples).count("<polyline") == 4


def test_where_accounts_are_too_few_calls_are_refused_but_none_in_vain() -> None:
    measures = simulate(
        Scale(accounts=8, users=120, hours=0.5, sessions=0.5, concurrency=1)
    ).measures
    assert measures.refusals > 20
    assert measures.missed == 0


def test_a_scheduler_that_overlooks_accounts_is_found_out() -> None:
    class Forgetful(Scheduler):
        def rank(self, *asked: Any, **also: Any) -> Ranking:
            ranking = super().rank(*asked, **also)
            seen = [each for each in ranking.candidates if each.account.id % 2]
            return Ranking(seen, ranking.bound, ranking.earliest)

    result = simulate(Scale(accounts=6, users=40, hours=1.0, sessions=1.5), Forgetful)
    assert result.measures.missed > 0
    assert not next(each for each in result.found if "ready account" in each.name).met


def test_the_index_of_fairness_knows_fair_from_unfair() -> None:
    assert jain([3, 3, 3]) == 1.0
    assert jain([9, 0, 0]) == pytest.approx(1 / 3)


def test_what_misses_a_bar_is_said_to() -> None:
    measures = Measures(calls=3, decisions=2, decision_seconds=1.0, moved=2)
    measures.samples.append(Sample(0.0, 0, 1, 1, 0))
    measures.by_account.update({1: 100, 2: 1})
    measures.refused(ready=True, gave_up=False)
    found = findings(measures, [[1, 2]], 2, {}, 1.0)
    assert [each.met for each in found if each.bar] == [False, False, False]
    assert table(found).count("**missed**") == 3


def test_virtual_time_passes_when_nobody_has_anything_to_do() -> None:
    loop = VirtualLoop()

    async def sleeps() -> list[float]:
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(60))
        return [loop.time()]

    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    assert loop.run_until_complete(sleeps()) == [pytest.approx(3600)]
    waiting = loop.create_task(waits_for_ever())
    with pytest.raises(RuntimeError, match="nothing is left to wait for"):
        loop.run_until_complete(waiting)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(waiting)
    loop.close()
