"""Databases and roles: each service's database has an owner, who migrates it, and a role that the service runs as; tips gets a role on
the orders database. And the broker's accounts, one a service.

Idempotent: an existing role gets the current password, an existing database is left as it is. Needs an account that may create both.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

from common.errors import ConfigurationError, Unavailable
from common.messaging.accounts import RIGHTS, definitions, import_into
from suite_local.catalogue import ORCHESTRATOR, SERVICES, TIPS
from suite_local.credentials import Credentials
from suite_local.errors import SuiteLocalError


def database_dsns(admin_dsn: str, credentials: Credentials) -> dict[str, str]:
    """Return the address of each service's own database for the role that it runs as, by service name."""
    return {
        service.name: _as(admin_dsn, service.role, _password(credentials, service.role), service.database)
        for service in SERVICES
        if service.database is not None
    }


def owner_dsns(admin_dsn: str, credentials: Credentials) -> dict[str, str]:
    """Return the same for the role that owns it: for migrations, and for nothing that serves."""
    return {
        service.name: _as(admin_dsn, service.owner, _password(credentials, service.owner), service.database)
        for service in SERVICES
        if service.database is not None and service.owner is not None
    }


def tips_dsn(admin_dsn: str, credentials: Credentials) -> str:
    """Return the orders database's address for the role that sees what tips may see."""
    if ORCHESTRATOR.database is None:
        raise AssertionError("the orchestrator has a database")
    return _as(admin_dsn, TIPS.role, _password(credentials, TIPS.role), ORCHESTRATOR.database)


def broker_urls(address: str, credentials: Credentials) -> dict[str, str]:
    """Return the broker's address for the account of each service that speaks with it, by service name."""
    vhost = _vhost(address)
    return {service: _as(address, service, credentials.get(f"broker-{service}"), vhost) for service in RIGHTS}


def provision_broker(api: str, address: str, credentials: Credentials) -> None:
    """Make the accounts, their rights, and the topology, which none of them may declare."""
    passwords = {service: credentials.get(f"broker-{service}") for service in RIGHTS}
    try:
        import_into(api, definitions(passwords, vhost=unquote(_vhost(address))))
    except (ConfigurationError, Unavailable) as error:
        raise SuiteLocalError(error.detail) from error


def _vhost(address: str) -> str:
    return urlsplit(address).path.removeprefix("/")


def provision(admin_dsn: str, credentials: Credentials) -> None:
    """Create what is missing. Before the migrations: they grant rights to the role `tips` by its name."""
    try:
        asyncio.run(_provision(admin_dsn, credentials))
    except asyncpg.InsufficientPrivilegeError as error:
        raise SuiteLocalError(f"the PostgreSQL account given may not create roles and databases: {error}") from error


async def _provision(admin_dsn: str, credentials: Credentials) -> None:
    connection = await asyncpg.connect(admin_dsn, timeout=10)
    try:
        roles = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        databases = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        for role in filter(None, (role for service in SERVICES for role in (service.owner, service.role))):
            verb = "ALTER" if role in roles else "CREATE"
            password = _password(credentials, role)
            await connection.execute(f"{verb} ROLE {_name(role)} LOGIN PASSWORD {_literal(password)}")
        for service in SERVICES:
            if service.database is None or service.owner is None:
                continue
            if service.database not in databases:
                # An account that is no superuser must be a member of the role whose database it creates.
                await connection.execute(f"GRANT {_name(service.owner)} TO CURRENT_USER")
                await connection.execute(f"CREATE DATABASE {_name(service.database)} OWNER {_name(service.owner)}")
            await connection.execute(f"REVOKE ALL ON DATABASE {_name(service.database)} FROM PUBLIC")
        if ORCHESTRATOR.database is not None:
            await connection.execute(f"GRANT CONNECT ON DATABASE {_name(ORCHESTRATOR.database)} TO {_name(TIPS.role)}")
            # It watches for snapshots that anybody holds. Without this it sees its own sessions alone; an account that is no
            # superuser may not grant it, and the suite works all the same.
            with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"GRANT pg_read_all_stats TO {_name(ORCHESTRATOR.role)}")
    finally:
        await connection.close()


def _password(credentials: Credentials, role: str) -> str:
    return credentials.get(f"database-{role}")


def _as(admin_dsn: str, user: str, password: str, database: str) -> str:
    parts = urlsplit(admin_dsn)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(
        parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{address}", path=f"/{database}")
    )


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
