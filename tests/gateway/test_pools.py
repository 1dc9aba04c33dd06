"""A pool that is kept in order says what sorting everything anew would say, whatever happens."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sub2api.model.accounts import Group
from tests.fakes.fleet import MODEL, PLATFORMS, START, Fleet, account

SIZE = 12
NUMBERS = st.integers(1, SIZE)
EVENTS = st.one_of(
    st.tuples(st.just("enter"), NUMBERS),
    st.tuples(st.just("leave"), NUMBERS),
    st.tuples(st.just("use"), NUMBERS),
    st.tuples(st.just("rest"), NUMBERS),
    st.tuples(st.just("model rest"), NUMBERS),
    st.tuples(st.just("clear"), NUMBERS),
    st.tuples(st.just("lower"), NUMBERS),
    st.tuples(st.just("spend"), NUMBERS),
    st.tuples(st.just("pass"), st.integers(1, 40)),
    st.tuples(st.just("rank"), NUMBERS),
)


def fleet_of(spent: set[int]) -> Fleet:
    accounts = [
        account(
            number,
            priority=number % 3,
            concurrency=number % 4,
            group_ids=(7,) if number % 2 else (7, 8),
        )
        for number in range(1, SIZE + 1)
    ]
    groups = [
        Group(id=7, name="a", platform="anthropic", model_routes={"claude-*": (2, 3, 5)}),
        Group(id=8, name="b", platform="anthropic"),
    ]

    def admits(candidate, bound):  # type: ignore[no-untyped-def]
        return bound or candidate.account.id not in spent

    return Fleet(accounts, groups, (7, 8), admits)


def happen(fleet: Fleet, spent: set[int], what: str, number: int) -> None:
    load = fleet.loads.load(f"account:{number}")
    match what:
        case "enter":
            fleet.loads.set(number, load[0] + 1)
        case "leave":
            fleet.loads.set(number, max(0, load[0] - 1))
        case "use":
            fleet.use(number)
        case "rest":
            fleet.health.rest(number, fleet.clock.at + 3 * number)
        case "model rest":
            fleet.health.rest(number, fleet.clock.at + 30, model=MODEL)
        case "clear":
            fleet.health.clear(number)
        case "lower":
            fleet.health.lower(number, number % 3)
        case "spend":
            spent.symmetric_difference_update({number})
        case "pass":
            fleet.clock.at += number
        case "rank":
            ranking = fleet.ranking(bound=number)
            if ranking.candidates and not ranking.bound:
                # It is used as soon as it is chosen; here, as if at the time it last was.
                fleet.scheduler._touch(ranking.candidates[0].account.id)


@settings(max_examples=400, deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_the_kept_order_is_the_order_made_anew(events: list[tuple[str, int]]) -> None:
    spent: set[int] = set()
    fleet = fleet_of(spent)
    fleet.clock.always = 0.5
    happen(fleet, spent, "rank", 1)
    for what, number in events:
        happen(fleet, spent, what, number)
    fleet.clock.at += 0.5  # who was parked is looked at again
    pool = fleet.scheduler._pool(fleet.caller, PLATFORMS, MODEL, fleet.clock.at)
    kept = (list(pool._order), pool.earliest())
    pool.sort(fleet.clock.at)
    assert (pool._order, pool.earliest()) == kept


def test_ends_of_rests_that_never_came_do_not_pile_up() -> None:
    fleet = Fleet([account(number) for number in range(1, 5)])
    fleet.rank()
    for number in range(2000):
        fleet.health.rest(1, START + 1000 + number)
        fleet.rank()
    pool = fleet.scheduler._pool(fleet.caller, PLATFORMS, MODEL, START)
    assert len(pool._ends) < 100
