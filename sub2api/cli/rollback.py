"""`sub2api rollback`."""

from __future__ import annotations

import click

from sub2api.cli.upgrade import follow, refuse_without_installation, run
from sub2api.cli.workspace import settings_of
from sub2api.updates.updater import Updater


@click.command()
@click.argument("version", default="")
@click.pass_context
def rollback(ctx: click.Context, version: str) -> None:
    """Go back to the release before, or to VERSION, one of the last three. The data stays.

    Example: sub2api rollback
    """
    settings = settings_of(ctx)
    refuse_without_installation(settings)

    async def work(updater: Updater) -> None:
        gone_to = await updater.roll_back(version)
        await follow(updater, settings)
        click.echo(f"{gone_to} is the current release")

    run(settings, work)
