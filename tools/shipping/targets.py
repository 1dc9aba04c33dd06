"""Which machines there is a file for."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass

MINORS = (11, 12, 13, 14)
_LINUX = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux_2_5")
_MACS = ("11_0", "10_15", "10_13", "10_12", "10_9")


@dataclass(frozen=True, slots=True)
class Target:
    """CPython 3.`minor` on one system and machine, as `platform` names them in lower case."""

    minor: int
    system: str
    machine: str

    @property
    def python(self) -> str:
        """The Python in a file's name."""
        return f"cp3{self.minor}"

    @property
    def name(self) -> str:
        """The target in one word."""
        return f"{self.python}-{self.system}_{self.machine}"

    def file(self, version: str) -> str:
        """Return the file's name; installer, launcher and updater find files by it."""
        return f"sub2api-{version}-{self.name}.pyz"

    @property
    def wheel_platforms(self) -> list[str]:
        """The platform tags of wheels that run there."""
        if self.system == "linux":
            return [f"{each}_{self.machine}" for each in _LINUX]
        kinds = (self.machine, "universal2")
        return [f"macosx_{version}_{kind}" for version in _MACS for kind in kinds]

    @property
    def marker_environment(self) -> dict[str, str]:
        """What requirement markers are judged by: the oldest patch level counts for all."""
        return {
            "python_version": f"3.{self.minor}",
            "python_full_version": f"3.{self.minor}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "sys_platform": self.system,
            "platform_system": "Linux" if self.system == "linux" else "Darwin",
            "platform_machine": self.machine,
            "os_name": "posix",
        }

    def interpreter(self) -> str | None:
        """Return a command that runs this Python here, None without one: it compiles byte code."""
        if sys.version_info[:2] == (3, self.minor):
            return sys.executable
        command = shutil.which(f"python3.{self.minor}")
        if command is None:
            return None
        found = subprocess.run(
            [command, "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return command if found.stdout.split() == ["3", str(self.minor)] else None


def here() -> Target:
    """Return the target that this machine and Python are."""
    return Target(sys.version_info.minor, platform.system().lower(), platform.machine().lower())


ALL = tuple(
    Target(minor, system, machine)
    for system, machine in (
        ("linux", "x86_64"),
        ("linux", "aarch64"),
        ("darwin", "arm64"),  # cryptography has no wheels for Intel any more
    )
    for minor in MINORS
)
