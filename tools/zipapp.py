"""Build the one file: `dist/sub2api-VERSION-cpXY-OS_ARCH.pyz`, the same bytes every time."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def artefact(version: str) -> Path:
    """Return where the file goes: its name says which Python and machine it is for."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    machine = f"{platform.system().lower()}_{platform.machine().lower()}"
    return ROOT / "dist" / f"sub2api-{version}-{python}-{machine}.pyz"


def main() -> int:
    """Build it, try it, and print its path."""
    sys.path.insert(0, str(ROOT))
    from sub2api import __version__

    target = artefact(__version__)
    target.parent.mkdir(exist_ok=True)
    # setuptools reuses this folder: a module that was removed would live on in the file.
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    command = [
        str(Path(sys.executable).with_name("shiv")),
        "--output-file", str(target),
        "--entry-point", "sub2api.__main__:main",
        "--python", "/usr/bin/env python3",
        "--reproducible", "--compressed",
        str(ROOT), "--constraint", str(ROOT / "locks" / "runtime.txt"),
    ]  # fmt: skip
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1704067200"}
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    tried = subprocess.run(
        [sys.executable, str(target), "version"], check=True, capture_output=True, text=True
    )
    print(
        f"{target.relative_to(ROOT)}  {target.stat().st_size / 1e6:.1f} MB  {tried.stdout.strip()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
