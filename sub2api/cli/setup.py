"""`sub2api setup`."""

from __future__ import annotations

import os

import click

from sub2api.cli.output import json_option, show_one
from sub2api.cli.workspace import Workspace, in_workspace, settings_of
from sub2api.errors import MistakeError


@click.command()
@click.option("--mode", type=click.Choice(["simple", "full"]), required=True, help="What to be.")
@json_option
@click.pass_context
def setup(ctx: click.Context, mode: str, as_json: bool) -> None:
    """Make this machine's installation: directory, config.yaml, database, owner. Safe to repeat.

    Example: sub2api setup --mode simple
    """
    if mode == "full":
        raise MistakeError("full mode is not available in this version: use --mode simple")
    settings = settings_of(ctx, run_mode="simple")
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = settings.config_file or settings.data_dir / "config.yaml"
    written = False
    if not config.exists():
        handle = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write("# All keys: docs/settings.md\nrun_mode: simple\n")
        written = True

    async def nothing(workspace: Workspace) -> int:
        return len(await workspace.accounts.everything())

    accounts = in_workspace(ctx, nothing, run_mode="simple")
    show_one(
        {
            "mode": "simple",
            "data_dir": str(settings.data_dir),
            "config": str(config) + (" (written)" if written else " (kept)"),
            "accounts": accounts,
        },
        as_json=as_json,
    )
    if not as_json:
        click.echo("\nNext: sub2api account add --platform anthropic --name mine --api-key-stdin")
