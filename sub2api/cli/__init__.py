"""The command line: one file per command. What a user did wrong is one sentence and exit code 1."""

from __future__ import annotations

import sys
from typing import Any

import click

from sub2api.cli.account import account
from sub2api.cli.doctor import doctor
from sub2api.cli.env import env
from sub2api.cli.error_rule import error_rule
from sub2api.cli.explain import explain
from sub2api.cli.group import group
from sub2api.cli.key import key
from sub2api.cli.limit import limit
from sub2api.cli.migrate import migrate
from sub2api.cli.proxy import proxy
from sub2api.cli.rollback import rollback
from sub2api.cli.serve import serve
from sub2api.cli.setup import setup
from sub2api.cli.upgrade import upgrade
from sub2api.cli.usage import usage
from sub2api.cli.version import version
from sub2api.errors import Sub2APIError


class Commands(click.Group):
    """The commands, with our own errors shown as sentences."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a mistake ends it with exit code 1, without a traceback."""
        try:
            return super().invoke(ctx)
        except Sub2APIError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data-dir", type=click.Path(file_okay=False), help="Where everything is kept.")
@click.option("--config", type=click.Path(dir_okay=False), help="Path of config.yaml.")
@click.pass_context
def cli(ctx: click.Context, data_dir: str | None, config: str | None) -> None:
    """Sub2API: an AI API gateway. One key per tool, many upstream accounts, every token metered.

    Example: sub2api serve --demo
    """
    ctx.obj = {"data_dir": data_dir, "config": config}


COMMANDS = (
    *(serve, setup, account, group, proxy, key, limit, error_rule),
    *(usage, explain, env, doctor, migrate, upgrade, rollback, version),
)
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    try:
        cli(prog_name="sub2api")
    except BrokenPipeError:
        sys.exit(0)  # `sub2api usage | head`: the reader has seen enough
