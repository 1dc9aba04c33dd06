"""The units are ones that systemd accepts, and hardened."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
MOST_EXPOSED = 2.0
"""`systemd-analyze security`: 0 is least exposed, 10 most."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with paths and a user that exist here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("apt-get install systemd")
    for name in ("sub2api.service", "sub2api.socket"):
        text = (UNITS / name).read_text()
        text = text.replace("/opt/sub2api/launch serve", "/bin/true")
        text = text.replace("User=sub2api", "User=daemon").replace("Group=sub2api", "Group=daemon")
        (tmp_path / name).write_text(text)
    return tmp_path


def test_systemd_has_nothing_to_say_about_them(units: Path) -> None:
    ran = subprocess.run(
        ["systemd-analyze", "verify", units / "sub2api.service", units / "sub2api.socket"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert str(units) not in ran.stderr


def test_the_service_is_hardly_exposed(units: Path) -> None:
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", units / "sub2api.service"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = [line for line in ran.stdout.splitlines() if "Overall exposure" in line]
    assert float(line.split(":")[1].split()[0]) <= MOST_EXPOSED


def test_they_wait_longer_than_the_gateway_drains_and_the_launcher_tries() -> None:
    text = (UNITS / "sub2api.service").read_text()
    values = dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#"
    )
    assert values["Type"] == "notify"
    assert values["NotifyAccess"] == "all"
    assert values["Restart"] == "always"
    assert int(values["TimeoutStopSec"]) > 120
    assert int(values["TimeoutStartSec"]) > 60 + 60
    assert "StateDirectory" in values
