"""`sub2api upgrade`: replace this release by another one, and watch what comes of it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable

import click

from sub2api.cli.output import json_option, show_one
from sub2api.cli.workspace import settings_of
from sub2api.clock import Clock
from sub2api.errors import MistakeError
from sub2api.settings import Settings
from sub2api.updates.manifest import Channel, version_of
from sub2api.updates.updater import Offer, Progress, Updater

_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound
_START_SECONDS = 90.0
"""Added to the drain and the trial: a start takes its time, and a way back two of them."""


@click.command()
@click.option("--check", is_flag=True, help="Only say what there is.")
@click.option("--version", "version", default="", help="This release instead of the newest.")
@click.option("--channel", type=click.Choice(["stable", "edge"]), help="Which releases to offer.")
@click.option("--downgrade", is_flag=True, help="Take a release that is older than this one.")
@click.option("--adopt", hidden=True, help="A verified file in releases/, for the installer.")
@json_option
@click.pass_context
def upgrade(  # noqa: PLR0913  one parameter per option
    ctx: click.Context,
    check: bool,
    version: str,
    channel: Channel | None,
    downgrade: bool,
    adopt: str | None,
    as_json: bool,
) -> None:
    """Fetch a release, verify it, try it on a copy of the data, and switch to it.

    A gateway that runs goes over to it when its calls have ended; one that is not healthy for
    long enough is taken back by itself.

    Example: sub2api upgrade --check
    """
    settings = settings_of(ctx)
    if not check:
        refuse_without_installation(settings)

    async def work(updater: Updater) -> None:
        if adopt:
            with updater.installation.alone():
                await updater.adopt(adopt, version_of(adopt))
            await follow(updater, settings)
            return
        chosen = channel or ("edge" if settings.update.channel == "edge" else "stable")
        offer = await updater.check(chosen, version)
        if check or offer.version == offer.running:
            _show(offer, as_json=as_json)
        elif not offer.newer and not version:
            click.echo(f"{offer.running} runs, and is newer than {offer.version}: nothing to do")
        else:
            await updater.update(offer, downgrade=downgrade)
            await follow(updater, settings)

    run(settings, work)


def run(settings: Settings, work: Callable[[Updater], Awaitable[None]]) -> None:
    """Do some work with an updater that prints its progress."""
    # Imported here: the transport takes a moment that `--help` need not pay.
    from sub2api.updates.source import source_of

    async def whole() -> None:
        clock = Clock()
        async with source_of(settings, clock) as source:
            await work(Updater(settings, clock, source, Reporter()))

    asyncio.run(whole())


async def follow(updater: Updater, settings: Settings) -> None:
    """Watch a release that was swapped in, if a gateway runs here to go over to it."""
    if not _is_running(settings):
        click.echo("No gateway runs here now: it proves itself at the next start.")
        return
    seconds = settings.server.drain_seconds + settings.update.confirm_seconds + _START_SECONDS
    await updater.watch(seconds)


def _is_running(settings: Settings) -> bool:
    host = _ANYWHERE.get(settings.server.host, settings.server.host)
    try:
        socket.create_connection((host, settings.server.port), timeout=2.0).close()
    except OSError:
        return False
    return True


def _show(offer: Offer, *, as_json: bool) -> None:
    show_one(
        {
            "running": offer.running,
            "offered": offer.version,
            "newer": offer.newer,
            "channel": offer.manifest.channel,
            "file": offer.artefact.name,
            "bytes": offer.artefact.size,
        },
        as_json=as_json,
    )
    if not as_json and not offer.newer:
        click.echo("Nothing to do.")


class Reporter:
    """Prints progress to the error output: a line for each step, a moving one for bytes."""

    def __init__(self) -> None:
        self._shown = -1

    def __call__(self, news: Progress) -> None:
        """Print one piece of news."""
        if not news.total:
            click.echo(news.text, err=True)
            return
        percent = 100 * news.done // news.total
        if percent == self._shown:
            return
        self._shown = percent
        if sys.stderr.isatty():
            bar = "#" * (percent // 4)
            click.echo(f"\r{news.text}  [{bar:25}] {percent:3} %", err=True, nl=percent == 100)
        elif percent == 100:
            click.echo(f"{news.text}: {news.total / 1e6:.1f} MB", err=True)


def refuse_without_installation(settings: Settings) -> None:
    """Raise MistakeError where there is no installation whose release could be another."""
    if not settings.update.directory.name:
        raise MistakeError(
            "install.sh did not install this (update.directory is not set): change its release "
            "the way it came here, with git pull, docker pull or pipx upgrade"
        )
