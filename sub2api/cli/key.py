"""`sub2api key`: the keys that tools are given."""

from __future__ import annotations

from typing import Any

import click

from sub2api.cli.output import json_option, moment, show, show_one
from sub2api.cli.times import until_of
from sub2api.cli.workspace import Workspace, in_workspace
from sub2api.model.callers import ApiKey

_COLUMNS = ("id", "name", "hint", "status", "concurrency", "groups", "expires", "last_used")


@click.group()
def key() -> None:
    """API keys of this gateway: one per tool.

    Example: sub2api key create --name claude-code
    """


@key.command()
@click.argument("name_argument", metavar="[NAME]", required=False)
@click.option("--name", help="What you call it: usually the tool's name.")
@click.option("--group", "groups", multiple=True, help="Use this group; the first one first.")
@click.option("--concurrency", type=click.IntRange(0), default=0, help="Calls at once, 0 = any.")
@click.option("--allow-ip", "ip_allow", multiple=True, help="Only from here. Repeatable.")
@click.option("--deny-ip", "ip_deny", multiple=True, help="Never from here. Repeatable.")
@click.option("--expires", help="A span such as 30d, or a date.")
@click.option("--text", help="A key text of your own, 16 characters or more.")
@json_option
@click.pass_context
def create(
    ctx: click.Context,
    /,
    name_argument: str | None,
    name: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Create a key and print it.

    Example: sub2api key create --name claude-code --json
    """
    called = name or name_argument
    if not called:
        raise click.UsageError("name the key: sub2api key create --name NAME")

    async def work(workspace: Workspace) -> dict[str, Any]:
        expires = options["expires"]
        blank = ApiKey(
            id=0,
            user_id=0,
            name=called,
            hint="",
            concurrency=options["concurrency"],
            ip_allow=options["ip_allow"],
            ip_deny=options["ip_deny"],
            expires_at=until_of(expires, workspace.clock.now()) if expires else None,
        )
        made, text = await workspace.keys.create(
            blank, groups=options["groups"], text=options["text"]
        )
        return {"key": text, **_shown(made)}

    made = in_workspace(ctx, work)
    if as_json:
        show_one(made, as_json=True)
        return
    click.echo(made["key"])
    click.echo(f"Connect a tool with it: sub2api env claude-code --key-name {called}", err=True)


@key.command("list")
@json_option
@click.pass_context
def list_keys(ctx: click.Context, as_json: bool) -> None:
    """List all keys by their hints.

    Example: sub2api key list
    """

    async def work(workspace: Workspace) -> list[ApiKey]:
        return await workspace.keys.everything()

    rows = [_shown(each) for each in in_workspace(ctx, work)]
    empty = "No keys yet: sub2api key create --name claude-code"
    show(rows, _COLUMNS, as_json=as_json, empty=empty)


@key.command("show")
@click.argument("name")
@click.option("--reveal", is_flag=True, help="Show the key's text too.")
@json_option
@click.pass_context
def show_key(ctx: click.Context, name: str, reveal: bool, as_json: bool) -> None:
    """Show one key (by name or id).

    Example: sub2api key show claude-code --reveal
    """

    async def work(workspace: Workspace) -> dict[str, Any]:
        found = _shown(await workspace.keys.find(name))
        return {"key": await workspace.keys.reveal(name), **found} if reveal else found

    show_one(in_workspace(ctx, work), as_json=as_json)


@key.command()
@click.argument("name")
@json_option
@click.pass_context
def revoke(ctx: click.Context, name: str, as_json: bool) -> None:
    """End a key for good.

    Example: sub2api key revoke claude-code
    """

    async def work(workspace: Workspace) -> ApiKey:
        return await workspace.keys.revoke(name)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


def _shown(each: ApiKey) -> dict[str, Any]:
    return {
        "id": each.id,
        "name": each.name,
        "hint": each.hint,
        "status": each.status,
        "concurrency": each.concurrency,
        "groups": list(each.group_ids),
        "allow_ip": list(each.ip_allow),
        "deny_ip": list(each.ip_deny),
        "expires": moment(each.expires_at),
        "last_used": moment(each.last_used_at),
        "created": moment(each.created_at),
    }
