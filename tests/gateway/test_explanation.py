"""`explain` and a call read the same list."""

from __future__ import annotations

import random

import pytest

from sub2api.gateway.explanation import Standing
from sub2api.model.accounts import Group
from tests.fakes.fleet import MODEL, PLATFORMS, START, Fleet, account


def explain(fleet: Fleet, bound: int = 0) -> list[Standing]:
    return fleet.scheduler.explain(fleet.caller, PLATFORMS, MODEL, bound=bound)


def test_every_account_is_explained_and_those_left_out_come_last_with_the_reason() -> None:
    accounts = [
        account(1, priority=2, concurrency=4),
        account(2, priority=1, concurrency=1),
        account(3, status="disabled"),
        account(4, status="error", error_message="401: sign in again"),
        account(5, schedulable=False),
        account(6, expires_at=START - 1),
        account(7, model_mapping={"gpt-5": "gpt-5"}),
        account(8),
        account(9),
        account(10),
    ]
    fleet = Fleet(accounts, admits=lambda candidate, bound: candidate.account.id != 10)
    fleet.loads.set(1, 1, waiting=1)
    fleet.loads.set(2, 1)
    fleet.use(1)
    fleet.health.rest(8, START + 300)
    fleet.health.rest(9, START + 60, model=MODEL, cause="overloaded")
    told = explain(fleet)
    assert [(each.account_id, each.note, each.reason, each.until) for each in told] == [
        (1, "", "", None),
        (2, "full", "", None),
        (9, "", f"its model {MODEL} rests (overloaded)", START + 60),
        (8, "", "it rests (burst)", START + 300),
        (10, "", "its own budget has no room", None),
        (3, "", "it is disabled", None),
        (4, "", "it is out of use: 401: sign in again", None),
        (5, "", "it is paused", None),
        (6, "", "it has expired", None),
        (7, "", "it does not have the model", None),
    ]
    first = told[0]
    assert (first.active, first.waiting, first.concurrency, first.load) == (1, 1, 4, 0.5)
    assert (first.last_used, first.priority, first.account) == (START + 1, 2, "account-1")


def test_the_bound_account_leads_unless_it_is_slow() -> None:
    fleet = Fleet([account(1, priority=1), account(2, priority=9)])
    told = explain(fleet, bound=2)
    assert [(each.account_id, each.bound) for each in told] == [(2, True), (1, False)]
    fleet.health.slow.add(2)
    told = explain(fleet, bound=2)
    assert [each.account_id for each in told] == [1, 2]
    assert told[1].note == "slow: the session leaves it"


def test_what_a_model_route_holds_back_and_probation_are_told() -> None:
    group = Group(id=7, name="max", platform="anthropic", model_routes={MODEL: (1,)})
    fleet = Fleet([account(1, group_ids=(7,)), account(2, group_ids=(7,))], [group], (7,))
    fleet.health.rest(1, START + 5)
    fleet.clock.at += 5
    told = explain(fleet)
    assert told[0].note == "its rest is over: one call at a time until one succeeds"
    assert told[1].reason == "the model route of its group max keeps the model for others"
    assert {each.group for each in told} == {"max"}


def test_one_alone_is_explained_as_it_is_now() -> None:
    fleet = Fleet([account(1)])
    fleet.rank()
    fleet.health.rest(1, START + 60)
    assert explain(fleet)[0].until == START + 60
    fleet.health.clear(1)
    assert explain(fleet)[0].reason == ""


@pytest.mark.parametrize("seed", range(20))
def test_a_call_takes_what_explain_said(seed: int) -> None:
    chance = random.Random(seed)
    accounts = [
        account(number, priority=chance.randint(1, 2), concurrency=chance.randint(0, 3))
        for number in range(1, 30)
    ]
    fleet = Fleet(accounts, admits=lambda candidate, bound: bound or candidate.account.id % 5 > 0)
    for _ in range(200):
        number = chance.randint(1, 29)
        fleet.clock.at += chance.random()
        match chance.randint(0, 3):
            case 0:
                fleet.loads.set(number, chance.randint(0, 3))
            case 1:
                fleet.use(number)
            case 2:
                fleet.health.rest(number, fleet.clock.at + 10)
        bound = chance.choice((0, number))
        told = [each.account_id for each in explain(fleet, bound) if not each.reason]
        assert fleet.rank(bound=bound, most=100) == told
