"""`sub2api doctor`: look at everything that can be wrong, and say what to do."""

from __future__ import annotations

import http.client
import os
import socket
import stat
import sys
from dataclasses import dataclass
from typing import Literal

import click

from sub2api.billing.prices import PriceBook
from sub2api.cli.output import json_option, print_json
from sub2api.cli.workspace import Workspace, in_workspace, settings_of
from sub2api.errors import Sub2APIError
from sub2api.settings import Settings
from sub2api.transport.policy import guard_for

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `advice` says what to do when it is not ok."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check the installation; exit code 1 if something needs you.

    Example: sub2api doctor
    """
    findings = [Finding("python", "ok", sys.version.split()[0]), *_settings(ctx)]
    if as_json:
        items = [
            {"check": f.check, "verdict": f.verdict, "found": f.found, "advice": f.advice}
            for f in findings
        ]
        print_json({"items": items})
    else:
        for finding in findings:
            click.echo(f"{finding.verdict.upper():4}  {finding.check}: {finding.found}")
            if finding.advice and finding.verdict != "ok":
                click.echo(f"      -> {finding.advice}")
    if any(finding.verdict == "fail" for finding in findings):
        ctx.exit(1)


def _settings(ctx: click.Context) -> list[Finding]:
    try:
        settings = settings_of(ctx)
    except Sub2APIError as error:
        return [Finding("settings", "fail", str(error), "correct it, or run: sub2api setup")]
    where = str(settings.config_file) if settings.config_file else "no config.yaml, defaults"
    findings = [
        Finding("settings", "ok", f"{settings.run_mode} mode, {where}"),
        _directory(settings),
        _port(settings),
        _prices(),
    ]
    try:
        findings += in_workspace(ctx, _inside)
    except Sub2APIError as error:
        advice = "see docs/settings.md; a copy of the data directory may be needed"
        findings.append(Finding("database", "fail", str(error), advice))
    return findings


def _directory(settings: Settings) -> Finding:
    path = settings.data_dir
    if not path.exists():
        return Finding("data directory", "warn", f"{path} is not there yet", "sub2api setup")
    if not os.access(path, os.W_OK):
        return Finding(
            "data directory", "fail", f"{path} is not writable", f"chown or chmod {path}"
        )
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding("data directory", "warn", f"{path} is open to others", f"chmod 700 {path}")
    return Finding("data directory", "ok", str(path))


def _port(settings: Settings) -> Finding:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.server.host, settings.server.host)  # noqa: S104  compared, not bound
    port = settings.server.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((host, port)) != 0:
            return Finding("port", "ok", f"{port} is free: the gateway is not running")
    connection = http.client.HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("GET", "/")
        ours = b"sub2api" in connection.getresponse().read(1000)
    except (OSError, http.client.HTTPException):
        ours = False
    finally:
        connection.close()
    if ours:
        return Finding("port", "ok", f"the gateway answers on {host}:{port}")
    advice = "stop the other program, or set SERVER_PORT"
    return Finding("port", "fail", f"{port} is taken by another program", advice)


def _prices() -> Finding:
    book = PriceBook.load_bundled()
    return Finding("prices", "ok", f"{len(book)} models, {book.source}")


async def _inside(workspace: Workspace) -> list[Finding]:
    """Look at what is in the store; opening it checked schema and sealing key already."""
    findings = [Finding("database", "ok", "opens, and its secrets can be read")]
    guard = guard_for(workspace.settings)
    accounts = await workspace.accounts.everything()
    if not accounts:
        advice = "sub2api account add --platform anthropic --name mine --api-key-stdin"
        findings.append(Finding("accounts", "warn", "there are none", advice))
    for account in accounts:
        name = f"account {account.name}"
        problem = account.error_message or ""
        if account.base_url and not problem:
            try:
                guard.check(account.base_url)
            except Sub2APIError as error:
                problem = str(error)
        if account.proxy is not None and account.proxy.status != "active":
            problem = problem or f"its proxy {account.proxy.name} is disabled"
        if problem:
            advice = f"sub2api account update {account.name} ..."
            findings.append(Finding(name, "fail", problem, advice))
        else:
            findings.append(Finding(name, "ok", f"{account.platform}, {account.status}"))
    keys = [key for key in await workspace.keys.everything() if key.status == "active"]
    if not keys:
        findings.append(Finding("keys", "warn", "there are none", "sub2api key create --name tool"))
    else:
        findings.append(Finding("keys", "ok", f"{len(keys)} active"))
    return findings
