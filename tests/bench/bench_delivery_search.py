"""How long a person waits for deliveries by phone, mail, name, number, id and time, among 1,000,000 of them in ninety days."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from common.ids import order_number
from common.postgres import Database
from tests.bench.figures import figure, percentile
from tests.bench.rig import cpu_seconds, servers
from webhook_gateway.deliveries.digests import PeopleDigests, mail_token, name_tokens, phone_token
from webhook_gateway.deliveries.search import DeliverySearch
from webhook_gateway.deliveries.views import DeliveryFilter

DELIVERIES = int(os.environ.get("BENCH_DELIVERIES", "1000000"))
SEARCHES = int(os.environ.get("BENCH_SEARCHES", "50"))
DAYS = 90
_GOAL_MS = 50.0
_FIRST_NAMES, _LAST_NAMES = 200, 5000
DIGESTS = PeopleDigests([b"bench"])
_NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

# One delivery in three names its customer, as `created` and `changed` do; an order has three deliveries.
_FILL = """
INSERT INTO deliveries (delivery_id, received_at, type, event_id, source, event, number, external_id, outcome, lane, replica, body_form,
                        body, headers, people, traceparent)
SELECT gen_random_uuid(), $1::timestamptz - g * $2::interval, 'intake.hook.received.v1', 'e' || g, 'sbermarket',
       CASE g % 3 WHEN 0 THEN 'order.created' WHEN 1 THEN 'order.paid' ELSE 'order.delivered' END,
       'N' || g / 3, 'H' || g / 3, CASE WHEN g % 1000 = 0 THEN 'quarantined' ELSE 'confirmed' END, 'broker', 'gw-1', 'envelope',
       convert_to(repeat(md5(g::text), 20), 'UTF8'), '{"host": "x"}',
       CASE WHEN g % 3 = 0 THEN ARRAY[
           hashint8extended(g, 1), hashint8extended(g, 2),
           ($3::bigint[])[1 + (random() * random() * $5)::integer], ($4::bigint[])[1 + (random() * $6)::integer]
       ] ELSE '{}' END, '00-' || md5(g::text) || '-00f067aa0ba902b7-01'
FROM generate_series($7::bigint, $8::bigint) AS g
"""
_KNOWN = "UPDATE deliveries SET people = $2, number = $3, external_id = 'KNOWN' WHERE external_id = $1 AND event = 'order.created'"


def _digests(prefix: str, count: int) -> list[int]:
    tokens = [next(iter(name_tokens(f"{prefix}{number}"))) for number in range(count)]
    return [DIGESTS.asked([token])[0][0] for token in tokens]


async def fill(dsn: str) -> float:
    """Fill the database; return how many seconds that took."""
    started = time.monotonic()
    connection = await asyncpg.connect(dsn, command_timeout=3600)
    try:
        for day in range(DAYS + 1):
            first = (_NOW - timedelta(days=day)).replace(hour=0)
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS deliveries_{first:%Y%m%d} PARTITION OF deliveries"
                f" FOR VALUES FROM ('{first.isoformat()}') TO ('{(first + timedelta(days=1)).isoformat()}')"
            )
        step = timedelta(days=DAYS) / DELIVERIES
        names = (_digests("имя", _FIRST_NAMES), _digests("фамилия", _LAST_NAMES))
        for start in range(1, DELIVERIES + 1, 100_000):
            last = min(start + 99_999, DELIVERIES)
            await connection.execute(_FILL, _NOW, step, *names, _FIRST_NAMES - 1, _LAST_NAMES - 1, start, last)
        known = DIGESTS.asked(
            {phone_token("+79161234567") or "", mail_token("anna@example.ru") or "", *name_tokens("имя0 фамилия7")}
        )[0]
        await connection.execute(_KNOWN, f"H{DELIVERIES // 6}", known, order_number("sbermarket", "KNOWN"))
        await connection.execute("VACUUM ANALYZE deliveries")
    finally:
        await connection.close()
    return time.monotonic() - started


SEARCHED: Mapping[str, dict[str, Any]] = {
    "phone": {"q": "8 (916) 123-45-67"},
    "mail": {"q": "Anna@example.ru"},
    "rare name": {"q": "фамилия7"},
    "common name": {"q": "имя0"},
    "first and last name": {"q": "имя0 фамилия7"},
    "number": {"q": order_number("sbermarket", "KNOWN")},
    "external id": {"q": "KNOWN"},
    "a name that nobody has": {"q": "никто"},
    "common name on a day": {"q": f"имя0 {(_NOW - timedelta(days=40)):%Y-%m-%d}"},
    "time": {"q": f"{(_NOW - timedelta(days=40)):%Y-%m-%dT%H:%M}"},
    "trace": {"trace": hashlib.md5(str(DELIVERIES // 2).encode(), usedforsecurity=False).hexdigest()},
    "quarantined, undecided": {"undecided": True, "outcome": "quarantined"},
}


async def main() -> None:
    """Fill, search each way again and again, print the slowest twentieth."""
    async with servers("webhook_gateway") as stand:
        seconds = await fill(stand.dsn)
        database = Database(stand.dsn, application_name="bench", max_size=1)
        await database.open()
        search = DeliverySearch(database, DIGESTS)
        async with database.acquire() as connection:
            server = await connection.fetchval("SELECT pg_backend_pid()")
        for what, query in SEARCHED.items():
            wanted, took, rows = DeliveryFilter.model_validate(query), [], 0
            busy = cpu_seconds(server)
            for _ in range(SEARCHES):
                started = time.perf_counter()
                statement, values = search.select(wanted, after=None, limit=51)
                async with database.acquire() as connection:
                    rows = len(await connection.fetch(statement, *values))
                took.append((time.perf_counter() - started) * 1000)
            figure(
                "deliveries",
                f"search by {what}, p95, ms",
                round(percentile(took, 95), 1),
                goal=_GOAL_MS,
                p50=round(percentile(took, 50), 1),
                cpu_ms=round((cpu_seconds(server) - busy) * 1000 / SEARCHES, 1),
                first=round(took[0], 1),
                rows=rows,
            )
        await database.close()
        figure("deliveries", "deliveries searched", DELIVERIES, filled_in_s=round(seconds))


if __name__ == "__main__":
    asyncio.run(main())
