"""Every table. Changing one needs a migration; a test compares the two.

Money is BIGINT nanodollars, moments are BIGINT milliseconds, JSON is TEXT. Users, API keys, groups,
accounts and proxies are deleted softly (`deleted_at`), so that usage rows keep their names; names
are unique among live rows. Usage and ledger hold plain ids and name snapshots, no foreign keys:
money facts outlive what they are about.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from sub2api.model.health import RestRule
from sub2api.model.limits import Limits
from sub2api.store.types import Duration, Identifier, JsonOf, JsonText, Moment, Share

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_LIVE = text("deleted_at IS NULL")
# A revoked key stays listed, but its name is free for its successor.
_NAMED_KEY = text("deleted_at IS NULL AND status <> 'revoked'")

users = Table(
    "users",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False, server_default="user"),
    Column("status", Text, nullable=False, server_default="active"),
    Column("concurrency", Integer, nullable=False, server_default="0"),
    Column("balance", BigInteger, nullable=False, server_default="0"),
    Column("limits", JsonOf(Limits), nullable=False, server_default="{}"),
    Column("created_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    Index("uq_users_email_live", "email", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
)

proxies = Table(
    "proxies",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("name", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("username", Text),
    Column("password_sealed", Text),
    Column("status", Text, nullable=False, server_default="active"),
    Column("deleted_at", Moment),
    Index("uq_proxies_name_live", "name", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
)

groups = Table(
    "groups",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("name", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("description", Text),
    # An exact decimal in text: SQLite would store NUMERIC as floating point.
    Column("rate_multiplier", Text, nullable=False, server_default="1"),
    Column("status", Text, nullable=False, server_default="active"),
    Column("disconnect", Text),
    Column("concurrency", Integer, nullable=False, server_default="0"),
    Column("limits", JsonOf(Limits), nullable=False, server_default="{}"),
    Column("model_routes", JsonOf(dict[str, tuple[int, ...]]), nullable=False, server_default="{}"),
    Column("first_byte_timeout", Duration),
    Column("created_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    Index("uq_groups_name_live", "name", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("name", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("type", Text, nullable=False, server_default="apikey"),
    # A sealed JSON object: {"api_key": ...} now, OAuth tokens beside it later. Emptied on deletion.
    Column("credentials_sealed", Text, nullable=False, server_default=""),
    Column("base_url", Text, nullable=False, server_default=""),
    Column("model_mapping", JsonText, nullable=False, server_default="{}"),
    Column("proxy_id", Identifier, ForeignKey("proxies.id"), index=True),
    Column("concurrency", Integer, nullable=False, server_default="0"),
    Column("priority", Integer, nullable=False, server_default="50"),
    Column("status", Text, nullable=False, server_default="active"),
    Column("schedulable", Boolean, nullable=False, server_default=true()),
    Column("error_message", Text),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("notes", Text),
    Column("limits", JsonOf(Limits), nullable=False, server_default="{}"),
    Column("max_sessions", Integer, nullable=False, server_default="0"),
    Column("session_idle_minutes", Integer, nullable=False, server_default="5"),
    Column("window_cost_limit", BigInteger, nullable=False, server_default="0"),
    Column("window_cost_reserve", BigInteger, nullable=False, server_default="10000000000"),
    Column("rest_rules", JsonOf(tuple[RestRule, ...]), nullable=False, server_default="[]"),
    # NULL means none configured, which is not the same as no status at all.
    Column("custom_error_codes", JsonOf(tuple[int, ...])),
    Column("adaptive_concurrency", Boolean, nullable=False, server_default=false()),
    Column("cleared_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    Index("uq_accounts_name_live", "name", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
)

account_groups = Table(
    "account_groups",
    metadata,
    Column("account_id", Identifier, ForeignKey("accounts.id"), primary_key=True),
    Column("group_id", Identifier, ForeignKey("groups.id"), primary_key=True, index=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    # SHA-256 of the key's text in hex. Unique among all rows: a deleted key never comes back.
    Column("key_hash", Text, nullable=False),
    Column("key_sealed", Text, nullable=False, server_default=""),
    Column("hint", Text, nullable=False, server_default=""),
    Column("status", Text, nullable=False, server_default="active"),
    Column("concurrency", Integer, nullable=False, server_default="0"),
    Column("ip_allow", JsonText, nullable=False, server_default="[]"),
    Column("ip_deny", JsonText, nullable=False, server_default="[]"),
    Column("limits", JsonOf(Limits), nullable=False, server_default="{}"),
    Column("quota", BigInteger, nullable=False, server_default="0"),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    UniqueConstraint("key_hash"),
    Index(
        "uq_api_keys_name_live",
        "user_id",
        "name",
        unique=True,
        sqlite_where=_NAMED_KEY,
        postgresql_where=_NAMED_KEY,
    ),
)

key_groups = Table(
    "key_groups",
    metadata,
    Column("key_id", Identifier, ForeignKey("api_keys.id"), primary_key=True),
    Column("group_id", Identifier, ForeignKey("groups.id"), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("key_id", BigInteger, nullable=False),
    Column("key_name", Text, nullable=False),
    Column("account_id", BigInteger),
    Column("account_name", Text, nullable=False, server_default=""),
    Column("group_id", BigInteger),
    Column("platform", Text, nullable=False, server_default=""),
    Column("wire", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("upstream_model", Text, nullable=False, server_default=""),
    Column("stream", Boolean, nullable=False, server_default=false()),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_read_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_creation_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_creation_long_tokens", BigInteger, nullable=False, server_default="0"),
    Column("details", JsonText, nullable=False, server_default="{}"),
    Column("received", JsonText, nullable=False, server_default="{}"),
    # NULL means that the price was unknown, which is not the same as 0.
    Column("cost", BigInteger),
    Column("list_cost", BigInteger),
    Column("charged", BigInteger, nullable=False, server_default="0"),
    Column("multiplier", Text, nullable=False, server_default="1"),
    Column("pricing", JsonText, nullable=False, server_default="{}"),
    Column("status", Integer, nullable=False, server_default="200"),
    Column("error", Text, nullable=False, server_default=""),
    Column("settled_by", Text, nullable=False, server_default="observed"),
    Column("truncated", Boolean, nullable=False, server_default=false()),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("upstream_request_id", Text, nullable=False, server_default=""),
    Column("started_at", Moment, nullable=False),
    Column("duration_ms", BigInteger, nullable=False, server_default="0"),
    Column("first_token_ms", BigInteger),
    Column("client_ip", Text, nullable=False, server_default=""),
    Column("user_agent", Text, nullable=False, server_default=""),
    UniqueConstraint("call_id"),
    Index("ix_usage_started_at", "started_at"),
    Index("ix_usage_key_id_started_at", "key_id", "started_at"),
    Index("ix_usage_user_id_started_at", "user_id", "started_at"),
    Index("ix_usage_account_id_started_at", "account_id", "started_at"),
    Index("ix_usage_model_started_at", "model", "started_at"),
)

# Append-only: triggers refuse UPDATE and DELETE. A balance is the sum of its entries.
ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("call_id", Text),
    Column("user_id", BigInteger, nullable=False),
    Column("key_id", BigInteger),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("actor", Text, nullable=False, server_default=""),
    Column("reference", Text, nullable=False, server_default=""),
    Column("idempotency_key", Text),
    Column("note", Text, nullable=False, server_default=""),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("call_id"),
    UniqueConstraint("idempotency_key"),
    Index("ix_ledger_entries_user_id_created_at", "user_id", "created_at"),
)

price_overrides = Table(
    "price_overrides",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("model", Text, nullable=False),
    # Price class -> whole nanodollars per million tokens.
    Column("prices", JsonText, nullable=False),
    Column("valid_from", Moment, nullable=False),
    Column("valid_until", Moment),
    Column("created_at", Moment, nullable=False),
)

options = Table(
    "options",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", JsonText, nullable=False),
)

# Which account issued a response, conversation or file id: only that account can honour it.
bindings = Table(
    "bindings",
    metadata,
    Column("key_id", BigInteger, primary_key=True, autoincrement=False),
    Column("bound_id", Text, primary_key=True, index=True),
    Column("account_id", BigInteger, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)

# An account's rests: of the account (model '') or one of its models. Not configuration.
account_rests = Table(
    "account_rests",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("model", Text, primary_key=True),
    Column("cause", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("failures", Integer, nullable=False, server_default="1"),
    Column("detail", Text, nullable=False, server_default=""),
)

# What vendors last said of their accounts' usage windows. Not configuration.
account_windows = Table(
    "account_windows",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("utilization", Share, nullable=False),
    Column("resets_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("status", Text, nullable=False, server_default=""),
)

# What usage rows sum up to per noun and quarter of an hour, written in their transaction.
spending = Table(
    "spending",
    metadata,
    Column("noun", Text, primary_key=True),
    Column("noun_id", BigInteger, primary_key=True, autoincrement=False),
    Column("quarter", Moment, primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("list_cost", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Attempts of calls that failed before the one that the usage row tells of.
attempts = Table(
    "attempts",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
    Column("status", Integer),
    Column("started_at", Moment, nullable=False),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_read_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_creation_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_creation_long_tokens", BigInteger, nullable=False, server_default="0"),
    Column("list_cost", BigInteger),
    UniqueConstraint("call_id", "position"),
    Index("ix_attempts_account_id_started_at", "account_id", "started_at"),
)

error_rules = Table(
    "error_rules",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("name", Text, nullable=False),
    Column("priority", Integer, nullable=False, server_default="100"),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("statuses", JsonOf(tuple[int, ...]), nullable=False, server_default="[]"),
    Column("keywords", JsonOf(tuple[str, ...]), nullable=False, server_default="[]"),
    Column("match", Text, nullable=False, server_default="any"),
    Column("platforms", JsonOf(tuple[str, ...]), nullable=False, server_default="[]"),
    Column("status", Integer),
    Column("message", Text),
    UniqueConstraint("name"),
)

# One row. Triggers add 1 whenever configuration changes; caches compare it.
config_stamp = Table(
    "config_stamp",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("stamp", BigInteger, nullable=False),
)

CONFIGURATION: tuple[Table, ...] = (
    users,
    proxies,
    groups,
    accounts,
    account_groups,
    api_keys,
    key_groups,
    price_overrides,
    options,
    error_rules,
)
"""The tables whose changes move `config_stamp`."""

NOT_CONFIGURATION: dict[str, frozenset[str]] = {
    "users": frozenset({"balance"}),
    "accounts": frozenset({"last_used_at"}),
    "api_keys": frozenset({"last_used_at"}),
}
"""Their columns that change with every call, and so must not move it."""
