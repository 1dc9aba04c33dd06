"""The rows: each starts one system under test and says where it is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.machine import BUILD, ROOT, Cores, free_port, running, wait_until_listening

KEY = "sk-bench-0123456789abcdef"
MOST_CALLS = "5000"
DIRECT, NGINX, GO, EXPRESS, LIMITED, DOOR, STACK, LITELLM = ROWS = (
    "direct", "nginx", "go", "express", "express-limits", "quart-door", "stack", "litellm",
)  # fmt: skip
ABOUT = {
    DIRECT: "the fake upstream itself",
    NGINX: "nginx proxy_pass, one worker",
    GO: "Go httputil.ReverseProxy with a key check, JSON peek and usage parsing",
    EXPRESS: "sub2api, express lane, everything on",
    LIMITED: "the same with every limit set, and two accounts, so that sessions stay with one",
    DOOR: "sub2api, Quart door under Hypercorn, everything on",
    STACK: "Quart + Hypercorn + httpx, the same work as the Go row",
    LITELLM: "LiteLLM proxy, one worker",
}
OURS = {EXPRESS: "true", LIMITED: "true", DOOR: "false"}
UNREACHED = "1000000000"
"""A limit that is looked at by every call, and reached by none."""
LIMITS = (
    "--concurrency", MOST_CALLS, "--rpm", UNREACHED, "--tpm", UNREACHED, "--cost-5h", UNREACHED,
    "--cost-day", UNREACHED, "--cost-week", UNREACHED, "--cost-month", UNREACHED,
)  # fmt: skip


@dataclass
class System:
    """A running system under test. `pid` is None where there is nothing between.

    `rss_mb` is its memory once it is warm, before any workload.
    """

    name: str
    url: str
    key: str
    pid: int | None
    rss_mb: float = 0.0


@dataclass
class Bench:
    """What starting a row needs. The stack ends the processes."""

    stack: ExitStack
    directory: Path
    cores: Cores
    upstream: str = ""
    upstream_pid: int = 0
    systems: dict[str, System] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def launch(
        self, name: str, command: list[str], port: int, environment: Mapping[str, str] | None = None
    ) -> int:
        """Start a process on the tested core, wait until it listens, return its id."""
        log = self.directory / f"{name}.log"
        process = self.stack.enter_context(running(self.cores.tested, command, log, environment))
        wait_until_listening(process, port, log)
        return process.pid

    def start_upstream(self) -> None:
        """Start the fake upstream."""
        port, log = free_port(), self.directory / "upstream.log"
        self.upstream = f"127.0.0.1:{port}"
        command = [str(BUILD / "upstream"), "-listen", self.upstream]
        process = self.stack.enter_context(running(self.cores.upstream, command, log))
        wait_until_listening(process, port, log)
        self.upstream_pid = process.pid

    def start(self, name: str) -> None:
        """Start a row; one that cannot be started is missing, which its bars will say."""
        try:
            self.systems[name] = _STARTERS[name](self)
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
            self.missing[name] = text.strip()[-400:]


def _direct(bench: Bench) -> System:
    return System(DIRECT, f"http://{bench.upstream}", KEY, None)


def _nginx(bench: Bench) -> System:
    port, place = free_port(), bench.directory / "nginx"
    place.mkdir()
    text = (Path(__file__).parent / "nginx.conf.in").read_text()
    # nginx run by root changes to a user who may not enter our directory, unless told not to.
    user = "user root;" if os.geteuid() == 0 else ""
    values = {"DIR": str(place), "PORT": str(port), "UPSTREAM": bench.upstream, "USER": user}
    for word, value in values.items():
        text = text.replace(f"@{word}@", value)
    config = place / "nginx.conf"
    config.write_text(text)
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    command = ["nginx", "-p", str(place), "-e", str(place / "error.log"), "-c", str(config)]
    pid = bench.launch(NGINX, command, port, {"PATH": path})
    return System(NGINX, f"http://127.0.0.1:{port}", KEY, pid)


def _go(bench: Bench) -> System:
    port = free_port()
    upstream = ["-upstream", f"http://{bench.upstream}"]
    command = [str(BUILD / "proxy"), "-port", str(port), "-key", KEY, *upstream]
    return System(GO, f"http://127.0.0.1:{port}", KEY, bench.launch(GO, command, port))


def _stack(bench: Bench) -> System:
    port = free_port()
    environment = {"BENCH_UPSTREAM": f"http://{bench.upstream}", "BENCH_KEY": KEY}
    command = [sys.executable, "-m", "tests.bench.peers.quart_httpx", str(port)]
    pid = bench.launch(STACK, command, port, environment)
    return System(STACK, f"http://127.0.0.1:{port}", KEY, pid)


def _litellm(bench: Bench) -> System:
    from tests.bench.peers import litellm

    port = free_port()
    command, environment = litellm.prepared(bench.directory, bench.upstream, port, KEY)
    pid = bench.launch(LITELLM, command, port, environment)
    return System(LITELLM, f"http://127.0.0.1:{port}", KEY, pid)


def gateway_environment(data: Path, name: str) -> dict[str, str]:
    """Return the settings of our gateway: everything on, and no limit that the load would meet."""
    return {
        "DATA_DIR": str(data),
        "RUN_MODE": "simple",
        "LOG_LEVEL": "warning",
        "SERVER_EXPRESS_LANE": OURS[name],
        "GATEWAY_MAX_CONNS_PER_ACCOUNT": MOST_CALLS,
        "GATEWAY_SCHEDULING_FALLBACK_MAX_WAITING": MOST_CALLS,
    }


def gateway_command(port: int) -> list[str]:
    """Return the command that serves."""
    return [sys.executable, "-m", "sub2api", "serve", "--port", str(port)]


def set_up_gateway(bench: Bench, name: str, data: Path) -> str:
    """Make a data directory with an account and a key, by the command line; return the key."""
    environment = {**os.environ, **gateway_environment(data, name)}

    def cli(*arguments: str) -> Any:
        command = [sys.executable, "-m", "sub2api", *arguments, "--json"]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        return json.loads(done.stdout)

    cli("setup", "--mode", "simple")
    limits = LIMITS if name == LIMITED else ("--concurrency", MOST_CALLS)
    for account in ("bench", "spare") if name == LIMITED else ("bench",):
        cli(
            "account", "add", "--platform", "anthropic", "--name", account, "--api-key", "k",
            "--base-url", f"http://{bench.upstream}", *limits,
        )  # fmt: skip
    key = str(cli("key", "create", "--name", "bench")["key"])
    if name == LIMITED:
        cli("limit", "set", *LIMITS)
        cli("key", "update", "bench", *LIMITS, "--quota", UNREACHED)
    return key


def gateway(bench: Bench, name: str, place: str = "") -> System:
    """Start our gateway with a data directory of its own."""
    data, port = bench.directory / (place or name), free_port()
    key = set_up_gateway(bench, name, data)
    environment = gateway_environment(data, name)
    pid = bench.launch(place or name, gateway_command(port), port, environment)
    return System(name, f"http://127.0.0.1:{port}", key, pid)


_STARTERS: dict[str, Callable[[Bench], System]] = {
    DIRECT: _direct,
    NGINX: _nginx,
    GO: _go,
    EXPRESS: lambda bench: gateway(bench, EXPRESS),
    LIMITED: lambda bench: gateway(bench, LIMITED),
    DOOR: lambda bench: gateway(bench, DOOR),
    STACK: _stack,
    LITELLM: _litellm,
}
