"""A database of its own for each test, cloned from a template that was migrated once."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from common.postgres.rights import rights_of
from common.postgres.schema import migrate, migration_directories

_TEMPLATE_LOCK = 0x74656D706C617465  # "template": one builder at a time, across processes


_PASSWORD = "served"


def as_served(dsn: str) -> str:
    """Return the address of a service's migrated database for the account that the service runs as, which owns nothing there."""
    parts = urlsplit(dsn)
    account = parts.path[1:].rpartition("_")[0]
    return urlunsplit(parts._replace(netloc=f"{account}:{_PASSWORD}@{parts.netloc.rpartition('@')[2]}"))


class TestDatabases:
    """Makes databases on one server. Safe from several processes at once (pytest-xdist).

    The template's name carries a digest of the migrations and rights, so that a changed one makes a new template.
    """

    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(self, admin_dsn: str) -> None:
        self._admin_dsn = admin_dsn
        self._made: set[str] = set()

    @asynccontextmanager
    async def empty(self, label: str = "empty") -> AsyncIterator[str]:
        """Give the address of an empty database; drop it afterwards, whoever is connected."""
        name = _unique(label)
        await self._execute(f'CREATE DATABASE "{name}"', copying=True)
        try:
            yield self.dsn_of(name)
        finally:
            await self._drop(name)

    @asynccontextmanager
    async def migrated(self, package: str) -> AsyncIterator[str]:
        """Give the address of a database with the schema of the service; drop it afterwards, whoever is connected."""
        template = await self._template(package)
        name = _unique(package)
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"', copying=True)
        try:
            yield self.dsn_of(name)
        finally:
            await self._drop(name)

    def dsn_of(self, database: str, *, user: str | None = None, password: str | None = None) -> str:
        """Return the address of a database on this server, for another user if one is given."""
        parts = urlsplit(self._admin_dsn)
        netloc = parts.netloc
        if user is not None:
            netloc = f"{user}:{quote(password or '', safe='')}@{netloc.rpartition('@')[2]}"
        return urlunsplit((parts.scheme, netloc, f"/{database}", parts.query, parts.fragment))

    async def _template(self, package: str) -> str:
        digest = hashlib.sha256()
        for directory in migration_directories(package):
            for file in sorted(directory.glob("*.sql")):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        digest.update(repr(rights_of(package)).encode())
        name = f"template_{package}_{digest.hexdigest()[:12]}"
        if name in self._made:
            return name
        connection = await asyncpg.connect(self._admin_dsn)
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _TEMPLATE_LOCK)
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate", name):
                await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                await connection.execute(f'CREATE DATABASE "{name}"')
                await self._account(connection, f"test_{package}")
                await migrate(self.dsn_of(name), package, serving=as_served(self.dsn_of(f"test_{package}_0")))
                # Marked last: a builder that died half-way leaves no template behind.
                await connection.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE true')
        finally:
            await connection.close()
        self._made.add(name)
        return name

    @staticmethod
    async def _account(connection: asyncpg.Connection[asyncpg.Record], name: str) -> None:
        if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name):
            if connection.get_server_version() >= (16,):
                # Else half of what connecting costs is the password.
                await connection.execute("SET scram_iterations = 1")
            await connection.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{_PASSWORD}'")

    async def _drop(self, name: str) -> None:
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _execute(self, statement: str, *, copying: bool = False) -> None:
        connection = await asyncpg.connect(self._admin_dsn)
        try:
            if copying and connection.get_server_version() >= (15,):
                # Since then PostgreSQL writes every block to its log by default, and that costs five times as much.
                statement += " STRATEGY file_copy"
            await connection.execute(statement)
        finally:
            await connection.close()


def _unique(label: str) -> str:
    return f"test_{label}_{uuid4().hex[:12]}"
