"""The bars are judged as the benchmark's method says."""

from __future__ import annotations

from typing import Any

from tests.bench.bars import BARS, Verdict, invalid, judged
from tests.bench.workloads import NAMES


def results(**rates: float) -> dict[str, Any]:
    rows = {name.replace("_", "-"): {"per_second": rate} for name, rate in rates.items()}
    return {"workloads": {"whole-c50": rows}}


def verdict(found: dict[str, Any], text: str, *, peers: bool = False) -> Verdict:
    return next(each for each in judged(found, peers=peers) if each.bar.text == text)


def test_a_ratio_at_the_bar_passes_and_one_below_fails() -> None:
    assert verdict(results(express=150, go=100), "req/s / Go").passed
    assert not verdict(results(express=149, go=100), "req/s / Go").passed


def test_the_aim_is_above_the_bar() -> None:
    assert not verdict(results(express=150, go=100), "req/s / Go").reaches_aim
    assert verdict(results(express=250, go=100), "req/s / Go").reaches_aim


def test_a_missing_row_fails_the_bar() -> None:
    missing = verdict(results(express=150), "req/s / Go")
    assert not missing.passed
    assert missing.note == "no go row"
    assert not any(each.passed for each in judged({"workloads": {}}, peers=True))


def test_a_failed_row_fails_the_bar() -> None:
    found = results(express=150)
    found["workloads"]["whole-c50"]["go"] = {"failed": "it ended"}
    assert verdict(found, "req/s / Go").note == "go failed"


def test_optional_peers_are_judged_only_when_asked_for() -> None:
    assert len(judged(results(), peers=True)) == len(BARS)
    assert len(judged(results(), peers=False)) == len(BARS) - 1


def test_failed_calls_fail_the_bar_however_fast() -> None:
    found = results(express=1000, go=100)
    found["workloads"]["whole-c50"]["express"]["errors"] = 3
    assert not verdict(found, "req/s / Go").passed


def test_a_run_in_which_direct_is_too_slow_is_invalid() -> None:
    assert invalid(results(direct=125, nginx=100), ("whole-c50",)) == {}
    found = results(direct=124, nginx=100, express=1000, go=10)
    found["invalid"] = invalid(found, ("whole-c50",))
    assert set(found["invalid"]) == {"whole-c50"}
    assert not verdict(found, "req/s / Go").passed


def test_memory_is_not_judged_on_fewer_calls() -> None:
    few = {"calls": 5000, "rss_mb": 50.0, "slope_kb_per_1000_calls": 0.0}
    found = {"workloads": {}, "rss": {"express": few}}
    assert verdict(found, "RSS after 100,000 calls, MB").note == "only 5000 calls"
    few["calls"] = 100_000
    assert verdict(found, "RSS after 100,000 calls, MB").passed


def test_added_latency_is_compared_with_that_of_others() -> None:
    def row(p50: float) -> dict[str, Any]:
        return {"added": {"p50_ms": p50}}

    rows = {"express": row(0.3), "go": row(0.2), "nginx": row(0.1)}
    found: dict[str, Any] = {"workloads": {"whole-c1": rows}}
    assert verdict(found, "added p50 / Go's").passed
    assert not verdict(found, "added p50 / nginx's").passed


def test_every_bar_names_a_workload() -> None:
    assert {each.workload for each in BARS} <= set(NAMES)
