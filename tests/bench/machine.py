"""What the benchmark asks of the machine: cores, processes, their memory and CPU time."""

from __future__ import annotations

import os
import platform
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"
TICKS = os.sysconf("SC_CLK_TCK")
WANTED_FILES = 20_000
START_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Cores:
    """Which cores run what; `shared` says that load and upstream have one together."""

    tested: int
    load: int
    upstream: int

    @property
    def shared(self) -> bool:
        """Whether the load generator and the fake upstream share a core."""
        return self.load == self.upstream


def cores() -> Cores:
    """Give the system under test a core of its own; the others are for what measures it."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise SystemExit("the benchmark needs two cores: one only for what it measures")
    return Cores(tested=mine[-1], load=mine[0], upstream=mine[1] if len(mine) > 2 else mine[0])


def raise_file_limit() -> int:
    """Let this process and its children open as many files as is allowed; return how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = WANTED_FILES if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    return limit


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    core: int, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on one core until the block ends; what it says goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started, politely at first."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return as soon as something accepts connections; raise RuntimeError if nothing will."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    said = log.read_text(errors="replace")[-800:]
    raise RuntimeError(f"nothing listens on {port}: {said}")


def _family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, ended ones included."""
    ticks = 0
    for each in _family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process and its descendants."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in _family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True)
class Moment:
    """CPU seconds up to a moment: the machine's, the host's other guests', and our own."""

    at: float
    busy: float
    stolen: float
    ours: float

    @classmethod
    def now(cls, pids: Sequence[int]) -> Moment:
        """Read them; this process and its ended children are ours too, beside `pids`."""
        fields = [int(each) for each in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        busy = sum(fields) - fields[3] - fields[4] - fields[7]
        ours = sum(cpu_seconds(pid) for pid in pids) + sum(os.times()[:4])
        return cls(time.monotonic(), busy / TICKS, fields[7] / TICKS, ours)

    def since(self, before: Moment) -> dict[str, float]:
        """Return how many cores other programs and other guests had meanwhile."""
        seconds = max(self.at - before.at, 1e-9)
        foreign = (self.busy - before.busy) - (self.ours - before.ours)
        stolen = self.stolen - before.stolen
        return {"foreign_cores": max(0.0, foreign / seconds), "stolen_cores": stolen / seconds}


def facts() -> dict[str, str | int]:
    """Say what the results were measured on."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
    }
