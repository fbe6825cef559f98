"""The schema of a database as PostgreSQL's catalog tells it, without comments and without names of this server."""

from __future__ import annotations

import re
from typing import Any

import asyncpg

_OWN = r"n.nspname = 'public' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = \1 AND d.deptype = 'e')"
# Each query gives a name and what is to be said of it; own() is what belongs to no extension.
_QUERIES = {
    "relations": """
        SELECT c.relname, concat_ws(' ', c.relkind, CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
            pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), array_to_string(c.reloptions, ','), c.relacl::text)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND own(c.oid)""",
    "columns": """
        SELECT c.relname || '.' || a.attname, concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attnotnull THEN 'not null' END, 'default ' || pg_get_expr(ad.adbin, ad.adrelid),
            CASE WHEN a.attidentity <> '' THEN 'identity ' || a.attidentity::text END,
            CASE WHEN a.attgenerated <> '' THEN 'generated' END,
            CASE WHEN a.attcollation <> t.typcollation THEN 'collate ' || a.attcollation::regcollation END, a.attacl::text)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND own(c.oid)""",
    "indexes": """
        SELECT c.relname, pg_get_indexdef(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('i', 'I') AND own(c.oid)""",
    "constraints": """
        SELECT coalesce(conrelid::regclass::text, contypid::regtype::text) || '.' || conname, pg_get_constraintdef(c.oid)
        FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
        WHERE c.contype <> 'n' AND own(c.oid)""",
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE own(p.oid)""",
    "views": """
        SELECT c.relname, pg_get_viewdef(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND own(c.oid)""",
    "triggers": """
        SELECT c.relname || '.' || tgname, pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT t.tgisinternal AND own(c.oid)""",
    "enums": """
        SELECT t.typname, (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' AND own(t.oid)""",
    "domains": """
        SELECT t.typname, concat_ws(' ', format_type(t.typbasetype, t.typtypmod), CASE WHEN t.typnotnull THEN 'not null' END)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND own(t.oid)""",
    "extensions": "SELECT extname, '' FROM pg_extension",
    "migrations": "SELECT version, '' FROM schema_migrations",
}
_OF_A_DAY = re.compile(r"_20\d{6}")


async def schema_of(dsn: str) -> dict[str, dict[str, str]]:
    """Return what is there, by kind and name; without partitions of a day, which are others tomorrow."""
    connection = await asyncpg.connect(dsn)
    try:
        owner = await connection.fetchval("SELECT current_user::text")
        return {
            kind: {
                name: _settled(definition or "", owner)
                for name, definition in sorted(await _rows(connection, query))
                if _OF_A_DAY.search(name) is None
            }
            for kind, query in _QUERIES.items()
        }
    finally:
        await connection.close()


async def _rows(connection: Any, query: str) -> list[tuple[str, str | None]]:
    return [(str(row[0]), row[1]) for row in await connection.fetch(re.sub(r"\bown\((.*?)\)", _OWN, query))]


def _settled(definition: str, owner: str) -> str:
    """Comments in a function's text may change, and so may who owns the database and what an owner may in this version of PostgreSQL."""
    without_comments = re.sub(r"--[^\n]*", "", definition)
    name = re.escape(owner)
    text = re.sub(rf"\b{name}=\w*/{name},?|(?<=/){name}\b", "", without_comments)
    return " ".join(text.split())
