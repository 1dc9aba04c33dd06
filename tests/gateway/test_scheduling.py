"""Whom a call is sent to: the facts that operators rely on, one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from sub2api.gateway import scheduling
from sub2api.model.accounts import Group
from tests.fakes.fleet import MODEL, PLATFORMS, START, Fleet, account, snapshot_of


def group(group_id: int, **fields: object) -> Group:
    return Group(id=group_id, name=f"group-{group_id}", platform="anthropic", **fields)


def test_a_lower_priority_number_goes_first_even_if_it_was_used() -> None:
    fleet = Fleet([account(1, priority=2), account(2, priority=1)])
    fleet.use(2)
    assert fleet.rank() == [2, 1]


def test_among_equals_the_never_used_goes_first_then_the_one_used_longest_ago() -> None:
    fleet = Fleet([account(1), account(2), account(3)])
    fleet.use(3)
    fleet.use(1)
    assert fleet.rank() == [2, 3, 1]


def test_among_equals_the_less_loaded_goes_first() -> None:
    fleet = Fleet([account(1, concurrency=5), account(2, concurrency=5)])
    fleet.loads.set(1, 4)
    fleet.loads.set(2, 1)
    assert fleet.rank() == [2, 1]


def test_load_is_a_share_and_counts_those_that_wait() -> None:
    fleet = Fleet([account(1, concurrency=10), account(2, concurrency=4)])
    fleet.loads.set(1, 4)
    fleet.loads.set(2, 1, waiting=1)
    assert fleet.rank() == [1, 2]


def test_an_account_without_a_known_load_has_none() -> None:
    fleet = Fleet([account(1, concurrency=5), account(2, concurrency=5)])
    fleet.loads.set(1, 1)
    assert fleet.rank() == [2, 1]


def test_a_full_account_comes_after_every_one_with_room_whatever_its_priority() -> None:
    fleet = Fleet([account(1, priority=1, concurrency=2), account(2, priority=9, concurrency=2)])
    fleet.loads.set(1, 2)
    assert fleet.rank() == [2, 1]
    fleet.loads.set(1, 1)
    assert fleet.rank() == [1, 2]


def test_when_all_are_full_all_are_ranked_so_that_admission_can_wait() -> None:
    fleet = Fleet([account(1, concurrency=1), account(2, concurrency=1)])
    fleet.loads.set(1, 1)
    fleet.loads.set(2, 1)
    assert sorted(fleet.rank()) == [1, 2]


def test_the_first_group_of_the_key_goes_before_priority_and_a_full_group_spills() -> None:
    accounts = [
        account(1, priority=9, concurrency=1, group_ids=(7,)),
        account(2, priority=1, group_ids=(8,)),
        account(3, group_ids=(9,)),
    ]
    fleet = Fleet(accounts, [group(7), group(8), group(9)], (7, 8))
    assert fleet.rank() == [1, 2]
    fleet.loads.set(1, 1)
    assert fleet.rank() == [2, 1]


def test_equal_never_used_accounts_are_spread() -> None:
    firsts: Counter[int] = Counter()
    for _ in range(300):
        firsts[Fleet([account(1), account(2), account(3)]).rank()[0]] += 1
    assert min(firsts.values()) > 50, firsts
    assert sum(firsts.values()) == 300


def test_calls_of_one_moment_are_spread_before_any_load_is_known() -> None:
    fleet = Fleet([account(number, concurrency=9) for number in range(1, 11)])
    firsts: Counter[int] = Counter()
    for _ in range(30):
        firsts[fleet.rank()[0]] += 1
        fleet.clock.at += 0.00001
    assert set(firsts.values()) == {3}


def test_only_accounts_in_use_that_have_the_model_and_platform_are_asked() -> None:
    fleet = Fleet(
        [
            account(1, status="disabled"),
            account(2, status="error"),
            account(3, schedulable=False),
            account(4, expires_at=START),
            account(5, model_mapping={"gpt-*": "gpt-5"}),
            account(6, platform="openai"),
            account(7, model_mapping={"claude-*": "claude-upstream"}),
        ]
    )
    (only,) = fleet.ranking().candidates
    assert (only.account.id, only.upstream_model) == (7, "claude-upstream")


def test_an_account_expires_without_anybody_noticing_for_us() -> None:
    fleet = Fleet([account(1, expires_at=START + 10), account(2), account(3)])
    assert sorted(fleet.rank()) == [1, 2, 3]
    fleet.clock.at += 10
    assert sorted(fleet.rank()) == [2, 3]
    assert fleet.standing(1) == "out of use"


def test_a_rest_ends_when_it_is_over_with_nothing_firing() -> None:
    fleet = Fleet([account(1), account(2), account(3)])
    fleet.rank()
    fleet.health.rest(1, START + 60)
    assert sorted(fleet.rank()) == [2, 3]
    fleet.clock.at += 59.9
    assert sorted(fleet.rank()) == [2, 3]
    fleet.clock.at += 0.1
    assert sorted(fleet.rank()) == [1, 2, 3]


def test_a_rest_that_is_cleared_ends_at_once_and_one_that_grows_goes_on() -> None:
    fleet = Fleet([account(1), account(2), account(3)])
    fleet.health.rest(1, START + 60)
    fleet.health.rest(2, START + 60)
    assert fleet.rank() == [3]
    fleet.health.clear(1)
    fleet.health.rest(2, START + 90)
    assert sorted(fleet.rank()) == [1, 3]
    fleet.clock.at += 60
    assert sorted(fleet.rank()) == [1, 3]
    fleet.clock.at += 30
    assert sorted(fleet.rank()) == [1, 2, 3]


def test_a_model_that_rests_leaves_the_accounts_other_models_alone() -> None:
    fleet = Fleet([account(1), account(2)])
    fleet.health.rest(1, START + 60, model=MODEL)
    assert fleet.rank() == [2]
    assert sorted(fleet.rank("claude-haiku-4-5")) == [1, 2]


def test_an_account_whose_rest_is_over_takes_one_call_at_a_time() -> None:
    fleet = Fleet([account(1, priority=1, concurrency=9), account(2)])
    fleet.health.rest(1, START + 5)
    fleet.clock.at += 5
    assert fleet.rank() == [1, 2]
    fleet.loads.set(1, 1)  # a stream from before its rest proves nothing, and keeps nobody away
    assert fleet.rank() == [1, 2]
    fleet.loads.set(1, 1, kind="probe")
    assert fleet.rank() == [2, 1]
    fleet.health.clear(1)
    assert fleet.rank() == [1, 2]


def test_a_lowered_concurrency_counts() -> None:
    fleet = Fleet([account(1, priority=1, concurrency=9), account(2)])
    fleet.loads.set(1, 3)
    assert fleet.rank() == [1, 2]
    fleet.health.lower(1, 3)
    assert fleet.rank() == [2, 1]


@pytest.mark.parametrize("more", [0, 4], ids=["one account", "several"])
def test_when_all_rest_the_earliest_end_is_told(more: int) -> None:
    fleet = Fleet([account(number) for number in range(1, 2 + more)])
    fleet.rank()
    for number in range(1, 2 + more):
        fleet.health.rest(number, START + 100 - number)
    ranking = fleet.ranking()
    assert ranking.candidates == []
    assert ranking.earliest == START + 99 - more
    fleet.health.clear(1)
    assert fleet.rank() == [1]


def test_a_rest_that_grows_or_shrinks_moves_the_earliest_end() -> None:
    fleet = Fleet([account(1), account(2)])
    fleet.health.rest(1, START + 60)
    fleet.health.rest(2, START + 90)
    assert fleet.ranking().earliest == START + 60
    fleet.health.rest(1, START + 120)
    assert fleet.ranking().earliest == START + 90
    fleet.health.rest(2, START + 30)
    assert fleet.ranking().earliest == START + 30


def test_nobody_is_told_to_come_again_for_an_account_that_waits_for_an_operator() -> None:
    fleet = Fleet([account(1), account(2)])
    fleet.health.put_out_of_use(1, START + 10)
    fleet.health.rest(2, START + 60)
    assert fleet.ranking().earliest == START + 60
    assert (fleet.standing(1), fleet.standing(2)) == ("out of use", "resting")
    fleet.health.put_out_of_use(2, START + 20)
    assert fleet.ranking().earliest is None
    told = fleet.scheduler.explain(fleet.caller, PLATFORMS, MODEL)
    assert {(each.reason, each.until) for each in told} == {("it is out of use (credential)", None)}
    alone = Fleet([account(1)])
    alone.health.put_out_of_use(1, START + 10)
    assert alone.ranking().earliest is None


def test_nobody_there_is_no_rest_that_ends() -> None:
    fleet = Fleet([account(1, status="disabled")])
    assert fleet.ranking().earliest is None
    fleet = Fleet([account(1), account(2)])
    assert fleet.ranking(skip={1, 2}).candidates == []


def test_at_most_as_many_as_asked_for_and_none_that_was_tried() -> None:
    fleet = Fleet([account(number, priority=number) for number in range(1, 20)])
    assert fleet.rank() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert fleet.rank(most=3, skip={1, 3}) == [2, 4, 5]


def test_a_bound_session_stays_even_where_it_is_full_or_less_preferred() -> None:
    fleet = Fleet([account(1, priority=1), account(2, priority=9, concurrency=1)])
    fleet.loads.set(2, 1)
    ranking = fleet.ranking(bound=2)
    assert ranking.bound
    assert [each.account.id for each in ranking.candidates] == [2, 1]
    assert fleet.standing(2) == "usable"


@pytest.mark.parametrize(
    "trouble", ["resting", "model resting", "slow", "tried", "disabled", "moved", "lacks model"]
)
def test_a_bound_session_leaves_an_account_that_cannot_serve_it(trouble: str) -> None:
    first = account(1, group_ids=(7,), priority=1)
    others = [account(2, group_ids=(7,)), account(3, group_ids=(7,))]
    fleet = Fleet([first, *others], [group(7), group(8)], (7,))
    skip: set[int] = set()
    if trouble == "resting":
        fleet.health.rest(1, START + 60)
    elif trouble == "model resting":
        fleet.health.rest(1, START + 60, model=MODEL)
    elif trouble == "slow":
        fleet.health.slow.add(1)
    elif trouble == "tried":
        skip.add(1)
    else:
        changes = {
            "disabled": {"status": "disabled"},
            "moved": {"group_ids": (8,)},
            "lacks model": {"model_mapping": {"x": "x"}},
        }
        changed = replace(first, **changes[trouble])
        fleet.catalogue.snapshot = snapshot_of([changed, *others], [group(7), group(8)])
    ranking = fleet.ranking(bound=1, skip=skip)
    assert not ranking.bound
    assert {2, 3} <= {each.account.id for each in ranking.candidates}
    expected = {"model resting": "resting", "tried": "usable", "disabled": "out of use"}
    assert fleet.standing(1) == expected.get(trouble, trouble.replace("moved", "not reached"))


def test_a_binding_survives_another_models_rest_and_a_rest_that_is_over() -> None:
    fleet = Fleet([account(1), account(2)])
    fleet.health.rest(1, START + 60, model="claude-haiku-4-5")
    assert fleet.ranking(bound=1).bound
    fleet.health.rest(1, START + 60)
    fleet.clock.at += 60
    assert fleet.ranking(bound=1).bound


def test_a_single_account_knows_its_bound_sessions_too() -> None:
    fleet = Fleet([account(1)])
    assert fleet.ranking(bound=1).bound
    assert not fleet.ranking(bound=2).bound
    fleet.health.slow.add(1)
    assert not fleet.ranking(bound=1).bound
    assert fleet.rank(bound=1) == [1]
    assert fleet.rank(skip=[1]) == []


def test_a_model_route_leaves_only_its_accounts_while_one_of_them_is_usable() -> None:
    routes = {"claude-*": (3,), "claude-sonnet-*": (1, 2)}
    accounts = [account(number, group_ids=(7,)) for number in range(1, 6)]
    fleet = Fleet(accounts, [group(7, model_routes=routes)], (7,))
    assert sorted(fleet.rank()) == [1, 2]
    assert fleet.rank("claude-haiku-4-5") == [3]
    assert sorted(fleet.rank("gpt-5")) == [1, 2, 3, 4, 5]
    fleet.health.rest(1, START + 60)
    assert fleet.rank() == [2]
    fleet.health.rest(2, START + 30)
    assert sorted(fleet.rank()) == [3, 4, 5]
    fleet.clock.at += 30
    assert fleet.rank() == [2]


def test_a_bound_session_outside_the_model_route_moves_and_a_failed_route_is_left() -> None:
    routes = {MODEL: (1,)}
    accounts = [account(number, group_ids=(7,)) for number in range(1, 4)]
    fleet = Fleet(accounts, [group(7, model_routes=routes)], (7,))
    ranking = fleet.ranking(bound=2)
    assert (ranking.bound, ranking.candidates[0].account.id) == (False, 1)
    assert fleet.standing(2) == "not reached"
    assert sorted(fleet.rank(skip={1})) == [2, 3]


def test_a_route_of_one_group_leaves_the_keys_other_groups_alone() -> None:
    accounts = [
        account(1, group_ids=(7,)),
        account(2, group_ids=(7, 8)),
        account(3, group_ids=(8,)),
    ]
    fleet = Fleet(accounts, [group(7, model_routes={MODEL: (1,)}), group(8)], (7, 8))
    ranking = fleet.ranking()
    assert ranking.candidates[0].account.id == 1
    assert {(each.account.id, each.rank) for each in ranking.candidates} == {(1, 0), (2, 1), (3, 1)}


def test_a_full_window_keeps_new_sessions_away_and_its_reserve_is_for_bound_ones() -> None:
    spent = {1: 99, 2: 0, 3: 0}

    def admits(candidate, bound):  # type: ignore[no-untyped-def]
        return spent[candidate.account.id] < (110 if bound else 100)

    fleet = Fleet([account(1, priority=1), account(2), account(3)], admits=admits)
    assert fleet.rank()[0] == 1
    spent[1] = 100
    assert sorted(fleet.rank()) == [2, 3]
    assert fleet.ranking(bound=1).bound
    assert fleet.standing(1) == "usable"
    spent[1] = 110
    assert not fleet.ranking(bound=1).bound
    assert fleet.standing(1) == "resting"
    spent[1] = 0
    fleet.clock.at += 0.25
    assert fleet.rank()[0] == 1


def test_a_call_looks_at_what_was_touched_and_at_nothing_else() -> None:
    accounts = [account(number, concurrency=5, group_ids=(7,)) for number in range(1, 401)]
    others = [account(number, concurrency=5, group_ids=(8,)) for number in range(401, 801)]
    fleet = Fleet(accounts + others, [group(7), group(8)], (7,))
    for number in range(1, 101):
        chosen = fleet.rank()[0]
        fleet.loads.add(chosen, 1)
        fleet.use(chosen)
        fleet.loads.add(400 + number, 1)
        if number > 50:
            fleet.loads.add(chosen, -1)
            fleet.health.asked = 0
            fleet.rank(bound=1)
            assert fleet.health.asked <= 1


def test_the_pools_are_bounded_and_each_knows_its_own_past(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet([account(number) for number in range(1, 11)])
    for _ in range(3):
        for number in range(200):
            fleet.rank(f"model-{number}")
    monkeypatch.setattr(scheduling, "MOST_MEMBERS", 100)
    fleet.health.rest(1, START + 60)
    for number in range(200, 220):
        assert 1 not in fleet.rank(f"model-{number}", most=10)
    assert len(fleet.scheduler._pools) == 9


def test_a_pool_that_missed_more_than_is_remembered_is_right_again() -> None:
    fleet = Fleet([account(number, concurrency=9) for number in range(1, 9)])
    fleet.rank()
    fleet.loads.set(3, 9)
    for _ in range(scheduling.MOST_TOUCHES):
        fleet.loads.set(99, 1)
    assert fleet.rank()[-1] == 3


def test_other_names_in_the_picture_of_loads_are_no_accounts() -> None:
    fleet = Fleet([account(1), account(2)])
    fleet.scheduler._load_changed("user:1")
    assert sorted(fleet.rank()) == [1, 2]


def test_one_that_no_other_can_stand_in_for_is_ranked_alone_however_it_stands() -> None:
    fleet = Fleet([account(1, priority=99), *(account(number) for number in range(2, 12))])
    whom = (fleet.caller, PLATFORMS, MODEL)
    fleet.health.slow.add(1)
    assert 1 not in fleet.rank(bound=1)
    ranking = fleet.scheduler.alone(*whom, 1)
    assert ([each.account.id for each in ranking.candidates], ranking.bound) == ([1], True)
    fleet.health.rest(1, START + 60)
    ranking = fleet.scheduler.alone(*whom, 1)
    assert (ranking.candidates, ranking.bound, ranking.earliest) == ([], False, START + 60)
    assert fleet.scheduler.alone(*whom, 99).candidates == []
