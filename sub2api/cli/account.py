"""`sub2api account`: the upstream credentials."""

from __future__ import annotations

import sys
from typing import Any

import click

from sub2api.cli.output import json_option, moment, show, show_one
from sub2api.cli.workspace import Workspace, in_workspace
from sub2api.errors import MistakeError
from sub2api.model.accounts import Account
from sub2api.upstream.model_mapping import parse_mapping

_COLUMNS = ("id", "name", "platform", "status", "priority", "concurrency", "proxy", "last_used")


@click.group()
def account() -> None:
    """Upstream accounts: the provider keys that calls go out with.

    Example: sub2api account list
    """


def _shared(command: Any) -> Any:
    """Add the options that adding and updating have in common."""
    for option in (
        click.option("--base-url", help="Another host that speaks the platform's API."),
        click.option("--model", "models", multiple=True, metavar="NAME[=UPSTREAM]",
                     help="Serve this model (as UPSTREAM); a final * fits all. Repeatable."),
        click.option("--proxy", help="Go through a proxy: its name or URL; '' for none."),
        click.option("--concurrency", type=click.IntRange(0), help="Calls at once, 0 = unlimited."),
        click.option("--priority", type=click.IntRange(0), help="Lower is preferred (50)."),
        click.option("--group", "groups", multiple=True, help="Put it into a group. Repeatable."),
        click.option("--notes", help="A note to yourself."),
        click.option("--api-key", envvar="SUB2API_ACCOUNT_KEY", help="The provider's key."),
        click.option("--api-key-stdin", is_flag=True, help="Read the key from standard input."),
    ):  # fmt: skip
        command = option(command)
    return command


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """Return the account's fields among the options that were given."""
    fields = {
        name: options[name]
        for name in ("base_url", "concurrency", "priority", "notes", "api_key")
        if options[name] is not None
    }
    if options["api_key_stdin"]:
        fields["api_key"] = sys.stdin.readline().strip()
    if options["models"]:
        fields["model_mapping"] = parse_mapping(options["models"])
    return fields


@account.command()
@click.option("--platform", required=True, help="anthropic, openai or gemini.")
@click.option("--name", required=True, help="What you call it.")
@_shared
@json_option
@click.pass_context
def add(ctx: click.Context, /, platform: str, name: str, as_json: bool, **options: Any) -> None:
    """Add an account.

    Example: sub2api account add --platform anthropic --name mine --api-key-stdin
    """
    fields = _fields(options)
    if not fields.get("api_key"):
        raise MistakeError("give the provider's key: --api-key K, or --api-key-stdin")
    new = Account(id=0, name=name, platform=platform, **fields)  # type: ignore[arg-type]

    async def work(workspace: Workspace) -> Account:
        return await workspace.accounts.add(
            new, proxy=options["proxy"], group_names=options["groups"]
        )

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


@account.command("list")
@json_option
@click.pass_context
def list_accounts(ctx: click.Context, as_json: bool) -> None:
    """List all accounts.

    Example: sub2api account list --json
    """

    async def work(workspace: Workspace) -> list[Account]:
        return await workspace.accounts.everything()

    rows = [_shown(each) for each in in_workspace(ctx, work)]
    empty = "No accounts yet: sub2api account add --platform anthropic --name mine --api-key-stdin"
    show(rows, _COLUMNS, as_json=as_json, empty=empty)


@account.command("show")
@click.argument("name")
@json_option
@click.pass_context
def show_account(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one account (by name or id); its key is never shown.

    Example: sub2api account show mine
    """

    async def work(workspace: Workspace) -> Account:
        return await workspace.accounts.find(name)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


@account.command()
@click.argument("name")
@click.option("--name", "new_name", help="Another name.")
@click.option("--no-models", is_flag=True, help="Serve every model again, under its own name.")
@_shared
@json_option
@click.pass_context
def update(
    ctx: click.Context,
    /,
    name: str,
    new_name: str | None,
    no_models: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Change an account; what is not given stays.

    Example: sub2api account update mine --concurrency 5
    """
    fields = _fields(options)
    if new_name is not None:
        fields["name"] = new_name
    if no_models:
        fields["model_mapping"] = {}

    async def work(workspace: Workspace) -> Account:
        groups = options["groups"] or None
        return await workspace.accounts.change(
            name, fields, proxy=options["proxy"], group_names=groups
        )

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


def _status_command(word: str, status: str) -> click.Command:
    @click.argument("name")
    @json_option
    @click.pass_context
    def command(ctx: click.Context, name: str, as_json: bool) -> None:
        async def work(workspace: Workspace) -> Account:
            return await workspace.accounts.change(name, {"status": status})

        show_one(_shown(in_workspace(ctx, work)), as_json=as_json)

    command.__doc__ = f"{word.capitalize()} an account.\n\nExample: sub2api account {word} mine"
    return click.command(word)(command)


account.add_command(_status_command("enable", "active"))
account.add_command(_status_command("disable", "disabled"))


@account.command()
@click.argument("name")
@click.option("--model", help="The model to try; otherwise one that the account has.")
@json_option
@click.pass_context
def test(ctx: click.Context, name: str, model: str | None, as_json: bool) -> None:
    """Try an account with one tiny real request (it may cost a fraction of a cent).

    Example: sub2api account test mine
    """
    from sub2api.gateway.probe import ProbeResult, probe

    async def work(workspace: Workspace) -> ProbeResult:
        return await probe(await workspace.accounts.find(name), workspace.settings, model)

    result = in_workspace(ctx, work)
    show_one(
        {
            "ok": result.ok,
            "status": result.status,
            "model": result.model,
            "latency_ms": result.latency_ms,
            "message": result.message,
        },
        as_json=as_json,
    )
    if not result.ok:
        ctx.exit(1)


@account.command()
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def remove(ctx: click.Context, name: str, yes: bool, as_json: bool) -> None:
    """Remove an account for good; its credential is wiped, its usage stays.

    Example: sub2api account remove mine --yes
    """
    if not yes:
        click.confirm(f"Remove account {name!r} for good?", abort=True, err=True)

    async def work(workspace: Workspace) -> Account:
        return await workspace.accounts.remove(name)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


def _shown(each: Account) -> dict[str, Any]:
    return {
        "id": each.id,
        "name": each.name,
        "platform": each.platform,
        "status": each.status,
        "error": each.error_message,
        "base_url": each.base_url or None,
        "models": each.model_mapping,
        "proxy": each.proxy.name if each.proxy else None,
        "concurrency": each.concurrency,
        "priority": each.priority,
        "groups": list(each.group_ids),
        "last_used": moment(each.last_used_at),
        "created": moment(each.created_at),
        "notes": each.notes,
    }
