"""`sub2api proxy`: ways out."""

from __future__ import annotations

from typing import Any

import click

from sub2api.cli.output import json_option, show, show_one
from sub2api.cli.workspace import Workspace, in_workspace
from sub2api.model.accounts import Proxy

_COLUMNS = ("id", "name", "protocol", "host", "port", "username", "status")


@click.group()
def proxy() -> None:
    """Outgoing proxies that accounts may use.

    Example: sub2api proxy list
    """


@proxy.command()
@click.option("--name", required=True, help="What you call it.")
@click.option("--url", required=True, help="http, https, socks5 or socks5h://[user:pw@]host:port")
@json_option
@click.pass_context
def add(ctx: click.Context, name: str, url: str, as_json: bool) -> None:
    """Add a proxy.

    Example: sub2api proxy add --name office --url socks5h://127.0.0.1:1080
    """

    async def work(workspace: Workspace) -> Proxy:
        return await workspace.proxies.add(name, url)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


@proxy.command("list")
@json_option
@click.pass_context
def list_proxies(ctx: click.Context, as_json: bool) -> None:
    """List all proxies; passwords are never shown.

    Example: sub2api proxy list
    """

    async def work(workspace: Workspace) -> list[Proxy]:
        return await workspace.proxies.everything()

    rows = [_shown(each) for each in in_workspace(ctx, work)]
    show(rows, _COLUMNS, as_json=as_json, empty="No proxies: every account connects directly.")


@proxy.command()
@click.argument("name")
@json_option
@click.pass_context
def remove(ctx: click.Context, name: str, as_json: bool) -> None:
    """Remove a proxy that no account uses.

    Example: sub2api proxy remove office
    """

    async def work(workspace: Workspace) -> Proxy:
        return await workspace.proxies.remove(name)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


def _shown(each: Proxy) -> dict[str, Any]:
    return {column: getattr(each, column) for column in _COLUMNS}
