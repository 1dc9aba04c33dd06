"""The same as root: a service of the machine, with a user of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.install.machine import free_port
from tests.updates.releases import Releases


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces and an overlay")
def test_root_installs_for_the_machine(server: Releases, tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("apt-get install util-linux")
    script = Path(__file__).with_name("as_root.sh")
    ran = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
         "sh", script, tmp_path, server.url, str(free_port())],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert ran.stdout.endswith("the story ends well\n"), ran.stdout + ran.stderr
