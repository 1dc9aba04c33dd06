"""`sub2api limit`: what the owner may use, with all keys together."""

from __future__ import annotations

from typing import Any

import click

from sub2api.cli.limits import (
    SPENT_COLUMNS,
    limit_options,
    limits_given,
    shown_limits,
    shown_spent,
)
from sub2api.cli.output import json_option, show, show_one
from sub2api.cli.workspace import Workspace, in_workspace


@click.group()
def limit() -> None:
    """The owner's limits: of all keys together.

    Example: sub2api limit show
    """


@limit.command("show")
@json_option
@click.pass_context
def show_limit(ctx: click.Context, as_json: bool) -> None:
    """Show the owner's limits, and what was spent of them.

    Example: sub2api limit show
    """
    _print(in_workspace(ctx, _state), as_json=as_json)


@limit.command("set")
@click.option("--concurrency", type=click.IntRange(0), help="Calls at once, 0 = any.")
@limit_options
@json_option
@click.pass_context
def set_limit(
    ctx: click.Context, /, concurrency: int | None, as_json: bool, **options: Any
) -> None:
    """Set limits of all keys together; what is not given stays.

    Example: sub2api limit set --concurrency 10 --cost-day 20
    """
    changes = limits_given(options)
    if concurrency is not None:
        changes["concurrency"] = concurrency

    async def work(workspace: Workspace) -> dict[str, Any]:
        await workspace.owner.change(changes)
        return await _state(workspace)

    _print(in_workspace(ctx, work), as_json=as_json)


async def _state(workspace: Workspace) -> dict[str, Any]:
    owner = await workspace.owner.find()
    return {
        "user": owner.email,
        "concurrency": owner.concurrency,
        "limits": shown_limits(owner.limits),
        "spent": shown_spent(await workspace.owner.spent(workspace.settings.timezone)),
    }


def _print(state: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_one(state, as_json=True)
        return
    spent = state.pop("spent")
    show_one(state, as_json=False)
    if spent:
        click.echo()
        show(spent, SPENT_COLUMNS, as_json=False, empty="")
