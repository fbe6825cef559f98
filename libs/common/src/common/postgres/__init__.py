"""PostgreSQL: the pool, transactions, migrations, and the tables that every service has."""

from common.postgres.migrations import migrate, require_schema, required_versions
from common.postgres.pool import (
    AWAY,
    Connection,
    Database,
    DatabaseAway,
    Record,
    is_retryable,
    is_transient,
    prepare_connection,
    worth_repeating,
)

__all__ = [
    "AWAY",
    "Connection",
    "Database",
    "DatabaseAway",
    "Record",
    "is_retryable",
    "is_transient",
    "migrate",
    "prepare_connection",
    "require_schema",
    "required_versions",
    "worth_repeating",
]
