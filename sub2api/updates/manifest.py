"""What a release says about itself (`release.json`), and how versions compare."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from sub2api.errors import MistakeError

Channel = Literal["stable", "edge"]
_VERSION = re.compile(r"v?(\d{1,9}(?:\.\d{1,9}){1,3})(?:(a|b|rc)(\d{1,9}))?")
_FILE = re.compile(r"sub2api-[0-9a-z.]{1,40}-cp3\d{1,2}-(linux|darwin)_[a-z0-9_]{1,20}\.pyz")


class Artefact(msgspec.Struct, frozen=True):
    """One file of a release: for which Python (`cp311`), system and machine; `size` in bytes."""

    name: str
    size: int
    sha256: str
    python: str
    system: str
    machine: str


class Manifest(msgspec.Struct, frozen=True):
    """A release. `schema` is the newest database revision it knows.

    `minimum_schema` is the oldest revision it can migrate from; "" is any.
    """

    version: str
    channel: Channel
    schema: str
    minimum_schema: str
    artefacts: tuple[Artefact, ...]

    def artefact_for(self, python: str, system: str, machine: str) -> Artefact:
        """Return the file for a machine. Raises MistakeError naming what there is."""
        wanted = (python, system, machine)
        for each in self.artefacts:
            if (each.python, each.system, each.machine) == wanted:
                return each
        pythons = sorted({e.python for e in self.artefacts if (e.system, e.machine) == wanted[1:]})
        there = f"there it needs one of {', '.join(pythons)}" if pythons else "nothing for it"
        raise MistakeError(
            f"release {self.version} has no file for {python} on {system} {machine}: {there}"
        )


def parse_manifest(data: bytes, version: str) -> Manifest:
    """Read `release.json` of a release that is meant to be `version`. Raises MistakeError."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise MistakeError(f"release.json of {version} cannot be read: {error}") from None
    if manifest.version != version:
        raise MistakeError(f"release {version} says that it is {manifest.version}: not accepted")
    for each in manifest.artefacts:
        if not is_release_file(each.name):
            raise MistakeError(f"release {version} names a file that is none: {each.name[:80]!r}")
    return manifest


def is_release_file(name: str) -> bool:
    """Whether a file name is that of a release: no path, no surprise."""
    return _FILE.fullmatch(name) is not None


def version_of(file_name: str) -> str:
    """Return the version in a release file's name."""
    return file_name.removeprefix("sub2api-").partition("-")[0]


def order(version: str) -> tuple[tuple[int, ...], int, int]:
    """Return what versions are compared by: 1.2 < 1.2.1rc1 < 1.2.1. Raises MistakeError."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise MistakeError(f"{version[:40]!r} is no version such as 1.2.3 or 1.2.3rc1")
    numbers = [int(each) for each in found[1].split(".")]
    numbers += [0] * (4 - len(numbers))
    stage = {"a": 0, "b": 1, "rc": 2, None: 3}[found[2]]
    return tuple(numbers), stage, int(found[3] or 0)


def normal(version: str) -> str:
    """Return a version without its `v`. Raises MistakeError when it is none."""
    order(version)
    return version.removeprefix("v")
