"""SQLAlchemy's engine on Postgres as we use it: nothing outlives a transaction, errors are ours.

A pooler such as PgBouncer may give every transaction another server connection. So no statement is
prepared under a name, nothing is set for a session, and whatever a transaction needs (schema, time
limits, locks) is set within it, in the same message that begins it: that costs no round trip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from sqlalchemy import Connection, event, exc
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from sub2api.errors import SettingsError, StoreError, Sub2APIError
from sub2api.store.engine import parsed

CONNECT_SECONDS = 10.0
_OLDEST = 15
_ROLLBACK_SECONDS = 5.0
_IDLE_SECONDS = 60.0
"""How long a transaction may do nothing: a process that hangs must not keep others waiting."""
_OF_VALUES = ("21", "22", "23", "44", "54")
"""Classes of SQLSTATE that tell of the values: cardinality, data, constraints, limits."""

registry.register("postgresql.sub2api", __name__, "PooledDialect")


class PooledDialect(PGDialect_asyncpg):
    """asyncpg's dialect, without anything that a transaction pooler would break.

    A transaction begins with what the connection's `info` holds as `opening`.
    """

    supports_statement_cache = True

    def initialize(self, connection: Connection) -> None:
        """Ask the server what it is, in one transaction (the caller rolls it back)."""
        _run(connection.connection, lambda driver: driver.execute("BEGIN"))
        super().initialize(connection)  # type: ignore[no-untyped-call]  # it has no types

    def on_connect(self) -> Callable[[Any], None]:
        """Leave transactions to us. Without JSON columns there is nothing else to set up."""
        return lambda connection: connection.set_isolation_level("autocommit")

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Begin, and set all that the transaction needs, in one message."""
        opening = dbapi_connection.info["opening"]
        _run(dbapi_connection, lambda driver: driver.execute(opening))

    def do_commit(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Commit. Raises StoreError when the server rolled back instead."""
        if _run(dbapi_connection, lambda driver: driver.execute("COMMIT")) != "COMMIT":
            # A statement failed, and whoever caught that error went on as if nothing were wrong.
            raise StoreError("a statement failed, so nothing was saved", transient=True)

    def do_rollback(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Roll back what is open; a connection that cannot is ended, which does the same."""
        _run(dbapi_connection, _rolled_back)


def engine_for(
    url: str, *, command_seconds: float | None = None, **pool_arguments: Any
) -> AsyncEngine:
    """Return an engine on the database that a `postgresql://` URL names.

    `command_seconds` bounds what the server's own limits cannot: a server that does not answer.
    Begin transactions on `engine.execution_options(opening=...)`, see `opening`.
    """

    async def connect(*_: Any, **__: Any) -> asyncpg.Connection:
        return await _connected(url, command_seconds)

    engine = create_async_engine(
        "postgresql+sub2api://",
        hide_parameters=True,
        connect_args={"async_creator_fn": connect, "prepared_statement_cache_size": 0},
        **pool_arguments,
    )
    event.listen(engine.sync_engine, "begin", _remember_opening)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    event.listen(engine.sync_engine, "handle_error", _handle_error)
    return engine


def opening(
    schema: str,
    *,
    mode: str = "",
    statement_seconds: float = 0.0,
    lock_seconds: float = 0.0,
    idle_seconds: float = _IDLE_SECONDS,
) -> str:
    """Return what begins a transaction: its mode, where tables are, and its limits (0 is none)."""
    return "; ".join(
        [
            f"BEGIN {mode}".strip(),
            f"SET LOCAL search_path TO {quoted(schema)}",
            f"SET LOCAL statement_timeout TO {round(statement_seconds * 1000)}",
            lock_timeout(lock_seconds),
            f"SET LOCAL idle_in_transaction_session_timeout TO {round(idle_seconds * 1000)}",
        ]
    )


def lock_timeout(seconds: float) -> str:
    """Return the statement that bounds the wait for a lock in this transaction; 0 is no bound."""
    return f"SET LOCAL lock_timeout TO {round(seconds * 1000)}"


def lock(schema: str, purpose: str) -> str:
    """Return the statement that takes a lock of this schema's until the transaction's end."""
    digest = hashlib.sha256(f"sub2api {purpose} {schema}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    return f"SELECT pg_advisory_xact_lock({number})"


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def store_error(error: BaseException | None) -> StoreError | None:
    """Return what a failed statement or connection means, without its data; None for our own."""
    if not isinstance(error, Exception) or isinstance(error, Sub2APIError):
        return None
    # SQLAlchemy's own errors stand before those of the driver.
    if not _of_driver(error) and _of_driver(error.__cause__):
        return store_error(error.__cause__)
    if isinstance(error, OSError):  # TimeoutError is one
        return StoreError(f"the database is away: {str(error) or 'no answer'}", transient=True)
    told, transient = _judged(error)
    return StoreError(f"the database refused: {told}", transient=transient)


def _judged(error: Exception) -> tuple[str, bool]:
    """Return what to say of an error, and whether the same statement may work later."""
    name = type(error).__name__
    if isinstance(error, asyncpg.PostgresError):
        state = str(error.sqlstate)
        # Only complaints about data repeat it.
        told = name if state.startswith("22") else f"{name}: {error.args[0]}"
        return told, not state.startswith(_OF_VALUES)
    # A ValueError of the driver's is a parameter of no use, which its message shows.
    if _of_driver(error) and not isinstance(error, ValueError):
        return str(error), True
    return name, False


def is_in_the_way(error: BaseException | None) -> bool:
    """Whether a StoreError tells of a lock that others hold: the same may work in a moment."""
    while error is not None:
        if isinstance(error, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError):
            return True
        error = error.__cause__
    return False


def _of_driver(error: BaseException | None) -> bool:
    kinds = asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError | OSError
    return isinstance(error, kinds)


async def _connected(url: str, command_seconds: float | None) -> asyncpg.Connection:
    """Connect. Raises StoreError, or SettingsError for a server or settings of no use."""
    dsn = parsed(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=command_seconds,
            statement_cache_size=0,
            server_settings={"application_name": "sub2api"},  # poolers let this one pass
        )
    except asyncpg.InterfaceError as error:
        raise SettingsError(f"the database's settings are of no use: {error}") from error
    except (asyncpg.PostgresError, OSError) as error:
        raise store_error(error) or error from error
    version = connection.get_server_version().major
    if version < _OLDEST:
        await connection.close()
        raise SettingsError(f"Postgres {version} is too old: {_OLDEST} or newer is needed")
    return connection


def _run(connection: Any, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Do something with asyncpg's own connection, from within SQLAlchemy's greenlet."""
    return getattr(connection, "dbapi_connection", connection).run_async(work)


async def _rolled_back(driver: asyncpg.Connection) -> None:
    if driver.is_closed() or not driver.is_in_transaction():
        return
    try:
        await driver.execute("ROLLBACK", timeout=_ROLLBACK_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        driver.terminate()


def _remember_opening(connection: Connection) -> None:
    connection.info["opening"] = connection.get_execution_options()["opening"]


def _refuse_closed(
    dbapi_connection: Any, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    # A server that went away has told so already: it costs nothing to look, unlike asking it.
    if dbapi_connection.driver_connection.is_closed():
        raise exc.DisconnectionError


def _handle_error(context: ExceptionContext) -> StoreError | None:
    return store_error(context.original_exception)
