"""`sub2api error-rule`: what clients are told when an upstream refuses."""

from __future__ import annotations

from typing import Any

import click

from sub2api.cli.limits import statuses_of
from sub2api.cli.output import json_option, show, show_one
from sub2api.cli.workspace import Workspace, in_workspace
from sub2api.errors import MistakeError
from sub2api.model.health import ErrorRule

_COLUMNS = (
    *("id", "name", "priority", "enabled", "match", "statuses", "keywords"),
    *("platforms", "answer_status", "answer_message"),
)


@click.group("error-rule")
def error_rule() -> None:
    """Rules on what clients are told when an upstream refuses.

    Example: sub2api error-rule list
    """


def _shared(command: Any) -> Any:
    """Add the options that adding and updating have in common."""
    for option in (
        click.option("--answer-message", help="Tell clients this; '' = the upstream's message."),
        click.option("--answer-status", help="Tell clients this status; '' = the upstream's."),
        click.option("--enable/--disable", "enabled", default=None, help="Whether it counts."),
        click.option("--priority", type=click.IntRange(0), help="The lowest that fits wins (100)."),
        click.option("--platform", "platforms", multiple=True,
                     help="Only for accounts of this platform. Repeatable; '' = all."),
        click.option("--match", type=click.Choice(["any", "all"]),
                     help="Fit when any condition does (the default), or when all do."),
        click.option("--keyword", "keywords", multiple=True,
                     help="Fit when the answer contains this. Repeatable; '' = none."),
        click.option("--statuses", help="Fit at these statuses: '429,529'; '' = none."),
    ):  # fmt: skip
        command = option(command)
    return command


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """Return the rule's fields among the options that were given."""
    fields = {
        name: options[name]
        for name in ("enabled", "priority", "match")
        if options[name] is not None
    }
    for name in ("keywords", "platforms"):
        if options[name]:
            fields[name] = tuple(dict.fromkeys(each for each in options[name] if each))
    if options["statuses"] is not None:
        fields["statuses"] = statuses_of(options["statuses"])
    if options["answer_status"] is not None:
        fields["status"] = _status_of(options["answer_status"])
    if options["answer_message"] is not None:
        fields["message"] = options["answer_message"] or None
    return fields


def _status_of(text: str) -> int | None:
    statuses = statuses_of(text)
    if len(statuses) > 1:
        raise MistakeError("--answer-status is one HTTP status, such as 503")
    return statuses[0] if statuses else None


@error_rule.command()
@click.option("--name", required=True, help="What you call it.")
@_shared
@json_option
@click.pass_context
def add(ctx: click.Context, /, name: str, as_json: bool, **options: Any) -> None:
    """Add a rule.

    Example: sub2api error-rule add --name busy --statuses 529 --answer-message 'Try again soon.'
    """
    rule = ErrorRule(id=0, name=name, **_fields(options))

    async def work(workspace: Workspace) -> ErrorRule:
        return await workspace.error_rules.add(rule)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


@error_rule.command("list")
@json_option
@click.pass_context
def list_rules(ctx: click.Context, as_json: bool) -> None:
    """List all rules in the order in which they are tried.

    Example: sub2api error-rule list
    """

    async def work(workspace: Workspace) -> list[ErrorRule]:
        return await workspace.error_rules.everything()

    rows = [_shown(each) for each in in_workspace(ctx, work)]
    empty = "No error rules: clients are told what upstreams say, or what the gateway makes of it."
    show(rows, _COLUMNS, as_json=as_json, empty=empty)


@error_rule.command()
@click.argument("name")
@click.option("--name", "new_name", help="Another name.")
@_shared
@json_option
@click.pass_context
def update(
    ctx: click.Context, /, name: str, new_name: str | None, as_json: bool, **options: Any
) -> None:
    """Change a rule; what is not given stays.

    Example: sub2api error-rule update busy --disable
    """
    changes = _fields(options)
    if new_name is not None:
        changes["name"] = new_name

    async def work(workspace: Workspace) -> ErrorRule:
        return await workspace.error_rules.change(name, changes)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


@error_rule.command()
@click.argument("name")
@json_option
@click.pass_context
def remove(ctx: click.Context, name: str, as_json: bool) -> None:
    """Remove a rule for good.

    Example: sub2api error-rule remove busy
    """

    async def work(workspace: Workspace) -> ErrorRule:
        return await workspace.error_rules.remove(name)

    show_one(_shown(in_workspace(ctx, work)), as_json=as_json)


def _shown(each: ErrorRule) -> dict[str, Any]:
    return {
        "id": each.id,
        "name": each.name,
        "priority": each.priority,
        "enabled": each.enabled,
        "match": each.match,
        "statuses": list(each.statuses),
        "keywords": list(each.keywords),
        "platforms": list(each.platforms),
        "answer_status": each.status,
        "answer_message": each.message,
    }
