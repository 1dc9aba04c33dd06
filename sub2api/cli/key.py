"""`sub2api key`: the keys that tools are given."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from sub2api.cli.limits import (
    DOLLARS,
    SPENT_COLUMNS,
    limit_options,
    limits_given,
    shown_limits,
    shown_spent,
)
from sub2api.cli.output import json_option, moment, show, show_one, usd
from sub2api.cli.times import until_of
from sub2api.cli.workspace import Workspace, in_workspace
from sub2api.model.callers import ApiKey
from sub2api.model.limits import Limits

_COLUMNS = ("id", "name", "hint", "status", "concurrency", "groups", "expires", "last_used")


@click.group()
def key() -> None:
    """API keys of this gateway: one per tool.

    Example: sub2api key create --name claude-code
    """


def _shared(command: Any) -> Any:
    """Add the options that creating and updating have in common."""
    command = limit_options(command)
    for option in (
        click.option("--quota", type=DOLLARS, help="US dollars it may spend in all; 0 = any."),
        click.option("--expires", help="A span such as 30d, or a date."),
        click.option("--deny-ip", "ip_deny", multiple=True, help="Never from here. Repeatable."),
        click.option("--allow-ip", "ip_allow", multiple=True, help="Only from here. Repeatable."),
        click.option("--concurrency", type=click.IntRange(0), help="Calls at once, 0 = any."),
        click.option("--group", "groups", multiple=True, help="Use this group; first one first."),
    ):
        command = option(command)
    return command


def _fields(options: dict[str, Any], now: float) -> dict[str, Any]:
    """Return the key's fields among the options that were given, but for its limits."""
    fields = {name: options[name] for name in ("concurrency", "quota") if options[name] is not None}
    fields |= {name: options[name] for name in ("ip_allow", "ip_deny") if options[name]}
    if options["expires"]:
        fields["expires_at"] = until_of(options["expires"], now)
    return fields


@key.command()
@click.argument("name_argument", metavar="[NAME]", required=False)
@click.option("--name", help="What you call it: usually the tool's name.")
@_shared
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
        fields = _fields(options, workspace.clock.now())
        fields["limits"] = Limits(**limits_given(options))
        blank = ApiKey(id=0, user_id=0, name=called, hint="", **fields)
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
    """Show one key (by name or id), and what it spent of its limits.

    Example: sub2api key show claude-code --reveal
    """

    async def work(workspace: Workspace) -> dict[str, Any]:
        found = await workspace.keys.find(name)
        spent = shown_spent(await workspace.keys.spent(found, workspace.settings.timezone))
        text = {"key": await workspace.keys.reveal(name)} if reveal else {}
        return {**text, **_shown(found), "spent": spent}

    shown = in_workspace(ctx, work)
    if as_json:
        show_one(shown, as_json=True)
        return
    spent = shown.pop("spent")
    show_one(shown, as_json=False)
    if spent:
        click.echo()
        show(spent, SPENT_COLUMNS, as_json=False, empty="")


@key.command()
@click.argument("name")
@click.option("--name", "new_name", help="Another name.")
@_shared
@json_option
@click.pass_context
def update(
    ctx: click.Context, /, name: str, new_name: str | None, as_json: bool, **options: Any
) -> None:
    """Change a key; what is not given stays. Groups given take the place of those it had.

    Example: sub2api key update claude-code --rpm 60 --cost-day 5 --quota 100
    """

    async def work(workspace: Workspace) -> ApiKey:
        found = await workspace.keys.find(name)
        changes = _fields(options, workspace.clock.now())
        changes["limits"] = msgspec.structs.replace(found.limits, **limits_given(options))
        if new_name is not None:
            changes["name"] = new_name
        return await workspace.keys.change(name, changes, groups=options["groups"] or None)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


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
        "limits": shown_limits(each.limits),
        "quota": usd(each.quota),
        "expires": moment(each.expires_at),
        "last_used": moment(each.last_used_at),
        "created": moment(each.created_at),
    }
