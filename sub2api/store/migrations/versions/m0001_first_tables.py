"""m0001: the first tables, the configuration stamp and the append-only ledger."""

# A copy of tables.py, not an import: this must still mean the same when tables.py has moved on.

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from sub2api.store.migrations import triggers

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LIVE = "deleted_at IS NULL"


def upgrade() -> None:
    _create_users()
    _create_upstream()
    _create_api_keys()
    op.create_table("usage", *_usage_call(), *_usage_outcome())
    _index_usage()
    _create_ledger()
    _create_price_overrides()
    _create_options_and_bindings()
    _create_stamp()


def _id() -> sa.Column[Any]:
    return sa.Column("id", _ID, primary_key=True)


def _text(name: str, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def _count(name: str, default: str = "0") -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=default)


def _big(name: str, default: str | None = "0") -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=default)


def _moment(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _maybe(name: str, type_: type[sa.types.TypeEngine[Any]]) -> sa.Column[Any]:
    return sa.Column(name, type_)


def _unique_live(table: str, columns: list[str], where: str = _LIVE) -> None:
    op.create_index(
        f"uq_{table}_{columns[-1]}_live",
        table,
        columns,
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def _create_users() -> None:
    op.create_table(
        "users",
        _id(),
        _text("email"),
        _text("role", "user"),
        _text("status", "active"),
        _count("concurrency"),
        _big("balance"),
        _moment("created_at"),
        _maybe("deleted_at", sa.BigInteger),
    )
    _unique_live("users", ["email"])
    if op.get_context().dialect.name == "postgresql":
        # Simple mode's owner is inserted as 1, which the sequence would not notice.
        op.execute("ALTER SEQUENCE users_id_seq RESTART WITH 2")


def _create_upstream() -> None:
    op.create_table(
        "proxies",
        _id(),
        _text("name"),
        _text("protocol"),
        _text("host"),
        sa.Column("port", sa.Integer, nullable=False),
        _maybe("username", sa.Text),
        _maybe("password_sealed", sa.Text),
        _text("status", "active"),
        _maybe("deleted_at", sa.BigInteger),
    )
    _unique_live("proxies", ["name"])
    op.create_table(
        "groups",
        _id(),
        _text("name"),
        _text("platform"),
        _maybe("description", sa.Text),
        _text("rate_multiplier", "1"),
        _text("status", "active"),
        _maybe("disconnect", sa.Text),
        _moment("created_at"),
        _maybe("deleted_at", sa.BigInteger),
    )
    _unique_live("groups", ["name"])
    _create_accounts()


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        _id(),
        _text("name"),
        _text("platform"),
        _text("type", "apikey"),
        _text("credentials_sealed", ""),
        _text("base_url", ""),
        _text("model_mapping", "{}"),
        sa.Column("proxy_id", _ID, sa.ForeignKey("proxies.id")),
        _count("concurrency"),
        _count("priority", "50"),
        _text("status", "active"),
        sa.Column("schedulable", sa.Boolean, nullable=False, server_default=sa.true()),
        _maybe("error_message", sa.Text),
        _maybe("expires_at", sa.BigInteger),
        _maybe("last_used_at", sa.BigInteger),
        _maybe("notes", sa.Text),
        _moment("created_at"),
        _maybe("deleted_at", sa.BigInteger),
    )
    op.create_index("ix_accounts_proxy_id", "accounts", ["proxy_id"])
    _unique_live("accounts", ["name"])
    op.create_table(
        "account_groups",
        sa.Column("account_id", _ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("group_id", _ID, sa.ForeignKey("groups.id"), primary_key=True),
    )
    op.create_index("ix_account_groups_group_id", "account_groups", ["group_id"])


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        _id(),
        sa.Column("user_id", _ID, sa.ForeignKey("users.id"), nullable=False),
        _text("name"),
        _text("key_hash"),
        _text("key_sealed", ""),
        _text("hint", ""),
        _text("status", "active"),
        _count("concurrency"),
        _text("ip_allow", "[]"),
        _text("ip_deny", "[]"),
        _maybe("expires_at", sa.BigInteger),
        _maybe("last_used_at", sa.BigInteger),
        _moment("created_at"),
        _maybe("deleted_at", sa.BigInteger),
        sa.UniqueConstraint("key_hash"),
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"])
    _unique_live("api_keys", ["user_id", "name"], f"{_LIVE} AND status <> 'revoked'")
    op.create_table(
        "key_groups",
        sa.Column("key_id", _ID, sa.ForeignKey("api_keys.id"), primary_key=True),
        sa.Column("group_id", _ID, sa.ForeignKey("groups.id"), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.create_index("ix_key_groups_group_id", "key_groups", ["group_id"])


def _usage_call() -> list[Any]:
    return [
        _id(),
        _text("call_id"),
        _big("user_id", None),
        _big("key_id", None),
        _text("key_name"),
        _maybe("account_id", sa.BigInteger),
        _text("account_name", ""),
        _maybe("group_id", sa.BigInteger),
        _text("platform", ""),
        _text("wire"),
        _text("operation"),
        _text("model"),
        _text("upstream_model", ""),
        sa.Column("stream", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.UniqueConstraint("call_id"),
    ]


def _usage_outcome() -> list[Any]:
    return [
        _big("input_tokens"),
        _big("output_tokens"),
        _big("cache_read_tokens"),
        _big("cache_creation_tokens"),
        _big("cache_creation_long_tokens"),
        _text("details", "{}"),
        _text("received", "{}"),
        _maybe("cost", sa.BigInteger),
        _maybe("list_cost", sa.BigInteger),
        _big("charged"),
        _text("multiplier", "1"),
        _text("pricing", "{}"),
        _count("status", "200"),
        _text("error", ""),
        _text("settled_by", "observed"),
        sa.Column("truncated", sa.Boolean, nullable=False, server_default=sa.false()),
        _count("attempts", "1"),
        _text("upstream_request_id", ""),
        _moment("started_at"),
        _big("duration_ms"),
        _maybe("first_token_ms", sa.BigInteger),
        _text("client_ip", ""),
        _text("user_agent", ""),
    ]


def _index_usage() -> None:
    op.create_index("ix_usage_started_at", "usage", ["started_at"])
    for noun in ("key_id", "user_id", "account_id", "model"):
        op.create_index(f"ix_usage_{noun}_started_at", "usage", [noun, "started_at"])


def _create_ledger() -> None:
    op.create_table(
        "ledger_entries",
        _id(),
        _maybe("call_id", sa.Text),
        _big("user_id", None),
        _maybe("key_id", sa.BigInteger),
        _text("kind"),
        _big("amount", None),
        _big("balance_after", None),
        _text("actor", ""),
        _text("reference", ""),
        _maybe("idempotency_key", sa.Text),
        _text("note", ""),
        _moment("created_at"),
        sa.UniqueConstraint("call_id"),
        sa.UniqueConstraint("idempotency_key"),
    )
    op.create_index(
        "ix_ledger_entries_user_id_created_at", "ledger_entries", ["user_id", "created_at"]
    )
    triggers.make_append_only("ledger_entries")


def _create_price_overrides() -> None:
    op.create_table(
        "price_overrides",
        _id(),
        _text("model"),
        _text("prices"),
        _moment("valid_from"),
        _maybe("valid_until", sa.BigInteger),
        _moment("created_at"),
    )


def _create_options_and_bindings() -> None:
    options = op.create_table(
        "options",
        sa.Column("key", sa.Text, primary_key=True),
        _text("value"),
    )
    # The oldest release that may run on this schema; a JSON text, like every option.
    op.bulk_insert(options, [{"key": "schema.minimum_release", "value": '"0.1.0"'}])
    op.create_table(
        "bindings",
        sa.Column("key_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("bound_id", sa.Text, primary_key=True),
        _big("account_id", None),
        _moment("expires_at"),
    )
    op.create_index("ix_bindings_expires_at", "bindings", ["expires_at"])
    op.create_index("ix_bindings_bound_id", "bindings", ["bound_id"])


def _create_stamp() -> None:
    stamp = op.create_table(
        "config_stamp",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        _big("stamp", None),
    )
    op.bulk_insert(stamp, [{"id": 1, "stamp": 1}])
    for table, columns in _WATCHED.items():
        triggers.watch(table, columns.split())


_WATCHED = {
    "users": "id email role status concurrency created_at deleted_at",
    "proxies": "id name protocol host port username password_sealed status deleted_at",
    "groups": "id name platform description rate_multiplier status disconnect created_at "
    "deleted_at",
    "accounts": "id name platform type credentials_sealed base_url model_mapping proxy_id "
    "concurrency priority status schedulable error_message expires_at notes created_at "
    "deleted_at",
    "account_groups": "account_id group_id",
    "api_keys": "id user_id name key_hash key_sealed hint status concurrency ip_allow ip_deny "
    "expires_at created_at deleted_at",
    "key_groups": "key_id group_id position",
    "price_overrides": "id model prices valid_from valid_until created_at",
    "options": "key value",
}
"""Table -> columns whose changes are configuration: all but balances and last-used moments."""
