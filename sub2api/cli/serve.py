"""`sub2api serve`."""

from __future__ import annotations

import sys
from typing import Any

import click

from sub2api.cli.workspace import settings_of
from sub2api.errors import SettingsError


@click.command()
@click.option("--host", help="Address to listen on (server.host).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (server.port).")
@click.option("--demo", is_flag=True, help="Answer from a script while there is no real account.")
@click.pass_context
def serve(ctx: click.Context, host: str | None, port: int | None, demo: bool) -> None:
    """Run the gateway until it is told to stop (Ctrl-C, SIGTERM).

    With --demo and no account of your own, a scripted vendor on this machine answers, and requests
    to paste are printed.

    Example: sub2api serve --demo --port 8080
    """
    overrides: dict[str, Any] = {}
    if host is not None:
        overrides["server.host"] = host
    if port is not None:
        overrides["server.port"] = port
    try:
        settings = settings_of(ctx, **overrides)
    except SettingsError:
        if not demo:
            raise
        settings = settings_of(ctx, **overrides, run_mode="simple")
    from sub2api.server.run import Companion, run
    from sub2api.updates.confirmation import proving

    companions: list[Companion] = [lambda parts, clock: proving(parts.settings, clock)]
    if demo:
        from sub2api.cli.demo import demo_companion

        companions.append(demo_companion)
    sys.exit(run(settings, companions=companions))
