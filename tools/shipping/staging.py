"""The source as it is built: a clean copy with the release's version and public keys in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EPOCH = "1704067200"
"""The time in every file that is built, so that the same source gives the same bytes."""
_PARTS = ("sub2api", "pyproject.toml", "README.md", "LICENSE")
KEYS = Path("sub2api/updates/release_keys.txt")


def stage(directory: Path, version: str, keys: str | None = None) -> Path:
    """Copy what is built into `directory`; `keys` replaces the public keys in it."""
    source = directory / "source"
    source.mkdir(parents=True)
    for part in _PARTS:
        original = ROOT / part
        if original.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(original, source / part, ignore=unwanted)
        else:
            shutil.copy(original, source / part)
    _set_version(source, version)
    if keys is not None:
        (source / KEYS).write_text(keys, encoding="utf-8")
    for path in source.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return source


def _set_version(source: Path, version: str) -> None:
    for name, pattern in (
        ("pyproject.toml", r'(?m)^version = "[^"]*"'),
        ("sub2api/__init__.py", r'(?m)^__version__ = "[^"]*"'),
    ):
        path = source / name
        text = path.read_text(encoding="utf-8")
        changed, count = re.subn(
            pattern, lambda found: f'{found.group().split(" = ")[0]} = "{version}"', text
        )
        if count != 1:
            raise SystemExit(f"{name} has no line with the version")
        path.write_text(changed, encoding="utf-8")


def wheel(source: Path, directory: Path) -> Path:
    """Build the wheel of a staged source, with the builder that locks/build.txt pins."""
    directory.mkdir(parents=True, exist_ok=True)
    builder = directory / "builder"
    pip = [sys.executable, "-m", "pip", "--quiet"]
    locked = ["--require-hashes", "-r", str(ROOT / "locks" / "build.txt")]
    subprocess.run([*pip, "install", "--target", str(builder), *locked], check=True)
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(directory), str(source)],
        check=True, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHONPATH": str(builder)},
    )  # fmt: skip
    (built,) = directory.glob("sub2api-*.whl")
    return built
