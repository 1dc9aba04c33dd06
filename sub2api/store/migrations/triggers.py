"""Triggers, in the two dialects: what moves `config_stamp`, and what keeps the ledger append-only.

A revision that adds a column to a watched table calls `watch` for it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

_BUMP = "UPDATE config_stamp SET stamp = stamp + 1 WHERE id = 1"


def watch(table: str, columns: Sequence[str]) -> None:
    """Move the stamp when a row of `table` comes, goes or changes in one of `columns`."""
    if _on_postgres():
        # The row's transaction is its xmin: once in a transaction is enough, however many rows.
        # For each row, since a statement's trigger fires for statements that change none, too.
        op.execute(
            "CREATE OR REPLACE FUNCTION bump_config_stamp() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN EXECUTE 'UPDATE ' || quote_ident(TG_TABLE_SCHEMA) || '.config_stamp "
            "SET stamp = stamp + 1 WHERE id = 1 AND xmin <> pg_current_xact_id()::xid'; "
            "RETURN NULL; END $$"
        )
        op.execute(f"DROP TRIGGER IF EXISTS stamp_{table} ON {table}")
        op.execute(
            f"CREATE TRIGGER stamp_{table} AFTER INSERT OR DELETE OR UPDATE OF "
            f"{', '.join(columns)} ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION bump_config_stamp()"
        )
        return
    for event in ("INSERT", "DELETE", f"UPDATE OF {', '.join(columns)}"):
        name = f"stamp_{table}_{event.split()[0].lower()}"
        op.execute(f"DROP TRIGGER IF EXISTS {name}")
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {_BUMP}; END")


def make_append_only(table: str) -> None:
    """Refuse every UPDATE and DELETE of `table`."""
    refusal = f"{table} is append-only"
    if _on_postgres():
        op.execute(
            f"CREATE OR REPLACE FUNCTION keep_{table}() RETURNS trigger LANGUAGE plpgsql "
            f"AS $$ BEGIN RAISE EXCEPTION '{refusal}' USING ERRCODE = '23000'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER keep_{table} BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION keep_{table}()"
        )
        op.execute(
            f"CREATE TRIGGER keep_{table}_whole BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION keep_{table}()"
        )
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER keep_{table}_{event.lower()} BEFORE {event} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        )


def _on_postgres() -> bool:
    return op.get_context().dialect.name == "postgresql"
