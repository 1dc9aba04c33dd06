"""Build the one file: `dist/sub2api-VERSION-cpXY-OS_ARCH.pyz`, the same bytes every time."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sub2api import __version__  # noqa: E402  the tree this file is in, not an installed one
from tools.shipping.staging import EPOCH, stage, wheel  # noqa: E402
from tools.shipping.targets import Target, here  # noqa: E402

SHIPPING = ROOT / "tools" / "shipping"
_LOCK = ROOT / "locks" / "release.txt"
_CACHE = "~/.cache/sub2api"
"""Where the file unpacks itself, unless SHIV_ROOT says otherwise."""
_SOURCES_OF_COMPILED = {".c", ".h", ".pyx", ".pxd", ".cpp", ".hpp", ".pyi"}
_NEVER_IMPORTED = (
    "sqlalchemy/testing/", "alembic/testing/", "greenlet/tests/", "aiosqlite/tests/",
    "zstandard/_cffi",  # 12 MB for other Pythons than CPython
)  # fmt: skip
_MOMENT = (2024, 1, 1, 0, 0, 0)


def requirements(target: Target) -> Iterator[str]:
    """Yield the locked requirements (name, version, hashes) that a target needs."""
    text = _LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        words, _, hashes = line.partition("--hash=")
        if not words.strip() or words.startswith("#"):
            continue
        requirement = Requirement(words)
        marker = requirement.marker
        if marker is None or marker.evaluate(target.marker_environment):
            yield f"{requirement.name}{requirement.specifier} --hash={hashes}"


def wheels(target: Target) -> list[Path]:
    """Fetch the locked wheels for a target, or take them from an earlier build.

    A hash that differs ends the build, also of a wheel that was here.
    """
    directory = ROOT / "build" / "wheels" / target.name
    directory.mkdir(parents=True, exist_ok=True)
    wanted = directory / "wanted.txt"
    wanted.write_text("\n".join(requirements(target)), encoding="utf-8")
    platforms = [word for each in target.wheel_platforms for word in ("--platform", each)]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
         "--only-binary=:all:", "--implementation", "cp", "--python-version", f"3.{target.minor}",
         "--abi", target.python, "--abi", "abi3", "--abi", "none", *platforms,
         "--dest", str(directory), "-r", str(wanted)],
        check=True,
    )  # fmt: skip
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", wanted.read_text(encoding="utf-8")))
    here = sorted(directory.glob("*.whl"))
    return [path for path in here if hashlib.sha256(path.read_bytes()).hexdigest() in hashes]


def unpack(wheel_file: Path, site: Path) -> None:
    """Lay a wheel's modules out; what only builders and testers need is left out."""
    with zipfile.ZipFile(wheel_file) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            parts = Path(entry.filename).parts
            if parts[0].endswith(".data"):
                if parts[1] not in {"purelib", "platlib"}:
                    continue
                parts = parts[2:]
            path = site.joinpath(*parts)
            unwanted = Path(*parts).as_posix().startswith(_NEVER_IMPORTED)
            if unwanted or path.suffix in _SOURCES_OF_COMPILED:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(entry))
            path.chmod(0o644)


def compile_all(site: Path, python: str) -> None:
    """Compile byte code that is valid by hash, not by time: the cache may be read-only."""
    for stale in site.rglob("*.pyc"):
        stale.unlink()
    subprocess.run(
        [python, "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash",
         "-s", str(site), "-p", "sub2api.pyz", str(site)],
        check=True, env={**os.environ, "PYTHONHASHSEED": "0"}, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def pack(site: Path, target: Target, output: Path, work: Path) -> None:
    """Make the file with shiv, then write it anew: sorted, with byte code and our own start."""
    raw = work / output.name
    subprocess.run(
        [str(Path(sys.executable).with_name("shiv")), "--site-packages", str(site),
         "--output-file", str(raw), "--entry-point", "sub2api.__main__:main",
         "--python", "/usr/bin/env python3", "--root", _CACHE,
         "--preamble", str(SHIPPING / "preamble.py"), "--reproducible"],
        check=True, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH}, cwd=work,
    )  # fmt: skip
    with zipfile.ZipFile(raw) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for path in site.rglob("*.pyc"):
        entries[f"site-packages/{path.relative_to(site)}"] = path.read_bytes()
    start = (SHIPPING / "main.py.in").read_text(encoding="utf-8")
    start = start.replace("@MAJOR@", "3").replace("@MINOR@", str(target.minor))
    entries["__main__.py"] = start.encode()
    part = output.with_name(output.name + ".part")
    with part.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(entries):
                info = zipfile.ZipInfo(name, _MOMENT)
                info.external_attr = 0o100644 << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, entries[name])
    part.chmod(0o755)
    part.replace(output)


def build(target: Target, own_wheel: Path, output: Path) -> None:
    """Build one file from the program's wheel and the locked ones."""
    with tempfile.TemporaryDirectory(prefix="sub2api-build-") as name:
        work = Path(name)
        site = work / "site"
        site.mkdir()
        for each in [*wheels(target), own_wheel]:
            unpack(each, site)
        if python := target.interpreter():
            compile_all(site, python)
        output.parent.mkdir(parents=True, exist_ok=True)
        pack(site, target, output, work)


def main() -> int:
    """Build the file for this machine, try it, and print its path."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--output", type=Path, default=ROOT / "dist", help="directory")
    arguments.add_argument("--version", default=__version__)
    given = arguments.parse_args()
    target = here()
    output = given.output.resolve() / target.file(given.version)
    with tempfile.TemporaryDirectory(prefix="sub2api-stage-") as name:
        source = stage(Path(name), given.version)
        build(target, wheel(source, Path(name) / "wheel"), output)
        cache = Path(name) / "cache"
        tried = subprocess.run(
            [sys.executable, str(output), "version"], check=True, capture_output=True, text=True,
            env={**os.environ, "SHIV_ROOT": str(cache)},
        )  # fmt: skip
        shutil.rmtree(cache)
    print(f"{output}  {output.stat().st_size / 1e6:.1f} MB  {tried.stdout.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
