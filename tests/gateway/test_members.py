"""Who is in a pool: each account once, in its best place."""

from __future__ import annotations

from sub2api.gateway.members import Member, members_of
from sub2api.model.accounts import Group
from sub2api.upstream.catalogue import Candidate
from tests.fakes.fleet import MODEL, START, account


def group(group_id: int, **fields: object) -> Group:
    return Group(id=group_id, name=f"group-{group_id}", platform="anthropic", **fields)


def by_id(reachable: list[Candidate]) -> dict[int, Member]:
    return {each.account.id: each for each in members_of(reachable, MODEL, START)}


def test_an_account_in_two_groups_is_a_member_once_at_the_first() -> None:
    known = account(1)
    members = by_id([Candidate(known, "", group(7), 0), Candidate(known, "", group(8), 1)])
    assert [(each.candidate.rank, each.route) for each in members.values()] == [(0, None)]


def test_one_that_a_route_leaves_out_is_a_member_by_its_other_group() -> None:
    routing = group(7, model_routes={MODEL: (2,)})
    left_out, routed = account(1), account(2)
    members = by_id(
        [
            Candidate(left_out, "", routing, 0),
            Candidate(routed, "", routing, 0),
            Candidate(left_out, "", group(8), 1),
            Candidate(routed, "", group(8), 1),
        ]
    )
    assert (members[1].candidate.rank, members[1].route) == (1, None)
    assert (members[2].candidate.rank, members[2].routed) == (0, True)


def test_one_that_two_routes_leave_out_waits_at_the_first() -> None:
    groups = [group(7, model_routes={MODEL: (9,)}), group(8, model_routes={MODEL: (9,)})]
    known = account(1)
    members = by_id([Candidate(known, "", each, rank) for rank, each in enumerate(groups)])
    assert (members[1].candidate.rank, members[1].routed) == (0, False)
    assert members[1].route is not None


def test_one_that_the_second_groups_route_names_is_there_for_that() -> None:
    groups = [group(7, model_routes={MODEL: (9,)}), group(8, model_routes={MODEL: (1,)})]
    known = account(1)
    members = by_id([Candidate(known, "", each, rank) for rank, each in enumerate(groups)])
    assert (members[1].candidate.rank, members[1].routed) == (1, True)
