"""Run a check on mutated inputs for a while; keep what breaks it.

A check takes bytes and raises when something is wrong. What it returns is a signature: an input
with one that is new joins the inputs that are mutated further. With `--atheris` (if that is
installed) libFuzzer chooses the inputs by the code they reach; otherwise a seeded random mutates.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

CRASHES = Path(__file__).resolve().parent.parent / "golden/crashes"
MOST_BYTES = 20_000
MOST_SECONDS = 1.0
_MOST_INPUTS = 5000
_MOST_CRASHES = 20

Check = Callable[[bytes], Hashable]


class HangError(Exception):
    """One input took too long."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is fuzzed: its name, its check, inputs to begin with, and words to put into them."""

    name: str
    check: Check
    seeds: Sequence[bytes]
    words: Sequence[bytes]


@dataclass(slots=True)
class Report:
    """How a run went."""

    iterations: int = 0
    signatures: set[Hashable] = field(default_factory=set)
    crashes: list[Path] = field(default_factory=list)
    slowest: float = 0.0
    seconds: float = 0.0

    def line(self, name: str) -> str:
        """Return one line about it."""
        rate = self.iterations / self.seconds if self.seconds else 0.0
        return (
            f"{name}: {self.iterations} inputs in {self.seconds:.0f} s ({rate:.0f}/s), "
            f"{len(self.signatures)} behaviours, slowest {self.slowest * 1000:.0f} ms, "
            f"{len(self.crashes)} crashes"
        )


def within_a_second(check: Check, data: bytes) -> Hashable:
    """Run a check; raise HangError when it takes longer than it may."""

    def too_long(number: int, frame: FrameType | None) -> NoReturn:
        raise HangError(f"more than {MOST_SECONDS} s")

    previous = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        return check(data)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def run(target: Target, *, seconds: float, seed: int) -> Report:
    """Mutate and check until the time is over."""
    rng = random.Random(seed)
    inputs = list(target.seeds)
    report = Report()
    began = time.perf_counter()
    fresh = iter(target.seeds)  # each as it is, first
    while (now := time.perf_counter()) - began < seconds and len(report.crashes) < _MOST_CRASHES:
        data = next(fresh, None)
        if data is None:
            data = mutated(rng, inputs, target.words)
        try:
            signature = within_a_second(target.check, data)
        except Exception:  # noqa: BLE001  whatever it is, that is what we look for
            traceback.print_exc()
            report.crashes.append(save(target.name, data))
            continue
        finally:
            report.iterations += 1
            report.slowest = max(report.slowest, time.perf_counter() - now)
        if signature not in report.signatures:
            report.signatures.add(signature)
            if len(inputs) < _MOST_INPUTS:
                inputs.append(data)
    report.seconds = time.perf_counter() - began
    return report


def save(name: str, data: bytes) -> Path:
    """Keep an input that broke a check."""
    CRASHES.mkdir(exist_ok=True)
    path = CRASHES / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def mutated(rng: random.Random, inputs: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return one of the inputs, changed a little."""
    data = bytearray(rng.choice(inputs))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 4, 16, 200)))
        match rng.randrange(8):
            case 0:
                data[at:end] = b""
            case 1:
                data[at:at] = rng.choice(words)
            case 2:
                data[at:end] = rng.choice(words)
            case 3:
                data[at:at] = data[at:end] * rng.choice((1, 1, 2, 30))
            case 4:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 5:
                other = rng.choice(inputs)
                start = rng.randrange(len(other) + 1)
                data[at:end] = other[start : start + rng.choice((1, 4, 30, 1000))]
            case 6:
                del data[at:]
            case _:
                data[at:end] = data[at:end].swapcase()
    return bytes(data[:MOST_BYTES])


def cuts_of(data: bytes) -> tuple[tuple[int, ...], ...]:
    """Return ways to cut an input, always the same for the same input."""
    rng = random.Random(hashlib.sha256(data).digest())
    size = len(data)
    several = tuple(sorted(rng.randrange(size + 1) for _ in range(rng.randrange(2, 12))))
    single = tuple(range(1, size)) if size <= 200 or rng.random() < 0.05 else ()
    return (rng.randrange(size + 1),), several, single


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut an input."""
    return [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]


def main(targets: Sequence[Target]) -> int:
    """Run targets as the command line says, one after the other; 1 if anything broke."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--only", choices=[each.name for each in targets])
    parser.add_argument("--atheris", action="store_true", help="let libFuzzer choose the inputs")
    options = parser.parse_args()
    chosen = [each for each in targets if options.only in {None, each.name}]
    if options.atheris:
        return _by_coverage(chosen, options.minutes * 60, options.seed)
    broken = 0
    for target in chosen:
        report = run(target, seconds=options.minutes * 60, seed=options.seed)
        print(f"{report.line(target.name)}, seed {options.seed}", flush=True)
        broken += len(report.crashes)
    return 1 if broken else 0


def _by_coverage(targets: Sequence[Target], seconds: float, seed: int) -> int:
    """Hand the first target to libFuzzer, which ends the process."""
    import atheris

    if len(targets) != 1:
        sys.exit("--atheris runs one target: name it with --only")
    (target,) = targets
    with tempfile.TemporaryDirectory() as directory:
        for number, data in enumerate(target.seeds):
            (Path(directory) / str(number)).write_bytes(data)
        words = Path(directory).with_suffix(".words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words if word))

        def silent(data: bytes) -> None:
            target.check(data)

        atheris.instrument_all()
        atheris.Setup(
            [
                sys.argv[0], directory, f"-max_total_time={seconds:.0f}", f"-seed={seed}",
                f"-dict={words}", f"-max_len={MOST_BYTES}", "-timeout=5", "-print_final_stats=1",
                f"-artifact_prefix={CRASHES}/{target.name}-",
            ],
            silent,
        )  # fmt: skip
        atheris.Fuzz()
    return 0


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)
