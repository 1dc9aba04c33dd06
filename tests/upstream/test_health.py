"""How accounts fare: rests, half-open, proxies, stalls."""

from __future__ import annotations

import dataclasses

import pytest

from sub2api.errors import UPSTREAM, ClientError, Fault, Next, UpstreamError
from sub2api.model.accounts import Proxy
from sub2api.model.health import Harm
from sub2api.settings.keys import Stall
from tests.fakes.health import BURST, A, Ward, account, half_open, until

PROXY = Proxy(id=9, name="p", protocol="http", host="p.example", port=3128)


def test_a_harmed_account_rests_and_is_half_open_after_it() -> None:
    ward = Ward()
    assert (until(ward), half_open(ward)) == (None, False)
    ward.health.harmed(A, "m", BURST)
    assert (until(ward), half_open(ward)) == (5.0, False)
    ward.clock.at += 5
    assert (until(ward), half_open(ward)) == (None, True)


def test_the_end_of_a_rest_needs_nothing_to_happen() -> None:
    """Pain 21: the deadline is compared when it is read."""
    ward = Ward()
    ward.health.harmed(A, "m", Harm("rest", "window_5h", until=ward.clock.at + 9000))
    ward.clock.at += 8999.9
    assert until(ward) == pytest.approx(0.1)
    ward.clock.at += 0.2
    assert until(ward) is None


def test_a_failure_of_the_half_open_call_is_the_next_longer_rest() -> None:
    """Pain 20: a burst costs seconds, and grows only while nothing succeeds."""
    ward = Ward()
    lengths = []
    for _ in range(8):
        ward.health.harmed(A, "m", BURST)
        lengths.append(until(ward))
        ward.clock.at += lengths[-1] or 0
    assert lengths == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_success_ends_it_and_the_next_failure_begins_anew() -> None:
    ward = Ward()
    for _ in range(4):
        ward.health.harmed(A, "m", BURST)
        ward.clock.at += until(ward) or 0
    ward.health.succeeded(A, "m", ward.clock.at)
    assert not half_open(ward)
    ward.health.harmed(A, "m", BURST)
    assert until(ward) == 5.0


def test_a_success_of_a_call_that_began_before_the_rest_was_over_proves_nothing() -> None:
    ward = Ward()
    began = ward.clock.at
    ward.health.harmed(A, "m", BURST)
    ward.health.succeeded(A, "m", began)
    assert until(ward) == 5.0
    ward.clock.at += 9
    ward.health.succeeded(A, "m", began)
    assert half_open(ward)


def test_many_calls_that_fail_together_are_one_rest() -> None:
    ward = Ward()
    for _ in range(50):
        ward.health.harmed(A, "m", BURST)
    assert until(ward) == 5.0
    assert ward.changed == [1]


def test_a_models_rest_leaves_the_other_models_alone() -> None:
    ward = Ward()
    ward.health.harmed(A, "m", Harm("rest", "quota", scope="model", until=ward.clock.at + 100))
    assert (until(ward, model="m"), until(ward, model="other")) == (100, None)
    rest = ward.health.rest_of(A, "m", ward.clock.at)
    assert rest is not None
    assert (rest.cause, rest.model, rest.out_of_use) == ("quota", "m", False)
    ward.clock.at += 101
    assert (half_open(ward), half_open(ward, model="other")) == (True, False)
    ward.health.succeeded(A, "other", ward.clock.at)
    assert half_open(ward)
    ward.health.succeeded(A, "m", ward.clock.at)
    assert not half_open(ward)


def test_the_later_of_the_rests_is_told() -> None:
    ward = Ward()
    ward.health.harmed(A, "m", Harm("rest", "quota", scope="model", until=ward.clock.at + 100))
    ward.health.harmed(A, "m", Harm("rest", "window_7d", until=ward.clock.at + 500))
    assert (until(ward), until(ward, model="x")) == (500, 500)


