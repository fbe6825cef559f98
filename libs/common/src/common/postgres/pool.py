"""The pool, and transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

import asyncpg
import orjson
import structlog

from common.errors import ConfigurationError, NotTrusted, SuiteError, Unavailable
from common.postgres.hosts import Hosts
from common.postgres.tls import complaint_of

if TYPE_CHECKING:
    Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"
    Record: TypeAlias = asyncpg.Record
    _Base: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = Any
    Record = Any
    _Base = asyncpg.Connection

_log = structlog.get_logger(__name__)
_CONNECT_TIMEOUT_S = 5.0

SERVER_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, crashed, starting, cancelled by somebody, a session timed out
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.PostgresSystemError,  # the server's own input and output failed
    asyncpg.ReadOnlySQLTransactionError,  # a fail-over left us at what is a standby now
    asyncpg.InternalClientError,  # asyncpg lost count of a connection that was ended while it spoke
)
"""What is raised when the server is away, restarting, failing over or out of something. Trying again later can help."""


REPEATABLE = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,  # a migration ran; asyncpg has forgotten the statement when it raises this
    asyncpg.OutdatedSchemaCacheError,
)
"""What a transaction may be raised out of only because of its neighbours: the same transaction again can succeed."""

_NUMBERED_BY_HAND = 10_000
"""Types below have their numbers from PostgreSQL's own source and never another (its ``FirstGenbkiObjectId``)."""
_NOTHING_ASKED = SimpleNamespace(name="a statement that the server need not forget")
_OF_CONNECTIONS = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_SESSION = {
    "timezone": "UTC",
    # A client that vanished, or hangs, inside a transaction keeps its locks no longer than this. By default it is for hours.
    "idle_in_transaction_session_timeout": "60000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


class DatabaseAway(Unavailable):
    """No connection to the database can be had."""


class DatabaseNotTrusted(DatabaseAway, NotTrusted):
    """No connection to the database can be had over TLS as its address asks for it."""


def is_transient(error: BaseException) -> bool:
    """Return whether the same work may succeed when tried again: the server was away, or a neighbour was in the way.

    Of errors that PostgreSQL, the network or the clock raise; for the suite's own see ``is_retryable``. asyncpg says
    ``InterfaceError`` both for a connection that has gone and for a wrong use of it; only the first is transient.
    """
    if isinstance(error, asyncpg.InterfaceError):
        gone = "closed" in str(error) or "closing" in str(error)
        return gone or isinstance(error.__context__, asyncpg.InternalClientError)
    return isinstance(error, (*SERVER_UNAVAILABLE, *REPEATABLE))


def is_retryable(error: BaseException) -> bool:
    """Return whether doing the same again later can help: what raised it says so, or it is transient."""
    return error.retryable if isinstance(error, SuiteError) else is_transient(error)


class Database:
    """One database of one service, on one server or on several of which one takes writes (``postgresql://…@one:5432,two:5432/…``).

    Connections are made when they are first needed, so a service starts while PostgreSQL is away and says so on ``/readyz``.
    ``jsonb`` columns are read and written as Python objects; ``orjson`` does the work. Every statement has a time limit.
    A connection goes back into the pool as it is, an open transaction rolled back: putting it into its first state costs a round trip
    each time, more than many a statement. So nothing of a session (settings, locks, cursors, subscriptions) may be left on one: that
    is what ``session`` is for. Safe for concurrent use within one event loop.
    """

    def __init__(
        self, dsn: str, *, application_name: str, min_size: int = 0, max_size: int = 10, command_timeout: float = 30.0
    ) -> None:
        self._dsn = dsn
        self._hosts = Hosts(dsn)
        self._min_size = min_size
        self._max_size = max_size
        self._options: dict[str, Any] = {
            "timeout": _CONNECT_TIMEOUT_S,
            "command_timeout": command_timeout,
            "connection_class": _PooledConnection,
            "server_settings": {"application_name": application_name, **_SESSION},
        }
        self._pool: asyncpg.Pool[Any] | None = None

    @property
    def dsn(self) -> str:
        """The address, with the password in it: never log it."""
        return self._dsn

    async def open(self) -> None:
        """Make the pool. Succeeds while the server is away."""
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=self._min_size,
            max_size=self._max_size,
            max_inactive_connection_lifetime=300.0,
            connect=cast("Any", self._hosts.connect),  # the stubs want every option by its name
            init=prepare_connection,
            **self._options,
        )

    async def close(self) -> None:
        """Close every connection; those still in use after five seconds are ended."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            async with asyncio.timeout(5.0):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    @asynccontextmanager
    async def acquire(self, *, timeout: float = 5.0) -> AsyncIterator[Connection]:
        """Lend a connection, each statement its own transaction.

        Raises ``DatabaseAway`` (an ``Unavailable``) when no connection can be had within ``timeout`` seconds, for whatever reason:
        the server is away, refuses us, or all connections are lent. What the block raises comes through unchanged.
        """
        pool = self._pool
        if pool is None:
            raise DatabaseAway("the database is closed")
        try:
            connection = await pool.acquire(timeout=timeout)
        except Exception as error:
            raise _unavailable(error) from error
        try:
            yield connection
        except asyncpg.ReadOnlySQLTransactionError:
            # The server behind this address has changed its part; connections made from now on reach the new one.
            await pool.expire_connections()
            raise
        except asyncpg.InternalClientError:
            connection.terminate()  # what state it is in nobody knows
            raise
        finally:
            await _give_back(pool, connection)

    @asynccontextmanager
    async def transaction(self, *, timeout: float = 5.0) -> AsyncIterator[Connection]:
        """Lend a connection inside a READ COMMITTED transaction: committed at the end of the block, rolled back on any exception.

        Whoever loses the connection during the commit does not know whether it happened: the work inside must be safe to repeat.
        Raises ``InFailedSQLTransactionError`` when a statement had failed and the block went on as if it had not.
        """
        async with self.acquire(timeout=timeout) as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """Open a connection outside the pool and end it after the block: for locks, settings and subscriptions of a session.

        Raises ``DatabaseAway`` like ``acquire``.
        """
        try:
            connection = await self._hosts.connect(**self._options)
        except Exception as error:
            raise _unavailable(error) from error
        try:
            await prepare_connection(connection)
            yield connection
        finally:
            try:
                await connection.close(timeout=2.0)
            except (asyncpg.PostgresError, *_OF_CONNECTIONS) as error:
                _log.debug("database_close_failed", reason=type(error).__name__)

    async def check(self) -> None:
        """Readiness: one round trip. Raises when the database does not answer."""
        async with self.acquire(timeout=2.0) as connection:
            await connection.fetchval("SELECT 1", timeout=2.0)


class Lent:
    """One connection in place of a database: whoever acquires works in the transaction that it is in. Not for concurrent use."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Give the connection, which stays its owner's."""
        yield self._connection


@asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[None]:
    """Undo at the end of the block all that it wrote in the caller's transaction, which goes on also where a statement had failed.

    Leaves no level open, as asyncpg's own nested transaction does when it is rolled back. Not for a connection outside a transaction.
    """
    await connection.execute("SAVEPOINT undone")
    try:
        yield
    finally:
        await connection.execute("ROLLBACK TO SAVEPOINT undone; RELEASE SAVEPOINT undone")


class _PooledConnection(_Base):
    """Raises where PostgreSQL answers COMMIT with a quiet ROLLBACK, because a statement of the transaction had failed.

    asyncpg takes that answer for a commit. A consumer would acknowledge an event whose effect is gone.

    Asks once in a process, and not once a connection, how the server's own arrays are made: the answer is always the same, and each
    question costs the server some milliseconds, five times over before a new connection knows what ours need.
    """

    _types: ClassVar[dict[frozenset[int], Any]] = {}

    def get_reset_query(self) -> str:
        """Nothing is run when it goes back into the pool (see ``Database``)."""
        return ""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Run a statement as asyncpg does, and look at the answer to a COMMIT."""
        status: str = await super().execute(query, *args, timeout=timeout)
        if status == "ROLLBACK" and query.startswith("COMMIT"):
            raise asyncpg.InFailedSQLTransactionError(
                "the transaction was rolled back: one of its statements had failed"
            )
        return status

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> tuple[Any, Any]:
        asked = frozenset(typeoids)
        if (known := self._types.get(asked)) is not None:
            return known, _NOTHING_ASKED
        rows, statement = await super()._introspect_types(typeoids, timeout)  # type: ignore[misc]  # the stubs have no inner methods
        if max(asked) < _NUMBERED_BY_HAND:
            self._types[asked] = rows
        return rows, statement


async def prepare_connection(connection: Connection) -> None:
    """Teach a fresh connection to speak jsonb as Python objects (through the binary format, version byte 1)."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_decode_jsonb
    )


def _unavailable(error: Exception) -> Exception:
    if isinstance(error, asyncpg.ClientConfigurationError):
        return ConfigurationError("the address of the database cannot be understood")
    complaint = complaint_of(error)
    if complaint is not None:
        return DatabaseNotTrusted(f"the database: {complaint}")
    if isinstance(error, (asyncpg.PostgresError, *_OF_CONNECTIONS)):
        return DatabaseAway(f"the database does not answer ({type(error).__name__})")
    return error


async def _give_back(pool: asyncpg.Pool[Any], connection: Any) -> None:
    try:
        # Shielded by asyncpg itself. A connection that died or does not answer is thrown away there, and its user does not learn of it:
        # what was committed is committed.
        await pool.release(connection, timeout=5.0)
    except (asyncpg.PostgresError, *_OF_CONNECTIONS) as error:
        _log.debug("database_release_failed", reason=type(error).__name__)


def _encode_jsonb(value: object) -> bytes:
    return b"\x01" + orjson.dumps(value)


def _decode_jsonb(value: bytes) -> Any:
    return orjson.loads(value[1:])
