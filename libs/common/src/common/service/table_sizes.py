"""How large a service's tables are, and how fast they grow, as metrics."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge

from common.postgres import Database
from common.postgres.rights import PLATFORM

PLATFORM_TABLES = PLATFORM.measured
"""The tables that every service's database has."""
_SIZES = """
SELECT r.name, coalesce(sum(pg_total_relation_size(coalesce(i.inhrelid, c.oid))), 0)::bigint AS bytes
FROM unnest($1::text[]) AS r (name)
JOIN pg_class AS c ON c.relname = r.name AND c.relnamespace = 'public'::regnamespace
LEFT JOIN pg_inherits AS i ON i.inhparent = c.oid
GROUP BY r.name
"""
# Today's size is kept once a day. A week's growth is that of the days there are, scaled: what seven days ago was, if it is known.
_GROWTH = """
WITH now AS (SELECT * FROM unnest($1::text[], $2::bigint[]) AS n (name, bytes)), noted AS (
    INSERT INTO table_size (day, name, bytes) SELECT (now() AT TIME ZONE 'UTC')::date, name, bytes FROM now ORDER BY name
    ON CONFLICT (day, name) DO UPDATE SET bytes = excluded.bytes
), old AS (
    DELETE FROM table_size WHERE day < (now() AT TIME ZONE 'UTC')::date - 400
)
SELECT n.name, coalesce((n.bytes - t.bytes) * 7.0 / ((now() AT TIME ZONE 'UTC')::date - t.day), 0)::float8 AS growth
FROM now AS n LEFT JOIN LATERAL (
    SELECT s.day, s.bytes FROM table_size AS s
    WHERE s.name = n.name AND s.day < (now() AT TIME ZONE 'UTC')::date AND s.day >= (now() AT TIME ZONE 'UTC')::date - 7
    ORDER BY s.day LIMIT 1
) AS t ON true
"""


class TableSizes:
    """Measures the named tables, with indexes and partitions. The service's database needs a table ``table_size``."""

    def __init__(self, registry: CollectorRegistry, tables: Sequence[str]) -> None:
        self._tables = list(tables)
        self._bytes = Gauge("database_table_bytes", "Size of a table with its indexes", ["table"], registry=registry)
        self._growth = Gauge(
            "database_table_growth_bytes",
            "Growth of a table with its indexes in a week, from its sizes of past days",
            ["table"],
            registry=registry,
        )
        for table in tables:
            self._bytes.labels(table)
            self._growth.labels(table)

    async def measure(self, database: Database) -> None:
        """Set the gauges. Safe to run in every replica at once."""
        async with database.acquire() as connection:
            rows = await connection.fetch(_SIZES, self._tables)
            grown = await connection.fetch(_GROWTH, [row["name"] for row in rows], [row["bytes"] for row in rows])
        for row in rows:
            self._bytes.labels(row["name"]).set(row["bytes"])
        for row in grown:
            self._growth.labels(row["name"]).set(row["growth"])
