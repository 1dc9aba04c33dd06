"""m0002: limits, rests, usage windows, spending per quarter of an hour, attempts, error rules.

Expands only: every new column has a default, so the previous release inserts without it. `spending`
begins as what the usage rows so far sum up to.
"""

# A copy of tables.py, not an import: this must still mean the same when tables.py has moved on.

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from sub2api.store.migrations import triggers

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # First what takes long, then what locks tables that every process reads.
    _create_spending()
    _add_columns()
    _create_health()
    _create_attempts()
    _create_error_rules()
    for table, columns in _WATCHED.items():
        triggers.watch(table, columns.split())


def _text(name: str, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def _count(name: str, default: str | None = "0") -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=default)


def _big(name: str, default: str | None = "0") -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=default)


def _maybe(name: str, type_: type[sa.types.TypeEngine[Any]]) -> sa.Column[Any]:
    return sa.Column(name, type_)


def _flag(name: str, default: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=default)


def _part_of_key(name: str, type_: type[sa.types.TypeEngine[Any]]) -> sa.Column[Any]:
    return sa.Column(name, type_, primary_key=True, autoincrement=False)


def _add_columns() -> None:
    added: dict[str, list[sa.Column[Any]]] = {
        "users": [_text("limits", "{}")],
        "groups": [
            _count("concurrency"),
            _text("limits", "{}"),
            _text("model_routes", "{}"),
            _maybe("first_byte_timeout", sa.BigInteger),
        ],
        "accounts": [
            _text("limits", "{}"),
            _count("max_sessions"),
            _count("session_idle_minutes", "5"),
            _big("window_cost_limit"),
            _big("window_cost_reserve", "10000000000"),
            _text("rest_rules", "[]"),
            _maybe("custom_error_codes", sa.Text),
            _flag("adaptive_concurrency", sa.false()),
            _maybe("cleared_at", sa.BigInteger),
        ],
        "api_keys": [_text("limits", "{}"), _big("quota")],
    }
    for table, columns in added.items():
        for column in columns:
            op.add_column(table, column)


def _create_health() -> None:
    op.create_table(
        "account_rests",
        _part_of_key("account_id", sa.BigInteger),
        _part_of_key("model", sa.Text),
        _text("cause"),
        _big("since", None),
        _big("until", None),
        _count("failures", "1"),
        _text("detail", ""),
    )
    op.create_table(
        "account_windows",
        _part_of_key("account_id", sa.BigInteger),
        _part_of_key("name", sa.Text),
        _big("utilization", None),
        _big("resets_at", None),
        _big("seen_at", None),
        _text("status", ""),
    )


def _create_spending() -> None:
    op.create_table(
        "spending",
        _part_of_key("noun", sa.Text),
        _part_of_key("noun_id", sa.BigInteger),
        _part_of_key("quarter", sa.BigInteger),
        _big("calls", None),
        _big("tokens", None),
        _big("cost", None),
        _big("list_cost", None),
        sqlite_with_rowid=False,
    )
    for noun in ("key", "user", "group", "account"):
        # 900000 ms are a quarter of an hour.
        op.execute(
            "INSERT INTO spending (noun, noun_id, quarter, calls, tokens, cost, list_cost) "  # noqa: S608  names of ours
            f"SELECT '{noun}', {noun}_id, started_at / 900000 * 900000, COUNT(*), "
            f"SUM({_all_tokens()}), COALESCE(SUM(cost), 0), COALESCE(SUM(list_cost), 0) "
            f"FROM usage WHERE {noun}_id IS NOT NULL "
            f"GROUP BY {noun}_id, started_at / 900000 * 900000"
        )


def _all_tokens() -> str:
    """Return the sum of a usage row's tokens: its columns, and the classes only `details` has."""
    member = (
        "COALESCE((CAST(details AS jsonb) ->> '{0}')::bigint, 0)"
        if op.get_context().dialect.name == "postgresql"
        else "COALESCE(json_extract(details, '$.{0}'), 0)"
    )
    rare = ("input_audio", "input_image", "output_audio", "output_image")
    return (
        "input_tokens + output_tokens + cache_read_tokens + cache_creation_tokens "
        "+ cache_creation_long_tokens + CASE WHEN details = '{}' THEN 0 ELSE "
        f"{' + '.join(member.format(each) for each in rare)} END"
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", _ID, primary_key=True),
        _text("call_id"),
        _count("position", None),
        _big("account_id", None),
        _text("cause"),
        _maybe("status", sa.Integer),
        _big("started_at", None),
        _big("input_tokens"),
        _big("output_tokens"),
        _big("cache_read_tokens"),
        _big("cache_creation_tokens"),
        _big("cache_creation_long_tokens"),
        _maybe("list_cost", sa.BigInteger),
        sa.UniqueConstraint("call_id", "position"),
    )
    op.create_index("ix_attempts_account_id_started_at", "attempts", ["account_id", "started_at"])


def _create_error_rules() -> None:
    op.create_table(
        "error_rules",
        sa.Column("id", _ID, primary_key=True),
        _text("name"),
        _count("priority", "100"),
        _flag("enabled", sa.true()),
        _text("statuses", "[]"),
        _text("keywords", "[]"),
        _text("match", "any"),
        _text("platforms", "[]"),
        _maybe("status", sa.Integer),
        _maybe("message", sa.Text),
        sa.UniqueConstraint("name"),
    )


_WATCHED = {
    "users": "id email role status concurrency limits created_at deleted_at",
    "groups": "id name platform description rate_multiplier status disconnect concurrency limits "
    "model_routes first_byte_timeout created_at deleted_at",
    "accounts": "id name platform type credentials_sealed base_url model_mapping proxy_id "
    "concurrency priority status schedulable error_message expires_at notes limits max_sessions "
    "session_idle_minutes window_cost_limit window_cost_reserve rest_rules custom_error_codes "
    "adaptive_concurrency cleared_at created_at deleted_at",
    "api_keys": "id user_id name key_hash key_sealed hint status concurrency ip_allow ip_deny "
    "limits quota expires_at created_at deleted_at",
    "error_rules": "id name priority enabled statuses keywords match platforms status message",
}
"""Table -> columns whose changes are configuration, where that differs from m0001."""
