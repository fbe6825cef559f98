"""PostgreSQL: the pool, transactions, migrations, and the tables that every service has."""

from common.newer import member
from common.postgres.pool import (
    SERVER_UNAVAILABLE,
    Connection,
    Database,
    DatabaseAway,
    DatabaseNotTrusted,
    Lent,
    Record,
    is_retryable,
    is_transient,
    prepare_connection,
    undone,
)
from common.postgres.schema import migrate, require_schema, required_versions

__all__ = [
    "SERVER_UNAVAILABLE",
    "Connection",
    "Database",
    "DatabaseAway",
    "DatabaseNotTrusted",
    "Lent",
    "Record",
    "is_retryable",
    "is_transient",
    "member",
    "migrate",
    "prepare_connection",
    "require_schema",
    "required_versions",
    "undone",
]
