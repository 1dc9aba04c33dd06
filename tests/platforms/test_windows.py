"""Usage windows in replies' headers, and what it costs to look for them."""

from __future__ import annotations

import pytest

from sub2api.model.health import UsageWindow
from sub2api.platforms import BY_NAME

NOW = 1764028800.0
UNIFIED = "anthropic-ratelimit-unified-"


def anthropic(**told: object) -> tuple[UsageWindow, ...]:
    headers = [
        ((UNIFIED + name.removeprefix("w").replace("_", "-")).encode(), str(value).encode())
        for name, value in told.items()
    ]
    return BY_NAME["anthropic"].windows(dict([(b"date", b"x"), *headers]), NOW)


def codex(**told: object) -> tuple[UsageWindow, ...]:
    headers = [(f"x-codex-{name.replace('_', '-')}".encode(), str(value).encode())
               for name, value in told.items()]  # fmt: skip
    return BY_NAME["openai"].windows(dict(headers), NOW)


def test_anthropics_windows_are_read() -> None:
    found = anthropic(
        w5h_status="allowed_warning", w5h_reset=NOW + 900, w5h_utilization="0.83",
        w7d_status="allowed", w7d_reset=int(NOW + 90000), w7d_utilization="0.4",
    )  # fmt: skip
    assert found == (
        UsageWindow("5h", 0.83, NOW + 900, NOW, "allowed_warning"),
        UsageWindow("7d", 0.4, NOW + 90000, NOW, "allowed"),
    )


@pytest.mark.parametrize(
    ("status", "share"), [("rejected", 1.0), ("allowed_warning", 0.8), ("allowed", 0.0), ("", 0.0)]
)
def test_a_share_that_is_not_told_is_estimated_by_the_status(status: str, share: float) -> None:
    found = anthropic(w5h_status=status, w5h_reset=NOW + 900)
    assert [window.utilization for window in found] == [share]


def test_a_window_whose_end_is_unknown_or_over_is_left_out() -> None:
    assert anthropic(w5h_status="allowed") == ()
    assert anthropic(w5h_status="allowed", w5h_reset=NOW - 1) == ()


@pytest.mark.parametrize(
    ("primary", "secondary", "names"),
    [
        (300, 10080, ("5h", "7d")), (10080, 300, ("7d", "5h")), (300, None, ("5h", "7d")),
        (10080, None, ("7d", "5h")), (None, 300, ("7d", "5h")), (None, 10080, ("5h", "7d")),
        (None, None, ("7d", "5h")), (360, None, ("5h", "7d")), (361, None, ("7d", "5h")),
    ],
)  # fmt: skip
def test_codex_windows_are_named_by_their_length(
    primary: int | None, secondary: int | None, names: tuple[str, str]
) -> None:
    """T40, section 11.3 of what the vendors send: the two change places."""
    lengths = {"primary_window_minutes": primary, "secondary_window_minutes": secondary}
    found = codex(
        primary_used_percent=50, primary_reset_after_seconds=100, secondary_used_percent="3.5",
        secondary_reset_at=NOW + 200,
        **{name: value for name, value in lengths.items() if value is not None},
    )  # fmt: skip
    by_name = {window.name: window for window in found}
    assert by_name[names[0]] == UsageWindow(names[0], 0.5, NOW + 100, NOW)
    assert by_name[names[1]] == UsageWindow(names[1], 0.035, NOW + 200, NOW)


@pytest.mark.parametrize("platform", ["anthropic", "openai", "gemini"])
def test_replies_without_windows_have_none(platform: str) -> None:
    headers = [(b"date", b"x"), (b"x-ratelimit-remaining-requests", b"1")]
    assert BY_NAME[platform].windows(dict(headers), NOW) == ()  # type: ignore[index]


@pytest.mark.parametrize("value", ["", "x", "nan", "-5", "9" * 400])
def test_nonsense_in_a_header_is_no_window(value: str) -> None:
    assert anthropic(w5h_status="allowed", w5h_reset=value) == ()
    assert codex(primary_used_percent=1, primary_reset_after_seconds=value) == ()
