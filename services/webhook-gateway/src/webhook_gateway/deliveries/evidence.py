"""Reads what the checker compares: databases, and the spools that a dead replica left on disk. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.errors import ConfigurationError, Unavailable
from common.postgres import Connection, Database, is_transient
from webhook_gateway.deliveries.check_ledger import Carried, Evidence, Kept, Orders
from webhook_gateway.deliveries.ledger import ledger_lines
from webhook_gateway.hooks.model import HOOKS
from webhook_gateway.hooks.reading import event_name

_BEGINNING, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_IN_PERIOD = "($1::timestamptz IS NULL OR {at} >= $1) AND ($2::timestamptz IS NULL OR {at} < $2)"
_DELIVERIES = f"""
SELECT delivery_id::text AS delivery_id, type, event, event_id, number, digest, replica, outcome
FROM deliveries WHERE {_IN_PERIOD.format(at="received_at")}
"""  # noqa: S608 - a constant
_REFUSED = f"""
SELECT replica, sum(count)::bigint AS count FROM refusals WHERE {_IN_PERIOD.format(at="bucket")} GROUP BY replica
"""  # noqa: S608 - a constant
_ARCHIVED = f"""
SELECT replica, outcome, sum(count)::bigint AS count FROM ledger_archive
WHERE outcome <> 'received' AND {_IN_PERIOD.format(at="hour")} GROUP BY 1, 2
"""  # noqa: S608 - a constant
# Orders that a front end has reported never were requests here; one with a 2xx was taken, under another's name.
_ENDANGERED = f"""
SELECT id::text FROM endangered_orders WHERE origin = 'server' AND status NOT BETWEEN 200 AND 299 AND {_IN_PERIOD.format(at="received_at")}
"""  # noqa: S608 - a constant
_UNARRIVED = f"""
SELECT number FROM created_orders
WHERE acknowledged_at IS NOT NULL AND arrived_at IS NULL AND released_at IS NULL AND {_IN_PERIOD.format(at="acknowledged_at")}
ORDER BY acknowledged_at
"""  # noqa: S608 - a constant
# A run that did not end in order and was followed by another one.
_DIED = """
SELECT DISTINCT d.replica FROM counting_runs AS d
WHERE NOT d.ended AND EXISTS (SELECT FROM counting_runs AS n WHERE n.replica = d.replica AND n.began_at > d.began_at)
"""
_DEAD = "SELECT body FROM dead_letters WHERE queue = $1 AND replayed_at IS NULL"
# A person's copy (mended, or to be carried out again) keeps the identity of the event that it names: the two are one hook.
_CARRIED = f"""
SELECT w.order_number AS number, e.type AS event, e.event_id, e.attributes ->> 'delivery_id' AS delivery_id
FROM workflow_event AS e JOIN workflow AS w ON w.id = e.workflow_id
WHERE e.type = ANY($3::text[]) AND e.attributes ? 'delivery_id' AND {_IN_PERIOD.format(at="e.received_at")}
  AND NOT EXISTS (
    SELECT FROM workflow_event AS o
    WHERE e.attributes ?| ARRAY['mend_of', 'reprocess_of'] AND o.workflow_id = e.workflow_id AND o.event_id = e.event_id
      AND o.seq IN ((e.attributes ->> 'mend_of')::integer, (e.attributes ->> 'reprocess_of')::integer)
  )
