from __future__ import annotations

from sub2api.monitoring.metrics import Histogram, Metrics


def test_a_value_counts_in_the_first_bucket_that_holds_it() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert histogram.total == 7.65


def test_the_exposition_has_calls_times_and_gauges() -> None:
    metrics = Metrics()
    metrics.gauges["backlog"] = ("Waiting.", lambda: 3)
    metrics.served("messages", "anthropic", 200, (0.002, 0.0, 1.5))
    metrics.served("messages", "anthropic", 200, (0.004, 0.2, None))
    metrics.served("chat", "", 401, (0.0, 0.0, None))
    text = metrics.exposition().decode()
    for line in (
        'sub2api_calls_total{platform="anthropic",route="messages",status="200"} 2.0',
        'sub2api_calls_total{platform="",route="chat",status="401"} 1.0',
        'sub2api_overhead_seconds_count{platform="anthropic",route="messages"} 2.0',
        'sub2api_overhead_seconds_bucket{le="0.0025",platform="anthropic",route="messages"} 1.0',
        'sub2api_time_to_first_token_seconds_count{platform="anthropic",route="messages"} 1.0',
        'sub2api_queue_wait_seconds_sum{platform="anthropic",route="messages"} 0.2',
        "sub2api_backlog 3.0",
    ):
        assert line in text
    assert 'overhead_seconds_count{platform="",' not in text
