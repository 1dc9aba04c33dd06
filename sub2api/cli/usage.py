"""`sub2api usage`: what was used, and what it cost."""

from __future__ import annotations

from typing import Any, Literal, cast

import click

from sub2api.cli.output import json_option, moment, show, usd
from sub2api.cli.times import since_of
from sub2api.cli.workspace import Workspace, in_workspace
from sub2api.store import usage as stored
from sub2api.store.usage import UsageSummary

By = Literal["key", "account", "model", "day"]
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")
_RECENT = (
    "time", "key", "account", "model", "status", *_TOKENS[:2], "cost", "settled_by", "error",
)  # fmt: skip


@click.command()
@click.option("--since", default="1d", show_default=True, help="A span such as 2h, or a date.")
@click.option("--until", help="A date; until now if not given.")
@click.option("--by", type=click.Choice(["key", "account", "model", "day"]), default="model",
              show_default=True, help="What to add up by.")  # fmt: skip
@click.option("--recent", type=click.IntRange(1, 10_000), help="List the latest calls instead.")
@json_option
@click.pass_context
def usage(ctx: click.Context, since: str, until: str | None, by: str, recent: int | None,
          as_json: bool) -> None:  # fmt: skip
    """Show what was used and what it cost, in US dollars.

    A cost of "-" (null) means that no price is known. Failed calls count as requests and cost 0.

    Example: sub2api usage --since 1d --by model --json
    """

    async def work(workspace: Workspace) -> list[dict[str, Any]]:
        now = workspace.clock.now()
        async with workspace.database.reading() as connection:
            if recent is not None:
                return [_row(row) for row in await stored.recent(connection, recent)]
            found = await stored.summary(
                connection,
                since=since_of(since, now),
                until=since_of(until, now) if until else None,
                by=cast(By, by),
                timezone=workspace.settings.timezone,
            )
        return [_sum(each, by) for each in found]

    rows = in_workspace(ctx, work)
    columns = _RECENT if recent is not None else (by, "requests", *_TOKENS, "cost", "errors")
    show(rows, columns, as_json=as_json, empty=f"Nothing was used since {since}.")


def _sum(each: UsageSummary, by: str) -> dict[str, Any]:
    return {
        by: each.name,
        "requests": each.requests,
        "input_tokens": each.input_tokens,
        "output_tokens": each.output_tokens,
        "cache_read_tokens": each.cache_read_tokens,
        "cache_creation_tokens": each.cache_creation_tokens,
        "cost": usd(each.cost),
        "errors": each.errors,
        "unpriced": each.unpriced,
    }


def _row(row: Any) -> dict[str, Any]:
    return {
        "call_id": row.call_id,
        "time": moment(row.started_at),
        "key": row.key_name,
        "account": row.account_name,
        "model": row.model,
        "status": row.status,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cache_read_tokens": row.cache_read_tokens,
        "cache_creation_tokens": row.cache_creation_tokens + row.cache_creation_long_tokens,
        "cost": usd(row.cost),
        "settled_by": row.settled_by,
        "error": row.error,
        "duration_ms": row.duration_ms,
        "first_token_ms": row.first_token_ms,
    }
