"""`sub2api account`: the upstream credentials."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from sub2api.cli.account_state import show_with_health, shown_rests, shown_windows, state_of
from sub2api.cli.limits import (
    DOLLARS,
    limit_options,
    limits_given,
    rest_rule_of,
    shown_limits,
    shown_rest_rule,
    statuses_of,
)
from sub2api.cli.output import json_option, moment, show, show_one, usd
from sub2api.cli.workspace import Workspace, in_workspace
from sub2api.errors import MistakeError
from sub2api.model.accounts import Account
from sub2api.model.limits import Limits
from sub2api.upstream.model_mapping import parse_mapping

_COLUMNS = ("id", "name", "platform", "state", "priority", "concurrency", "proxy", "last_used")


@click.group()
def account() -> None:
    """Upstream accounts: the provider keys that calls go out with.

    Example: sub2api account list
    """


def _shared(command: Any) -> Any:
    """Add the options that adding and updating have in common."""
    command = _health_options(limit_options(command))
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


def _health_options(command: Any) -> Any:
    for option in (
        click.option("--custom-error-codes", metavar="CODES",
                     help="Only these statuses harm it, and put it out of use: '401,403'; "
                     "'' = none configured."),
        click.option("--rest-rule", "rest_rules", multiple=True,
                     metavar="STATUS:KEYWORD[,KEYWORD]:MINUTES",
                     help="Rest when an answer is like this. Repeatable; replaces all."),
        click.option("--adaptive-concurrency/--no-adaptive-concurrency", default=None,
                     help="Lower concurrency for a while when the vendor's limits are hit."),
        click.option("--window-cost-reserve", type=DOLLARS,
                     help="US dollars that known sessions may go beyond it (10)."),
        click.option("--window-cost-limit", type=DOLLARS,
                     help="US dollars in the vendor's 5 h window, then no new sessions; 0 = off."),
        click.option("--session-idle-minutes", type=click.IntRange(1),
                     help="A session is over after so long without a call (5)."),
        click.option("--max-sessions", type=click.IntRange(0),
                     help="Different sessions at once, 0 = unlimited."),
    ):  # fmt: skip
        command = option(command)
    return command


_AS_GIVEN = (
    "base_url",
    "concurrency",
    "priority",
    "notes",
    "api_key",
    "max_sessions",
    "session_idle_minutes",
    "window_cost_limit",
    "window_cost_reserve",
    "adaptive_concurrency",
)


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """Return the account's fields among the options that were given, but for its limits."""
    fields = {name: options[name] for name in _AS_GIVEN if options[name] is not None}
    if options["api_key_stdin"]:
        fields["api_key"] = sys.stdin.readline().strip()
    if options["models"]:
        fields["model_mapping"] = parse_mapping(options["models"])
    if options["rest_rules"]:
        fields["rest_rules"] = tuple(rest_rule_of(text) for text in options["rest_rules"])
    if options["custom_error_codes"] is not None:
        fields["custom_error_codes"] = statuses_of(options["custom_error_codes"]) or None
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
    fields["limits"] = Limits(**limits_given(options))
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
    """List all accounts, and whether each is asked.

    Example: sub2api account list --json
    """

    async def work(workspace: Workspace) -> list[dict[str, Any]]:
        rests = await workspace.accounts.rests()
        now, timezone = workspace.clock.now(), workspace.settings.timezone
        return [
            {
                **_shown(each),
                "state": state_of(each, rests.get(each.id, ()), now=now, timezone=timezone),
            }
            for each in await workspace.accounts.everything()
        ]

    rows = in_workspace(ctx, work)
    empty = "No accounts yet: sub2api account add --platform anthropic --name mine --api-key-stdin"
    show(rows, _COLUMNS, as_json=as_json, empty=empty)


