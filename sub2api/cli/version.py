"""`sub2api version`."""

from __future__ import annotations

import platform

import click

from sub2api import __version__
from sub2api.cli.output import json_option, print_json


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version.

    Example: sub2api version
    """
    if as_json:
        print_json({"version": __version__, "python": platform.python_version()})
    else:
        click.echo(f"sub2api {__version__} (Python {platform.python_version()})")
