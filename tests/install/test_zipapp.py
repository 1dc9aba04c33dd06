"""The one file: the same bytes every time, at home in any directory, tidy."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.install.conftest import FIRST, SECOND
from tests.updates.releases import file_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    cache = tmp_path / "cache"
    cache.mkdir()
    return cache


def start(file: Path, cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, file, *(words or ("version",))],
        env={**os.environ, "SHIV_ROOT": str(cache)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def unpacked(cache: Path) -> Iterator[str]:
    for each in cache.glob("sub2api-*"):
        yield each.name.split("-")[1]


def test_built_again_it_has_the_same_bytes(built: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    key = built.parent / "key.pem"
    subprocess.run(
        [sys.executable, ROOT / "tools/release.py", "--key", key, "--other-key", "--only", "here",
         "--version", FIRST, "--output", again],
        check=True,
    )  # fmt: skip
    for path in (built / f"v{FIRST}").iterdir():
        assert (again / f"v{FIRST}" / path.name).read_bytes() == path.read_bytes(), path.name


def test_byte_code_is_valid_by_hash_so_that_a_read_only_cache_is_as_fast(built: Path) -> None:
    with zipfile.ZipFile(built / f"v{FIRST}" / file_name(FIRST)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".pyc")]
        assert len(names) > 500
        for name in names[::50]:
            flags = int.from_bytes(archive.read(name)[4:8], "little")
            assert flags == 0b01  # a hash, and not compared with the source at each start


def test_another_python_is_told_which_one_it_needs(built: Path, tmp_path: Path) -> None:
    source = built / f"v{FIRST}" / file_name(FIRST)
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(source) as archive:
        start_code = archive.read("__main__.py")
    mine = f"({sys.version_info.major}, {sys.version_info.minor})".encode()
    assert mine in start_code
    other.write_bytes(start_code.replace(mine, b"(3, 99)"))
    ran = start(other, tmp_path)
    assert ran.returncode == 1
    assert "this file is for CPython 3." in ran.stderr
    assert "Traceback" not in ran.stderr


def test_it_runs_from_a_read_only_cache(built: Path, copies: Path) -> None:
    file = built / f"v{FIRST}" / file_name(FIRST)
    assert start(file, copies).returncode == 0
    if os.geteuid() != 0:
        pytest.skip("only root can mount read-only")
    command = ["unshare", "--mount", "sh", "-c",
               'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && '
               'exec env SHIV_ROOT="$1" "$2" "$3" version',
               "sh", copies, sys.executable, file]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert FIRST in ran.stdout


def test_old_copies_are_removed_but_never_one_in_use(built: Path, copies: Path) -> None:
    for index, version in enumerate(("0.1.0", "0.2.0", "0.3.0", "0.4.0")):
        made = copies / f"sub2api-{version}-cp311-linux_x86_64.pyz_{index}"
        (made / "site-packages").mkdir(parents=True)
        (made / ".in-use").touch()
        os.utime(made / ".in-use", (index, index))
    held: Any = os.open(copies / "sub2api-0.1.0-cp311-linux_x86_64.pyz_0" / ".in-use", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    try:
        assert start(built / f"v{SECOND}" / file_name(SECOND), copies).returncode == 0
    finally:
        os.close(held)
    assert sorted(unpacked(copies)) == ["0.1.0", "0.3.0", "0.4.0", SECOND]


def test_a_start_that_was_cut_while_unpacking_is_repaired_by_the_next(
    built: Path, copies: Path
) -> None:
    file = built / f"v{FIRST}" / file_name(FIRST)
    process = subprocess.Popen(
        [sys.executable, file, "version"], env={**os.environ, "SHIV_ROOT": str(copies)},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while not any(copies.glob("*.tmp/site-packages/*")):
        assert process.poll() is None
    process.kill()
    process.wait()
    ran = start(file, copies)
    assert ran.returncode == 0, ran.stderr
    assert not list(copies.glob("*.tmp"))
