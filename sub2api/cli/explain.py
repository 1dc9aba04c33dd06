"""`sub2api explain`: which account a call would go to, and why not the others."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from sub2api.cli import running
from sub2api.cli.output import json_option, moment, print_json, show
from sub2api.cli.workspace import Workspace, in_workspace

_COLUMNS = (
    "platform",
    "account",
    "group",
    "priority",
    "load",
    "waiting",
    "last_used",
    "why",
    "until",
)


@click.command()
@click.option("--key", required=True, help="The API key: its name or id.")
@click.option("--model", required=True, help="The model that a client asks for.")
@click.option("--session", default="", help="The session id that the client sends.")
@click.option("--platform", default="", help="anthropic, openai or gemini; empty looks at all.")
@json_option
@click.pass_context
def explain(
    ctx: click.Context, key: str, model: str, session: str, platform: str, as_json: bool
) -> None:
    """List the accounts a call could go to, in the order they would be tried, excluded ones last.

    Example: sub2api explain --key laptop --model claude-sonnet-4-5
    """
    query = {"key": key, "model": model, "session": session, "platform": platform}

    async def work(workspace: Workspace) -> Any:
        return await asyncio.to_thread(running.ask, workspace, "/api/v1/admin/explain", query)

    found = in_workspace(ctx, work)
    if as_json:
        print_json(found)
        return
    rows = [_shown(each) for each in found["accounts"]]
    show(rows, _COLUMNS, as_json=False, empty="This key reaches no account.")
    if found["bound"]:
        click.echo(f"The session is bound to account {found['bound']}.")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    calls = f"{row['active']}/{row['concurrency']}" if row["concurrency"] else "no limit"
    return {
        **row,
        "account": f"{row['account']} (bound)" if row["bound"] else row["account"],
        "load": calls,
        "last_used": moment(row["last_used"] or None),
        "why": f"not now: {row['reason']}" if row["reason"] else row["note"],
        "until": moment(row["until"]),
    }
