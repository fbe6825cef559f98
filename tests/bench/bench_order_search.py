"""How long a person waits for an order that is looked for by what a customer says, with a million orders and with a hundredth of them.

Each search is asked in turn, round by round; every time with another customer, so that nothing is answered twice from the same pages.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

import asyncpg

from common.postgres import Database
from common.reading import Contact
from orchestrator.orders.contacts import by_email, by_phone, by_words, keys_of
from orchestrator.orders.search import OrderSearch
from suite_local.testing import addresses_from
from tests.bench.figures import figure, percentile
from tests.bench.goals import AIMS
from tests.support.servers import TestDatabases

ORDERS = int(os.environ.get("BENCH_SEARCH_ORDERS", "1000000"))
ROUNDS = int(os.environ.get("BENCH_SEARCH_ROUNDS", "100"))
LIMIT = 50
FIRST = ("Анна", "Мария", "Елена", "Ольга", "Наталья", "Татьяна", "Ирина", "Света", "Иван", "Пётр", "Сергей", "Алексей")
BEGINS, ENDS = "бвгдзклмнпрстфхш", "аеиоуя"
SYLLABLES = [begin + end for begin in BEGINS for end in ENDS][:64]
START = datetime(2026, 1, 1, tzinfo=UTC)
_FILL = """
INSERT INTO orders (number, source, external_id, status, aggregate_state, closed, shipped, paid, revision, store_id, zone, tariff,
                    currency, document, created_at)
SELECT 'N' || n, 'sbermarket', 'E' || n, 'delivered', 'finished', true, true, true, 5, (n % 100)::text, 'z', 't', 'RUB',
       '{}', $1::timestamptz + n * interval '1 second'
FROM generate_series(0, $2 - 1) AS n
"""
COLUMNS = ("number", "digest", "created_at", "name", "phone", "email", "grams")


def surname(number: int) -> str:
    """One of 262,144 surnames."""
    return "".join(SYLLABLES[number >> shift & 63] for shift in (0, 6, 12)).capitalize() + "нов"


def customer(number: int) -> Contact:
    """The customer of an order: one in four has one of sixteen surnames, the others one of all."""
    random = Random(number)  # noqa: S311 - a customer is to be the same every time
    family = random.randrange(16) if random.random() < 0.25 else random.randrange(262_144)
    return Contact(
        name=f"{surname(family)} {random.choice(FIRST)}",
        phone=f"+79{random.randrange(10**9):09d}",
        email=f"customer{number}@mail{number % 7}.example",
    )


def rows(orders: int) -> Iterator[tuple[Any, ...]]:
    """What the orchestrator keeps to find them by."""
    for number in range(orders):
        keys = keys_of(f"N{number}", customer(number))
        moment = START + timedelta(seconds=number)
        yield (keys.number, keys.digest, moment, keys.name, keys.phone, keys.email, keys.grams.split("|"))


async def filled(dsn: str, orders: int) -> None:
    """Fill a database."""
    connection = await asyncpg.connect(dsn, command_timeout=900)
    await connection.execute(_FILL, START, orders)
    made = rows(orders)
    while batch := list(islice(made, 20_000)):
        await connection.copy_records_to_table("order_contact", records=batch, columns=COLUMNS)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


SEARCHES: dict[str, Callable[[int], dict[str, Any]]] = {
    "phone": lambda number: {"contact": [by_phone(customer(number).phone or "")]},
    "last four digits": lambda number: {"contact": [by_phone((customer(number).phone or "")[-4:])]},
    "mail": lambda number: {"contact": [by_email(customer(number).email or "")]},
    "name": lambda number: said((customer(number).name or "").lower()),
    "surname": lambda number: said((customer(number).name or "").split()[0]),
    "part of a surname": lambda number: said((customer(number).name or "").split()[0][2:8]),
    "first name, of one in twelve": lambda number: said((customer(number).name or "").split()[1]),
    "frequent surname, two letters of it": lambda number: said(surname(number % 16)[:2]),
    "number": lambda number: said(f"n{number}"),
    "external id": lambda number: said(f"E{number}"),
    "nobody": lambda number: said(f"Щербатых{number}"),
}
"""What is looked for → how, of the customer of an order."""


def said(words: str) -> dict[str, Any]:
    """A search by words."""
    return {"said": words, "meaning": by_words(words)}


async def timed(search: OrderSearch, orders: int) -> dict[str, list[float]]:
    """Ask everything, round by round; return milliseconds by search."""
    nothing: dict[str, Any] = dict.fromkeys(("aggregate_state", "since", "until", "after"))
    times: dict[str, list[float]] = {name: [] for name in SEARCHES}
    for round_ in range(-3, ROUNDS):
        for name, asked in SEARCHES.items():
            wanted = asked(zlib.crc32(f"{name}{round_}".encode()) % orders)
            began = time.perf_counter()
            found = await search.orders(**nothing, **wanted, limit=LIMIT)
            if round_ >= 0:  # before that connections and statements are prepared
                times[name].append((time.perf_counter() - began) * 1000)
            if (name == "nobody") == bool(found):
                sys.exit(f"{name}: found {len(found)} orders by {wanted}")
    return times


async def main() -> None:
    """Print median and p99 of each search."""
    addresses = addresses_from(os.environ)
    if addresses is None:
        sys.exit("run the benchmarks with `make bench`: it starts servers of their own")
    databases = TestDatabases(addresses.postgres_dsn)
    taken: dict[int, dict[str, list[float]]] = {}
    for orders in (max(1000, ORDERS // 100), ORDERS):
        async with databases.migrated("orchestrator") as dsn:
            await filled(dsn, orders)
            database = Database(dsn, application_name="bench", command_timeout=60.0)
            await database.open()
            taken[orders] = await timed(OrderSearch(database), orders)
            await database.close()
    (_, few), (_, many) = sorted(taken.items())
    for name, times in many.items():
        median = percentile(times, 50)
        figure(
            "search", f"{name}: ms, p99 with {ORDERS:,} orders", round(percentile(times, 99), 1),
            goal=AIMS["search of orders, p99 ms"], p50_ms=round(median, 1),
            times_a_hundredth=round(median / percentile(few[name], 50), 1),
        )  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
