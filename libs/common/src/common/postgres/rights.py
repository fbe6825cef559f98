"""What the account that a service runs as may do in its database: what is said here and in the service's own ``rights``, and no more.

The owner migrates, and gives these rights afterwards. The account that serves owns nothing, makes and drops no table, and can neither
change nor delete a record of the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import structlog

from common.errors import ConfigurationError

_log = structlog.get_logger(__name__)

# What the account has been given, not all there is: what an administrator keeps in the schema (an extension's functions
# that are not everybody's) the migrating owner may not touch, and a day of deliveries may go at this very moment.
_HELD = """
SELECT format(
    'REVOKE ALL ON %s %s FROM %I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass, r.rolname
) AS revoke
FROM pg_roles AS r, pg_class AS c
WHERE r.rolname = $1 AND c.relnamespace = 'public'::regnamespace AND (
    EXISTS (SELECT FROM aclexplode(c.relacl) AS a WHERE a.grantee = r.oid)
    OR EXISTS (SELECT FROM pg_attribute AS t, aclexplode(t.attacl) AS a WHERE t.attrelid = c.oid AND a.grantee = r.oid)
)
UNION ALL
SELECT format('REVOKE ALL ON ROUTINE %s FROM %I', p.oid::regprocedure, r.rolname)
FROM pg_roles AS r, pg_proc AS p
WHERE r.rolname = $1 AND p.pronamespace = 'public'::regnamespace
  AND EXISTS (SELECT FROM aclexplode(p.proacl) AS a WHERE a.grantee = r.oid)
"""

READ = "SELECT"
APPEND = "SELECT, INSERT"
CHANGE = "SELECT, INSERT, UPDATE"
REMOVE = "SELECT, INSERT, DELETE"
EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"


@dataclass(frozen=True, slots=True)
class Rights:
    """``tables``: what may be done with each table and view. ``functions``: those that are not everybody's and may be called.
    ``sequences``: those that numbers are taken of by name; a column's own needs no right.

    A right goes away a release after its last use: the release before runs on.
    """

    tables: Mapping[str, str]
    functions: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()

    @property
    def measured(self) -> tuple[str, ...]:
        """The tables that say how large they are: all but the one of the sizes, and dbmate's own."""
        return tuple(sorted(self.tables.keys() - {"schema_migrations", "table_size"}))


PLATFORM = Rights(
    {
        "audit_chain": READ,
        # Neither the number nor the time of a record is the writer's to say.
        "audit_log": "SELECT, INSERT (actor, role, action, target, reason, before, after, request_id)",
        "audit_unsealed": READ,
        "bulk_plans": EVERYTHING,
        "check_verdicts": CHANGE,
        "dead_letters": EVERYTHING,
        "delivery_failures": EVERYTHING,
        "idempotency_keys": EVERYTHING,
        "inbox": REMOVE,
        "outbox": REMOVE,
        "schema_migrations": READ,
    },
    ("forget_audit(timestamptz, integer)", "seal_audit(integer)"),
)
"""Of the tables that every service has."""


def rights_of(package: str) -> Rights:
    """Return what the account of a service may do: the platform's rights and those that its package names."""
    own: Rights = import_module(f"{package}.rights").RIGHTS
    return Rights({**PLATFORM.tables, **own.tables}, (*PLATFORM.functions, *own.functions), own.sequences)


def account_of(dsn: str) -> str:
    """Return the name of the account in an address. Raises ``ConfigurationError`` when it names none."""
    parts = urlsplit(dsn)
    named = parts.username or next(iter(parse_qs(parts.query).get("user", ())), "")
    if not named:
        raise ConfigurationError("the address of the database that the service runs on names no account")
    return unquote(named)


async def grant(connection: asyncpg.Connection[asyncpg.Record], role: str, rights: Rights) -> None:
    """Give the role exactly these rights, as their owner; what it had besides is taken away. All at once: nobody sees it with fewer.

    Raises ``ConfigurationError`` when there is no such role.
    """
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        raise ConfigurationError(f"the database has no account {role!r} to give rights to: create it")
    who = _name(role)
    database = _name(await connection.fetchval("SELECT current_database()"))
    async with connection.transaction():
        await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {who}")
        await connection.execute(f"GRANT USAGE ON SCHEMA public TO {who}")
        for row in await connection.fetch(_HELD, role):
            await connection.execute(row["revoke"])
        for table, may in rights.tables.items():
            await connection.execute(f"GRANT {may} ON {_name(table)} TO {who}")
        for sequence in rights.sequences:
            await connection.execute(f"GRANT USAGE ON SEQUENCE {_name(sequence)} TO {who}")
        for function in rights.functions:
            await connection.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {who}")
    if await connection.fetchval("SELECT has_schema_privilege($1, 'public', 'CREATE')", role):
        # PostgreSQL 14 gave this to everybody, and only its superuser can take it back.
        _log.warning("account_may_create_tables", account=role)


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