@account.command("show")
@click.argument("name")
@json_option
@click.pass_context
def show_account(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one account (by name or id), its rests and windows; its key is never shown.

    Example: sub2api account show mine
    """

    async def work(workspace: Workspace) -> dict[str, Any]:
        found = await workspace.accounts.find(name)
        rests = (await workspace.accounts.rests()).get(found.id, ())
        windows = (await workspace.accounts.windows()).get(found.id, ())
        now, timezone = workspace.clock.now(), workspace.settings.timezone
        return {
            **_shown(found),
            "state": state_of(found, rests, now=now, timezone=timezone),
            "rests": shown_rests(rests),
            "windows": shown_windows(windows),
        }

    show_with_health(in_workspace(ctx, work), as_json=as_json)


@account.command()
@click.argument("name")
@click.option("--name", "new_name", help="Another name.")
@click.option("--no-models", is_flag=True, help="Serve every model again, under its own name.")
@click.option("--no-rest-rules", is_flag=True, help="Take all its rest rules away.")
@_shared
@json_option
@click.pass_context
def update(
    ctx: click.Context,
    /,
    name: str,
    new_name: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Change an account; what is not given stays.

    Example: sub2api account update mine --concurrency 5
    """
    fields = _fields(options)
    if new_name is not None:
        fields["name"] = new_name
    if options["no_models"]:
        fields["model_mapping"] = {}
    if options["no_rest_rules"]:
        fields["rest_rules"] = ()

    async def work(workspace: Workspace) -> Account:
        groups = options["groups"] or None
        found = await workspace.accounts.find(name)
        fields["limits"] = msgspec.structs.replace(found.limits, **limits_given(options))
        return await workspace.accounts.change(
            name, fields, proxy=options["proxy"], group_names=groups
        )

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


def _change_command(word: str, meaning: str, changes: dict[str, Any]) -> click.Command:
    @click.argument("name")
    @json_option
    @click.pass_context
    def command(ctx: click.Context, name: str, as_json: bool) -> None:
        async def work(workspace: Workspace) -> Account:
            return await workspace.accounts.change(name, changes)

        show_one(_shown(in_workspace(ctx, work)), as_json=as_json)

    command.__doc__ = f"{meaning}\n\nExample: sub2api account {word} mine"
    return click.command(word)(command)


for _command in (
    _change_command(
        "enable",
        "Put an account into use (again); an error that put it out of use is forgotten.",
        {"status": "active", "error_message": None},
    ),
    _change_command("disable", "Take an account out of use.", {"status": "disabled"}),
    _change_command("pause", "Send no calls to an account for now.", {"schedulable": False}),
    _change_command("resume", "Send calls to a paused account again.", {"schedulable": True}),
):
    account.add_command(_command)


@account.command("clear-cooldown")
@click.argument("name")
@json_option
@click.pass_context
def clear_cooldown(ctx: click.Context, name: str, as_json: bool) -> None:
    """End an account's rests now, in every process; says which they were.

    Example: sub2api account clear-cooldown mine
    """

    async def work(workspace: Workspace) -> dict[str, Any]:
        found, cleared = await workspace.accounts.clear_cooldown(name)
        return {"name": found.name, "cleared": shown_rests(cleared)}

    done = in_workspace(ctx, work)
    if as_json:
        show_one(done, as_json=True)
        return
    for rest in done["cleared"]:
        click.echo(f"Cleared: {rest['scope']} ({rest['cause']}), was to rest until {rest['until']}")
    if not done["cleared"]:
        click.echo(f"Account {done['name']!r} was not resting.")


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
        "limits": shown_limits(each.limits),
        "max_sessions": each.max_sessions,
        "session_idle_minutes": each.session_idle_minutes,
        "window_cost_limit": usd(each.window_cost_limit),
        "window_cost_reserve": usd(each.window_cost_reserve),
        "rest_rules": [shown_rest_rule(rule) for rule in each.rest_rules],
        "custom_error_codes": each.custom_error_codes and list(each.custom_error_codes),
        "adaptive_concurrency": each.adaptive_concurrency,
        "schedulable": each.schedulable,
        "priority": each.priority,
        "groups": list(each.group_ids),
        "last_used": moment(each.last_used_at),
        "created": moment(each.created_at),
        "notes": each.notes,
    }
