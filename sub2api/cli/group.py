"""`sub2api group`: pools of accounts."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from sub2api.cli.limits import limit_options, limits_given, routes_of, seconds_of, shown_limits
from sub2api.cli.output import json_option, show, show_one
from sub2api.cli.workspace import Workspace, in_workspace
from sub2api.model.accounts import Group
from sub2api.model.limits import Limits

_COLUMNS = ("id", "name", "platform", "status", "rate_multiplier", "disconnect")
_POLICIES = click.Choice(["drain", "observed", "cancel"])


@click.group()
def group() -> None:
    """Groups: pools of accounts that a key may be bound to.

    Example: sub2api group list
    """


def _options(command: Any) -> Any:
    command = limit_options(command)
    for option in (
        click.option("--first-byte-timeout", metavar="SECONDS",
                     help="Longest wait for a stream's first frame; 0 = none, or `default`."),
        click.option("--route", "routes", multiple=True, metavar="MODEL=ACCOUNT[,ACCOUNT]",
                     help="Send a model (a final * fits all) to these accounts only. Repeatable."),
        click.option("--concurrency", type=click.IntRange(0), help="Calls at once, 0 = any."),
        click.option("--multiplier", "rate_multiplier", help="Price factor; 0 is free."),
        click.option("--disconnect", type=_POLICIES, help="What to do when a client leaves."),
        click.option("--description", help="A line about it."),
    ):  # fmt: skip
        command = option(command)
    return command


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the group's fields among the options that were given, but for limits and routes."""
    names = ("rate_multiplier", "disconnect", "description", "concurrency", "status")
    given = {name: options[name] for name in names if options.get(name) is not None}
    if options["first_byte_timeout"] is not None:
        given["first_byte_timeout"] = seconds_of(options["first_byte_timeout"])
    return given


@group.command()
@click.option("--name", required=True, help="What you call it.")
@click.option("--platform", required=True, help="anthropic, openai or gemini.")
@_options
@json_option
@click.pass_context
def add(ctx: click.Context, /, name: str, platform: str, as_json: bool, **options: Any) -> None:
    """Add a group.

    Example: sub2api group add --name work --platform anthropic
    """
    limits = Limits(**limits_given(options))
    new = Group(id=0, name=name, platform=platform, limits=limits, **_given(options))  # type: ignore[arg-type]

    async def work(workspace: Workspace) -> dict[str, Any]:
        made = await workspace.groups.add(new, routes=routes_of(options["routes"]))
        return await _with_names(workspace, made)

    show_one(in_workspace(ctx, work), as_json=as_json)


@group.command("list")
@json_option
@click.pass_context
def list_groups(ctx: click.Context, as_json: bool) -> None:
    """List all groups.

    Example: sub2api group list
    """

    async def work(workspace: Workspace) -> list[Group]:
        return await workspace.groups.everything()

    rows = [_shown(each) for each in in_workspace(ctx, work)]
    show(rows, _COLUMNS, as_json=as_json, empty="No groups: without them, keys use every account.")


@group.command("show")
@click.argument("name")
@json_option
@click.pass_context
def show_group(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one group, with its accounts.

    Example: sub2api group show work
    """

    async def work(workspace: Workspace) -> dict[str, Any]:
        found = await workspace.groups.find(name)
        accounts = await workspace.accounts.everything()
        members = [each.name for each in accounts if found.id in each.group_ids]
        return {**await _with_names(workspace, found), "accounts": members}

    show_one(in_workspace(ctx, work), as_json=as_json)


@group.command()
@click.argument("name")
@click.option("--name", "new_name", help="Another name.")
@click.option("--status", type=click.Choice(["active", "disabled"]), help="Whether it serves.")
@_options
@json_option
@click.pass_context
def update(
    ctx: click.Context, /, name: str, new_name: str | None, as_json: bool, **options: Any
) -> None:
    """Change a group; what is not given stays.

    Example: sub2api group update work --multiplier 0.8 --route 'claude-opus-*=max-1,max-2'
    """
    changes = _given(options)
    if new_name is not None:
        changes["name"] = new_name

    async def work(workspace: Workspace) -> dict[str, Any]:
        found = await workspace.groups.find(name)
        changes["limits"] = msgspec.structs.replace(found.limits, **limits_given(options))
        changed = await workspace.groups.change(name, changes, routes=routes_of(options["routes"]))
        return await _with_names(workspace, changed)

    show_one(in_workspace(ctx, work), as_json=as_json)


@group.command()
@click.argument("name")
@json_option
@click.pass_context
def remove(ctx: click.Context, name: str, as_json: bool) -> None:
    """Remove a group; its accounts and keys stay.

    Example: sub2api group remove work
    """

    async def work(workspace: Workspace) -> Group:
        return await workspace.groups.remove(name)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


async def _with_names(workspace: Workspace, each: Group) -> dict[str, Any]:
    """Return the group as it is shown, its routes with the names of their accounts."""
    names = await workspace.accounts.names() if each.model_routes else {}
    routes = {
        model: ",".join(names.get(account_id, str(account_id)) for account_id in account_ids)
        for model, account_ids in each.model_routes.items()
    }
    return {**_shown(each), "routes": routes}


def _shown(each: Group) -> dict[str, Any]:
    return {
        "id": each.id,
        "name": each.name,
        "platform": each.platform,
        "status": each.status,
        "rate_multiplier": each.rate_multiplier,
        "disconnect": each.disconnect,
        "concurrency": each.concurrency,
        "limits": shown_limits(each.limits),
        "first_byte_timeout": each.first_byte_timeout,
        "description": each.description,
    }
