"""`sub2api migrate`: bring the database's schema to this release, or show what that would do."""

from __future__ import annotations

import asyncio

import click

from sub2api.cli.workspace import settings_of


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the SQL that is missing; change nothing.")
@click.pass_context
def migrate(ctx: click.Context, dry_run: bool) -> None:
    """Bring the database's schema to this release; every start does so too.

    The previous release can still run on the new schema. Any number of processes may do this at
    once: one migrates, the others wait.

    Example: sub2api migrate --dry-run
    """
    # Imported here: the store's libraries take a third of a second that `--help` need not pay.
    from sub2api.store import migrate as migrating

    database = settings_of(ctx).database
    missing = asyncio.run(migrating.missing_sql(database.url, database))
    if not missing:
        click.echo("Nothing is missing: the schema is this release's, or a newer one's.")
    elif dry_run:
        click.echo(missing.rstrip("\n"))
    else:
        asyncio.run(migrating.migrate(database.url, database))
        click.echo(f"The schema is now at revision {migrating.NEWEST}.")