def test_models_that_rest_apart_are_bounded() -> None:
    ward = Ward()
    for number in range(500):
        ward.health.harmed(A, f"m{number}", Harm("rest", "burst", scope="model"))
    assert len(ward.health._resting[1]) <= 64
    assert until(ward, model="m499") == 5.0


async def test_an_account_out_of_use_is_felt_at_once_and_marked_in_the_store() -> None:
    """T35."""
    ward = Ward()
    ward.health.harmed(A, "m", Harm("error", "credential", detail="Authentication failed (401): x"))
    assert until(ward) == 600
    rest = ward.health.rest_of(A, "m", ward.clock.at)
    assert rest is not None
    assert rest.out_of_use
    assert ward.changed == [1]
    await ward.health.close()
    assert ward.records.out_of_use == {1: "Authentication failed (401): x"}
    assert ward.records.rows == {}
    await ward.health.load([dataclasses.replace(A, status="error")])
    assert (until(ward), half_open(ward)) == (None, False)


def test_provider_faults_count_from_the_third_in_a_row_within_a_minute() -> None:
    ward = Ward()
    for _ in range(2):
        ward.health.provider_failed(A, "m", "upstream_error")
    ward.health.succeeded(A, "m", ward.clock.at)
    for _ in range(2):
        ward.health.provider_failed(A, "m", "upstream_error")
        assert until(ward) is None
        ward.clock.at += 40
    ward.health.provider_failed(A, "m", "upstream_error")
    assert until(ward) is None
    ward.clock.at += 10
    ward.health.provider_failed(A, "m", "overloaded")
    rest = ward.health.rest_of(A, "m", ward.clock.at)
    assert rest is not None
    assert (rest.until - ward.clock.at, rest.cause) == (5.0, "overloaded")


def test_after_such_a_rest_one_failure_is_the_next_longer_rest() -> None:
    ward = Ward()
    for _ in range(3):
        ward.health.provider_failed(A, "m", "reset")
    lengths = []
    for _ in range(5):
        ward.clock.at += until(ward) or 0
        ward.health.provider_failed(A, "m", "reset")
        lengths.append(until(ward))
    assert lengths == [10, 20, 40, 60, 60]


def test_a_529_counts_at_once() -> None:
    """T43, with a minute first and ten at most (decision 0012)."""
    ward = Ward()
    ward.health.harmed(A, "m", Harm("rest", "overloaded"))
    assert until(ward) == 60.0


def test_an_account_with_custom_codes_is_spared_what_they_do_not_list() -> None:
    """T36."""
    ward = Ward()
    picky = account(custom_error_codes=(401,))
    for _ in range(5):
        ward.health.provider_failed(picky, "m", "upstream_error")
    assert until(ward, picky) is None
    for _ in range(3):
        ward.health.provider_failed(picky, "m", "connect_timeout")
    assert until(ward, picky) == 5.0


async def test_a_proxys_failure_rests_the_proxy_and_no_account() -> None:
    """Pain 24: one proxy's failure is one rest, and nothing is written to the store."""
    ward = Ward()
    behind = [account(number, proxy=PROXY) for number in range(1, 51)]
    direct = account(99)
    await ward.health.load([*behind, direct])
    for each in behind:
        ward.health.provider_failed(each, "m", "proxy")
    assert {until(ward, each) for each in behind} == {5.0}
    assert until(ward, direct) is None
    assert sorted(set(ward.changed)) == [each.id for each in behind]
    await ward.health.close()
    assert ward.records.writes == []
    ward.clock.at += 5
    assert half_open(ward, behind[7])
    ward.health.succeeded(behind[3], "m", ward.clock.at)
    assert not half_open(ward, behind[7])
    moved = dataclasses.replace(behind[0], proxy=None)
    assert until(ward, moved) is None


def test_a_blocked_way_rests_the_proxy_or_the_account_that_has_none() -> None:
    ward = Ward()
    harm = Harm("rest", "unreachable", scope="proxy")
    ward.health.harmed(account(2, proxy=PROXY), "m", harm)
    assert (until(ward, account(3, proxy=PROXY)), until(ward, A)) == (5.0, None)
    ward.health.harmed(A, "m", harm)
    assert until(ward, A) == 5.0


