"""Limits on the command line: options that nouns share, how amounts and rules are typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import click
import msgspec

from sub2api.cli.output import moment, usd
from sub2api.errors import MistakeError
from sub2api.identity.spent import Spent
from sub2api.model.health import RestRule
from sub2api.model.limits import Limits

SPENT_COLUMNS = ("window", "limit", "spent", "since", "until")
_MONEY = ("cost_5h", "cost_day", "cost_week", "cost_month")
_FIELDS = ("rpm", "tpm", *_MONEY)
_NANO = Decimal(10**9)
_MOST_DOLLARS = 10**9


class Dollars(click.ParamType[int]):
    """An amount of US dollars, exact to a nanodollar: `12.50`. Given on as whole nanodollars."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the nanodollars; what is no such amount ends the command."""
        if isinstance(value, int):
            return value
        try:
            amount = Decimal(str(value).strip().removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is no amount of US dollars such as 12.50", param, ctx)
        if not amount.is_finite() or not 0 <= amount <= _MOST_DOLLARS:
            self.fail(f"an amount is between 0 (unlimited) and {_MOST_DOLLARS}", param, ctx)
        nanodollars = amount * _NANO
        if nanodollars != int(nanodollars):
            self.fail(f"{value!r} has more than nine decimal places", param, ctx)
        return int(nanodollars)


DOLLARS = Dollars()


def limit_options(command: Any) -> Any:
    """Add --rpm, --tpm and the --cost-* options; what is not given is None."""
    for option in reversed(
        (
            click.option("--rpm", type=click.IntRange(0), help="Requests per minute; 0 = any."),
            click.option("--tpm", type=click.IntRange(0), help="Tokens per minute; 0 = any."),
            click.option("--cost-5h", type=DOLLARS, help="US dollars in 5 hours; 0 = any."),
            click.option("--cost-day", type=DOLLARS, help="US dollars a day; 0 = any."),
            click.option("--cost-week", type=DOLLARS, help="US dollars a week; 0 = any."),
            click.option("--cost-month", type=DOLLARS, help="US dollars a month; 0 = any."),
        )
    ):
        command = option(command)
    return command


def limits_given(options: Mapping[str, Any]) -> dict[str, int]:
    """Return the limits among a command's options that were given, named as in `Limits`."""
    return {name: options[name] for name in _FIELDS if options.get(name) is not None}


def shown_limits(limits: Limits) -> dict[str, int | Decimal | None]:
    """Return the limits that are set: counts, and money in dollars."""
    found = {name: value for name, value in msgspec.structs.asdict(limits).items() if value}
    return {name: usd(value) if name in _MONEY else value for name, value in found.items()}


def shown_spent(spent: Iterable[Spent]) -> list[dict[str, Any]]:
    """Return rows of what was spent of which limit, in dollars."""
    return [
        {
            "window": each.window,
            "limit": usd(each.limit),
            "spent": usd(each.cost),
            "since": moment(each.since),
            "until": moment(each.until),
        }
        for each in spent
    ]


def statuses_of(text: str) -> tuple[int, ...]:
    """Return the HTTP statuses of a list such as `500,503`, each once; "" has none."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise MistakeError(f"{text!r} is no list of HTTP statuses such as 500,503")
    return tuple(dict.fromkeys(int(part[:9]) for part in parts))


def rest_rule_of(text: str) -> RestRule:
    """Return the rule that STATUS:KEYWORD[,KEYWORD]:MINUTES says. A keyword may contain colons."""
    status, _, rest = text.partition(":")
    keywords, _, minutes = rest.rpartition(":")
    if not (status.isascii() and status.isdigit() and minutes.isascii() and minutes.isdigit()):
        raise MistakeError(
            f"{text!r} is no rest rule: write STATUS:KEYWORD[,KEYWORD]:MINUTES, "
            "such as 403:credit,balance:60"
        )
    words = tuple(word.strip() for word in keywords.split(",")) if keywords else ()
    return RestRule(int(status[:9]), words, int(minutes[:9]))


def shown_rest_rule(rule: RestRule) -> str:
    """Return a rule as it is typed."""
    return f"{rule.status}:{','.join(rule.keywords)}:{rule.minutes}"


def routes_of(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return model -> accounts of routes MODEL=ACCOUNT[,ACCOUNT]; MODEL= has no accounts."""
    routes = {}
    for text in texts:
        model, found, names = text.partition("=")
        if not found or not model.strip():
            raise MistakeError(
                f"{text!r} is no route: write MODEL=ACCOUNT[,ACCOUNT], or MODEL= to remove it"
            )
        accounts = (name.strip() for name in names.split(","))
        routes[model.strip()] = tuple(name for name in accounts if name)
    return routes


def seconds_of(text: str) -> float | None:
    """Return the seconds that `text` says; None for `default`."""
    if text.strip() == "default":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise MistakeError(
            f"{text!r} is no number of seconds up to 3600; 0 is no limit, `default` the setting's"
        )
    return seconds
