from __future__ import annotations

from pathlib import Path

import pytest

from sub2api.errors import MistakeError
from sub2api.updates.installation import Installation, Pending


def name(version: str) -> str:
    return f"sub2api-{version}-cp311-linux_x86_64.pyz"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path)
    made.releases.mkdir()
    for version in ("1.0.0", "1.1.0", "1.2.0", "1.10.0"):
        (made.releases / name(version)).write_text("")
    (made.releases / "current").symlink_to(name("1.1.0"))
    return made


def test_a_swap_remembers_both_sides_until_it_is_confirmed(installation: Installation) -> None:
    installation.swap(name("1.10.0"))
    assert installation.current() == name("1.10.0")
    assert installation.pending() == Pending(name("1.10.0"), name("1.1.0"), 0)
    installation.confirm()
    assert installation.pending() is None
    assert installation.previous() == name("1.1.0")


def test_confirming_keeps_the_last_three(installation: Installation) -> None:
    installation.swap(name("1.10.0"))
    installation.confirm()
    assert installation.all() == [name("1.10.0"), name("1.2.0"), name("1.1.0")]


def test_taking_back_points_at_the_old_release(installation: Installation) -> None:
    installation.swap(name("1.2.0"))
    assert installation.take_back() == name("1.1.0")
    assert installation.current() == name("1.1.0")
    assert installation.pending() is None
    with pytest.raises(MistakeError, match="no release is on trial"):
        installation.take_back()


def test_a_pending_file_of_another_release_does_not_count(installation: Installation) -> None:
    (installation.releases / "pending.json").write_text('{"new": "x", "old": "y"}')
    assert installation.pending() is None
    (installation.releases / "pending.json").write_text("{")
    assert installation.pending() is None


@pytest.mark.parametrize("target", ["../x", "sub2api-9.9.9-cp311-linux_x86_64.pyz", "pending.json"])
def test_only_a_release_that_is_there_can_be_current(
    installation: Installation, target: str
) -> None:
    with pytest.raises(MistakeError, match="is not in"):
        installation.swap(target)
    (installation.releases / "current").unlink()
    (installation.releases / "current").symlink_to(target)
    with pytest.raises(MistakeError, match="nothing is installed there"):
        installation.current()


def test_somebody_else_is_told_whose_it_is(tmp_path: Path) -> None:
    with pytest.raises(MistakeError, match="run this as its owner"), Installation(tmp_path).alone():
        pass