def test_a_proxy_that_fails_half_open_rests_longer() -> None:
    ward = Ward()
    one = account(1, proxy=PROXY)
    for _ in range(3):
        ward.health.provider_failed(one, "m", "connect_timeout")
    ward.clock.at += 5
    ward.health.provider_failed(one, "m", "connect_timeout")
    assert until(ward, one) == 10.0


def failure(fault: Fault, harm: Harm | None = None) -> UpstreamError:
    shown = ClientError("no", status=502, kind=UPSTREAM)
    return UpstreamError(
        "x", then=Next.OTHER_ACCOUNT, cause="x", shown=shown, fault=fault, harm=harm
    )


def test_only_an_accounts_and_a_providers_fault_touch_its_health() -> None:
    """Pain 22: one caller's bad requests never rest an account that others share."""
    ward = Ward()
    for _ in range(50):
        ward.health.failed(A, "m", failure(Fault.CALLER))
    assert (until(ward), ward.changed) == (None, [])
    ward.health.failed(A, "m", failure(Fault.ACCOUNT, BURST))
    assert until(ward) == 5.0
    for _ in range(3):
        ward.health.failed(account(2), "m", failure(Fault.PROVIDER))
    assert until(ward, account(2)) == 5.0


def test_without_a_stall_policy_silence_counts_like_a_broken_connection() -> None:
    ward = Ward()
    for _ in range(2):
        ward.health.harmed(A, "m", Harm("rest", "stalled", detail="idle_timeout"))
    assert until(ward) is None
    ward.health.harmed(A, "m", Harm("rest", "stalled", detail="idle_timeout"))
    assert until(ward) == 5.0


def test_a_stall_policy_counts_within_its_window() -> None:
    ward = Ward(stall=Stall(enabled=True, window_minutes=10, threshold=3, rest_minutes=5))
    stall = Harm("rest", "stalled", detail="idle_timeout")
    for _ in range(3):
        ward.health.harmed(A, "m", stall)
        assert until(ward) is None
        ward.clock.at += 301
    ward.clock.at -= 300
    ward.health.harmed(A, "m", stall)
    assert until(ward) == 300.0
    rest = ward.health.rest_of(A, "m", ward.clock.at)
    assert rest is not None
    assert rest.cause == "stalled"


async def test_a_stall_policy_may_put_an_account_out_of_use() -> None:
    ward = Ward(stall=Stall(enabled=True, threshold=1, action="error"))
    ward.health.harmed(A, "m", Harm("rest", "stalled"))
    await ward.health.close()
    assert ward.records.out_of_use == {1: "Stalled 1 times in 10 minutes"}


def test_bursts_lower_an_adaptive_accounts_concurrency() -> None:
    ward = Ward()
    adaptive = account(adaptive_concurrency=True, concurrency=8)
    assert ward.health.concurrency_of(adaptive) == 8
    ward.health.harmed(adaptive, "m", BURST)
    assert ward.health.concurrency_of(adaptive) == 4
    assert ward.changed == [1, 1]
    for _ in range(4):
        ward.health.succeeded(adaptive, "m", ward.clock.at)
    assert ward.health.concurrency_of(adaptive) == 5
    assert len(ward.changed) == 3
    ward.health.harmed(account(2, concurrency=8), "m", BURST)
    assert ward.health.concurrency_of(account(2, concurrency=8)) == 8


def test_an_account_that_is_slow_three_times_is_told() -> None:
    ward = Ward()
    for _ in range(20):
        ward.health.first_frame(A, "m", 1.0)
    for _ in range(3):
        ward.health.first_frame(account(2), "m", 20.0)
    assert (ward.health.is_slow(account(2), "m"), ward.health.is_slow(A, "m")) == (True, False)
    assert ward.changed == [2]
