"""Start a new release on a copy of what we have, before anything depends on it.

The contract with releases to come: `version --json` says `version`; `doctor --json`, on a data
directory of an older release, migrates it and reports `items` of `check` and `verdict`.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from sub2api.errors import MistakeError
from sub2api.settings import Settings
from sub2api.settings.supervision import environment_for_child
from sub2api.updates import snapshots

_SECONDS = 180.0
"""Longest start of the new release: it unpacks itself, and migrates a copy."""
_DECIDING = {"settings", "data directory", "database", "prices", "python"}
"""What `doctor` looks at and a new release can break; an account in error is not its fault."""


_T = TypeVar("_T")


class _Finding(msgspec.Struct):
    check: str
    verdict: str
    found: str = ""


class _Report(msgspec.Struct):
    items: list[_Finding]


class _Version(msgspec.Struct):
    version: str


async def try_release(file: Path, version: str, settings: Settings, database: Path | None) -> None:
    """Start `file` twice: it must say its version, and migrate and read a copy.

    Raises MistakeError with what it said when it does not. The copy is gone afterwards.
    """
    said = _decoded(await _run(file, "version", "--json"), _Version)
    if said.version != version:
        raise MistakeError(f"{file.name} says it is {said.version}, not {version}")
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = await asyncio.to_thread(tempfile.mkdtemp, prefix=".trial-", dir=settings.data_dir)
    copy = Path(name)
    try:
        await asyncio.to_thread(_copy, settings, database, copy)
        url = f"sqlite:///{copy / 'sub2api.db'}"
        output = await _run(
            file, "--data-dir", str(copy), "doctor", "--json", RUN_MODE="simple", DATABASE_URL=url
        )
    finally:
        await asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True)
    broken = [
        f"{each.check}: {each.found}"
        for each in _decoded(output, _Report).items
        if each.verdict == "fail" and each.check in _DECIDING
    ]
    if broken:
        raise MistakeError(f"release {version} cannot run here: {'; '.join(broken)}")


def _copy(settings: Settings, database: Path | None, directory: Path) -> None:
    if database is not None:
        snapshots.take(database, directory / "sub2api.db")
    for source in (settings.data_dir / "sealing.key", settings.config_file):
        if source is not None and source.exists():
            shutil.copy(source, directory / source.name)


async def _run(file: Path, *arguments: str, **environment: str) -> bytes:
    """Run the new release with fixed arguments; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(file),
        *arguments,
        env=environment_for_child(**environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            output, complaint = await process.communicate()
    except TimeoutError:
        raise MistakeError(f"{file.name} did not start within {_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # doctor ends with 1 when it has findings; they are in its output.
    if process.returncode and not output:
        last = complaint.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing said"]
        raise MistakeError(f"{file.name} does not start here: {last[0][:300]}")
    return output


def _decoded(output: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(output, type=kind)
    except msgspec.DecodeError:
        raise MistakeError("the new release does not answer as a release of Sub2API does") from None
