"""What commands print: tables for people, JSON for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click
import msgspec

_NANO = Decimal(10**9)
_encode = msgspec.json.Encoder(decimal_format="number").encode

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def show(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str
) -> None:
    """Print rows: as `{"items": [...]}`, or as an aligned table of `columns`."""
    if as_json:
        print_json({"items": list(rows)})
        return
    if not rows:
        click.echo(empty)
        return
    table = [[column.upper().replace("_", " ") for column in columns]]
    table += [[cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def show_one(fields: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: as a JSON object, or a line per field."""
    if as_json:
        print_json(fields)
        return
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        click.echo(f"{name.replace('_', ' ').ljust(width)}  {cell(value)}")


def print_json(value: Any) -> None:
    """Print one JSON value; decimals are exact numbers."""
    click.echo(msgspec.json.format(_encode(value), indent=2).decode())


def cell(value: Any) -> str:
    """Return a value as people read it."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return ", ".join(f"{name}={cell(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(inner) for inner in value)
    return str(value)


def usd(nanodollars: int | None) -> Decimal | None:
    """Return an amount of money in dollars, exactly; None stays unknown."""
    if nanodollars is None:
        return None
    amount = Decimal(nanodollars) / _NANO
    return amount.normalize() if amount else Decimal(0)


def moment(seconds: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC, None for never."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