"""  # noqa: S608 - a constant
_ORDERS = """
SELECT number, source, external_id FROM orders WHERE number = ANY($1::text[])
"""
_SPOOLED = "SELECT body FROM records ORDER BY id"
_TORN = "SELECT count(*) FROM torn"


async def gather(
    *,
    dsn: str,
    orders_dsn: str | None,
    spools: Sequence[Path],
    acknowledged: Path | None,
    since: datetime | None,
    until: datetime | None,
) -> Evidence:
    """Read everything there is. Spools are looked for below the given directories; a spool's records count whatever the period
    (``[since, until)`` by the time of receiving, None is no bound).

    Raises ``Unavailable`` when a database is away, ``ConfigurationError`` when something is not what it should be.
    """
    kept: list[Kept] = []
    damaged: list[tuple[str, int]] = []
    for file in _spool_files(spools):
        kept += _spooled(file)
        lost = _set_aside(file)
        if lost:
            damaged.append((str(file.parent), lost))
    bounds = (since, until)
    async with _open(dsn) as connection:
        kept += [Kept(**dict(row)) for row in await connection.fetch(_DELIVERIES, *bounds)]
        kept += _letters(await connection.fetch(_DEAD, "webhook-gateway.recorder"))
        refused = [(row["replica"], row["count"]) for row in await connection.fetch(_REFUSED, *bounds)]
        archived = [
            (row["replica"], row["outcome"], row["count"]) for row in await connection.fetch(_ARCHIVED, *bounds)
        ]
        endangered = frozenset(row["id"] for row in await connection.fetch(_ENDANGERED, *bounds))
        lines = await ledger_lines(connection, since or _BEGINNING, until or _END)
        died = frozenset(row["replica"] for row in await connection.fetch(_DIED))
        unarrived = [row["number"] for row in await connection.fetch(_UNARRIVED, *bounds)]
    return Evidence(
        kept=kept,
        refused=refused,
        archived=archived,
        received=[(line.replica, line.count) for line in lines if line.outcome == "received"],
        died=died,
        endangered=endangered,
        unarrived=unarrived,
        damaged=damaged,
        orders=None if orders_dsn is None else await _orders(orders_dsn, *bounds),
        acknowledged=None if acknowledged is None else _acknowledged(acknowledged),
    )


@asynccontextmanager
async def _open(dsn: str) -> AsyncIterator[Connection]:
    database = Database(dsn, application_name="check-ledger", command_timeout=600.0)
    try:
        async with database.session() as connection:
            yield connection
    except Exception as error:
        if not is_transient(error):
            raise
        raise Unavailable(f"a database does not answer ({type(error).__name__})") from error


async def _orders(dsn: str, since: datetime | None, until: datetime | None) -> Orders:
    async with _open(dsn) as connection:
        rows = await connection.fetch(_CARRIED, since, until, sorted(HOOKS))
        carried = [Carried(**dict(row)) for row in rows]
        numbers = sorted({one.number for one in carried})
        found = await connection.fetch(_ORDERS, numbers)
        dead = _letters(await connection.fetch(_DEAD, "orchestrator.intake"))
    return Orders(
        carried=carried,
        orders=[(row["number"], row["source"], row["external_id"]) for row in found],
        dead=frozenset(letter.delivery_id for letter in dead),
    )


def _letters(rows: Sequence[Any]) -> list[Kept]:
    letters = [_kept(row["body"], where="dead_letter") for row in rows]
    return [letter for letter in letters if letter is not None]


def _kept(body: bytes, *, where: str) -> Kept | None:
    try:
        hook = IntakeMessage.from_envelope(Envelope.decode(body))
    except ValueError:
        return None
    return Kept(
        delivery_id=hook.delivery_id,
        type=hook.type,
        event=hook.event,
        event_id=hook.event_id,
        number=hook.number,
        digest=hook.digest,
        replica=hook.replica,
        where=where,
    )


def _spool_files(directories: Sequence[Path]) -> list[Path]:
    found: set[Path] = set()
    for directory in directories:
        if not directory.is_dir():
            raise ConfigurationError(f"there is no directory {directory}")
        found.update(directory.rglob("spool.db"))
    return sorted(found)


def _read(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)


def _spooled(file: Path) -> list[Kept]:
    try:
        with closing(_read(file)) as spool:
            bodies = [row[0] for row in spool.execute(_SPOOLED)]
    except sqlite3.Error as error:
        raise ConfigurationError(f"the spool {file} cannot be read: {error}") from None
    read = [_kept(body, where=str(file.parent)) if isinstance(body, bytes) else None for body in bodies]
    return [one for one in read if one is not None]


def _set_aside(file: Path) -> int:
    """Count records whose checksum did not fit, records that are no events, and damaged files that were set aside."""
    with closing(_read(file)) as spool:
        torn = int(spool.execute(_TORN).fetchone()[0])
        records = int(spool.execute("SELECT count(*) FROM records").fetchone()[0])
    damaged = [path for path in file.parent.glob("spool.db.damaged-*") if path.suffix.rpartition("-")[2].isdigit()]
    return torn + (records - len(_spooled(file))) + len(damaged)


def _acknowledged(file: Path) -> list[tuple[str, str]]:
    """Read lines like ``{"number": "…", "event": "order.created"}``: what callers were answered positively."""
    try:
        lines = [orjson.loads(line) for line in file.read_bytes().splitlines() if line.strip()]
        return [(line["number"], event_name(line["event"])) for line in lines]
    except OSError as error:
        raise ConfigurationError(f"the file {file} cannot be read: {error.strerror}") from None
    except (orjson.JSONDecodeError, TypeError, KeyError):
        raise ConfigurationError(f'the file {file} has a line that is not {{"number", "event"}}') from None
