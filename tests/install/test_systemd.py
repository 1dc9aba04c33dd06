"""The unit under a real systemd: sandbox, readiness, watchdog, restart, stop."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.install.machine import free_port
from tests.updates.releases import Releases


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to boot a container")
def test_a_machine_that_runs_systemd(server: Releases, tmp_path: Path) -> None:
    booting = shutil.which("systemd-nspawn") and Path("/lib/systemd/systemd").exists()
    if not booting:
        pytest.skip("apt-get install systemd-container")
    script = Path(__file__).with_name("under_systemd.sh")
    ran = subprocess.run(
        ["unshare", "--mount", "sh", script, tmp_path, server.url, str(free_port())],
        capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    story, _, journal = ran.stdout.partition("--- journal\n")
    if "Fetching" not in story:
        pytest.skip(f"systemd does not boot in a container here: {story[-500:]}")
    assert "the story ends well" in story, story + journal[-3000:]
    assert "Result=success" in story  # not a time-out: the stop came through
    assert "Failed with result 'timeout'" not in journal
    assert "Watchdog timeout" in journal
