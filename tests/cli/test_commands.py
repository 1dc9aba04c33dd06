"""The command line as a person and as a script use it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from sub2api.cli import cli
from sub2api.demo.upstream import DemoUpstream
from tests.fakes.shell import Shell
from tests.fakes.world import running_world

GROUP = ("group", "add", "--name", "g", "--platform", "anthropic")
RULE = ("error-rule", "add", "--name", "r", "--statuses", "529")
ADD = ("account", "add", "--platform", "anthropic", "--name", "mine", "--api-key", "k-1")


def test_every_command_has_help_with_an_example() -> None:
    def walk(command: Any, path: tuple[str, ...]) -> None:
        result = CliRunner().invoke(cli, [*path, "--help"])
        assert result.exit_code == 0
        assert "Example: sub2api" in result.output, path
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*path, name))

    walk(cli, ())


def test_without_setup_a_command_says_to_run_it(shell: Shell) -> None:
    result = shell("key", "list")
    assert result.exit_code == 1
    assert "sub2api setup" in result.stderr
    assert "Traceback" not in result.output


def test_setup_is_private_and_safe_to_repeat(shell: Shell) -> None:
    first = shell.json("setup", "--mode", "simple")
    config = shell.directory / "config.yaml"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE((shell.directory / "sub2api.db").stat().st_mode) == 0o600
    config.write_text("run_mode: simple\nserver:\n  port: 9999\n")
    second = shell.json("setup", "--mode", "simple")
    assert "written" in first["config"]
    assert "kept" in second["config"]
    assert "9999" in config.read_text()
    assert shell("setup", "--mode", "full").exit_code == 1


def test_accounts_are_managed(ready: Shell) -> None:
    assert "No accounts yet" in ready("account", "list").output
    made = ready.json(*ADD, "--model", "a=b", "--proxy", "socks5://u:s3cret@127.0.0.1:1")
    assert (made["name"], made["models"]) == ("mine", {"a": "b"})
    assert ready.json("account", "update", "mine", "--concurrency", "4")["concurrency"] == 4
    assert ready.json("account", "disable", "mine")["status"] == "disabled"
    assert ready.json("account", "enable", "mine")["status"] == "active"
    assert ready.json("account", "update", "mine", "--no-models", "--name", "m2")["models"] == {}
    listed = ready("account", "list").output + json.dumps(ready.json("account", "list"))
    assert "k-1" not in listed
    assert "s3cret" not in listed
    assert ready.json("proxy", "list")["items"][0]["username"] == "u"
    assert ready("account", "remove", "m2", given="n\n").exit_code == 1
    assert ready("account", "remove", "m2", "--yes").exit_code == 0
    assert ready("account", "show", "m2").exit_code == 1


def test_a_key_from_standard_input_stays_out_of_the_command_line(ready: Shell) -> None:
    result = ready(*ADD[:-2], "--api-key-stdin", given="k-2\n")
    assert result.exit_code == 0
    assert "give the provider's key" in ready(*ADD[:-2]).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((*ADD[:3], "bedrock", *ADD[4:]), 1, "unknown platform"),
        ((*ADD, "--base-url", "http://example.com"), 1, "invalid url scheme: http"),
        ((*ADD, "--group", "nope"), 1, "there is no group"),
        ((*ADD, "--concurrency", "-1"), 2, "--concurrency"),
        (("account", "show", "nope"), 1, "there is no account"),
        (("key", "create"), 2, "name the key"),
        (("key", "create", "k", "--expires", "soon"), 1, "no time"),
        (("key", "create", "k", "--allow-ip", "x"), 1, "no IP address"),
        (("usage", "--since", "yesterday"), 1, "no time"),
        (("group", "add", "--name", "g", "--platform", "openai", "--multiplier", "x"), 1, "0.85"),
        (("proxy", "add", "--name", "p", "--url", "ftp://h"), 1, "socks5h"),
        (("env", "emacs"), 2, "emacs"),
        ((*ADD, "--cost-day", "much"), 2, "no amount of US dollars"),
        ((*ADD, "--cost-day", "-1"), 2, "between 0 (unlimited) and"),
        ((*ADD, "--cost-day", "NaN"), 2, "between 0 (unlimited) and"),
        ((*ADD, "--cost-day", "0.0000000001"), 2, "nine decimal places"),
        ((*ADD, "--rpm", "-1"), 2, "--rpm"),
        ((*ADD, "--rest-rule", "403:60"), 1, "needs a keyword"),
        ((*ADD, "--rest-rule", "credit:60"), 1, "STATUS:KEYWORD[,KEYWORD]:MINUTES"),
        ((*ADD, "--rest-rule", "403:a,,b:60"), 1, "must not be blank"),
        ((*ADD, "--rest-rule", "403:a:50000"), 1, "43200 minutes"),
        ((*ADD, "--custom-error-codes", "bad"), 1, "no list of HTTP statuses"),
        ((*ADD, "--custom-error-codes", "401,700"), 1, "700 is no HTTP status"),
        (("account", "clear-cooldown", "nope"), 1, "there is no account"),
        ((*GROUP, "--route", "m"), 1, "MODEL=ACCOUNT"),
        ((*GROUP, "--route", "m=nobody"), 1, "there is no account 'nobody'"),
        ((*GROUP, "--first-byte-timeout", "soon"), 1, "no number of seconds"),
        ((*GROUP, "--first-byte-timeout", "nan"), 1, "no number of seconds"),
        (("key", "update", "nope"), 1, "there is no key"),
        (("error-rule", "add", "--name", "r"), 1, "never fits"),
        ((*RULE, "--answer-status", "200"), 1, "between 400 and 599"),
        ((*RULE, "--answer-status", "500,503"), 1, "one HTTP status"),
        (("error-rule", "remove", "r"), 1, "there is no error rule"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_a_mistake_is_one_sentence_and_the_right_exit_code(
    ready: Shell, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = ready(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_keys_are_managed(ready: Shell) -> None:
    made = ready.json("key", "create", "--name", "laptop", "--expires", "30d", "--concurrency", "2")
    assert made["key"].startswith("sk-")
    assert ready("key", "create", "phone").stdout.strip().startswith("sk-")
    assert made["key"] not in ready("key", "list").output
    assert "key" not in ready.json("key", "show", "laptop")
    assert ready.json("key", "show", "laptop", "--reveal")["key"] == made["key"]
    assert ready.json("key", "revoke", "laptop")["status"] == "revoked"


def test_groups_and_proxies_are_managed(ready: Shell) -> None:
    ready.json("group", "add", "--name", "g", "--platform", "anthropic")
    changed = ready.json("group", "update", "g", "--multiplier", "0.5", "--disconnect", "drain")
    assert (changed["rate_multiplier"], changed["disconnect"]) == ("0.5", "drain")
    ready.json(*ADD, "--group", "g")
    assert ready.json("group", "show", "g")["accounts"] == ["mine"]
    assert len(ready.json("group", "list")["items"]) == 1
    ready.json("group", "remove", "g")
    ready.json("proxy", "add", "--name", "p", "--url", "http://127.0.0.1:8888")
    ready.json("proxy", "remove", "p")
    assert "No proxies" in ready("proxy", "list").output


@pytest.mark.parametrize("tool", ["claude-code", "codex", "gemini-cli", "opencode"])
@pytest.mark.parametrize("shell_name", ["bash", "fish", "powershell"])
def test_env_prints_what_to_paste(ready: Shell, tool: str, shell_name: str) -> None:
    key = ready.json("key", "create", "--name", "t")["key"]
    said = ready("env", tool, "--shell", shell_name, "--key-name", "t").stdout
    assert key in said
    assert "http://127.0.0.1:8080" in said
    start = {"bash": "export ", "fish": "set -gx ", "powershell": "$env:"}[shell_name]
    assert start in said
    assert ready.json("env", tool, "--key", "sk-x", "--url", "https://h/v1/")["variables"]


def test_bash_can_really_read_it(ready: Shell) -> None:
    said = ready("env", "claude-code", "--key", "it's").stdout
    script = said + '\nprintf %s "$ANTHROPIC_AUTH_TOKEN"'
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "it's"


def test_doctor_finds_what_is_wrong(ready: Shell) -> None:
    findings = {each["check"]: each for each in ready.json("doctor")["items"]}
    assert findings["accounts"]["verdict"] == "warn"
    ready.json(*ADD)
    ready.json("key", "create", "--name", "t")
    assert ready("doctor").exit_code == 0
    (ready.directory / "sealing.key").write_text("00" * 32)
    broken = ready("doctor")
    assert broken.exit_code == 1
    assert "FAIL" in broken.output
    assert "Traceback" not in broken.output


def test_version_is_printed_without_an_installation(shell: Shell) -> None:
    assert shell("version").stdout.startswith("sub2api ")
    assert shell.json("version")["version"]


async def test_usage_adds_up_exactly_and_accounts_can_be_tried(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream) as world:
        headers = {"x-api-key": world.key}
        async with httpx.AsyncClient(base_url=world.base_url, headers=headers) as client:
            for _ in range(3):
                body = {
                    "model": "claude-sonnet-4-5",
                    "messages": [{"role": "user", "content": "x"}],
                }
                await client.post("/v1/messages", json=body)
        rows = await world.rows(3)
        command = [sys.executable, "-m", "sub2api"]
        environ = {**os.environ, "DATA_DIR": str(tmp_path), "RUN_MODE": "simple"}

        async def run(*arguments: str) -> Any:
            process = await asyncio.create_subprocess_exec(
                *command, *arguments, "--json", env=environ, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            return json.loads(out, parse_float=str)

        item = (await run("usage", "--since", "1d", "--by", "model"))["items"][0]
        tried = await run("account", "test", "anthropic-1")
        recent = (await run("usage", "--recent", "2"))["items"]
    total = sum(row.cost or 0 for row in rows)
    assert item["model"] == "claude-sonnet-4-5"
    assert item["requests"] == 3
    assert item["output_tokens"] == sum(row.output_tokens for row in rows)
    assert item["cost"] == f"{total / 10**9:.9f}".rstrip("0")
    assert tried["ok"] is True
    assert len(recent) == 2


def test_a_port_in_use_is_one_sentence(ready: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            [sys.executable, "-m", "sub2api", "serve", "--port", port],
            env={**os.environ, "DATA_DIR": str(ready.directory), "RUN_MODE": "simple"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert "cannot be listened on" in result.stderr
    assert "Traceback" not in result.stderr


def test_serve_demo_answers_the_four_printed_requests(shell: Shell) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "sub2api", "serve", "--demo", "--port", str(port)],
        env={**os.environ, **shell.environ}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines: list[str] = []
        while len([line for line in lines if line.startswith("curl ")]) < 4:
            line = process.stdout.readline()
            assert line, "".join(lines)
            lines.append(line)
        for _ in range(100):
            if subprocess.run(["curl", "-sf", f"127.0.0.1:{port}/ready"], check=False,
                              capture_output=True).returncode == 0:  # fmt: skip
                break
        for line in [line for line in lines if line.startswith("curl ")]:
            answer = subprocess.run(
                ["bash", "-c", line], capture_output=True, text=True, timeout=30, check=True
            ).stdout
            assert "Hello" in answer, line
            assert answer.count("data:") > 5
        first_key = next(word for line in lines for word in line.split() if word.startswith("sk-"))
        assert f"x-api-key: {first_key}" in "".join(lines)
    finally:
        process.terminate()
        assert process.wait(30) == 0
        if process.stdout is not None:
            process.stdout.close()
    items = shell.json("usage", "--by", "model")["items"]
    assert {item["model"]: item["requests"] for item in items} == {
        "claude-sonnet-4-5": 1, "gpt-5.1": 2, "gemini-2.5-flash": 1,
    }  # fmt: skip
    assert all(item["cost"] for item in items)
