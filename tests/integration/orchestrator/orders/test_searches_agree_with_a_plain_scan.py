"""Whatever people are called and whatever is asked: a search gives what a look at every order gives, page by page, the newest first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.postgres import Connection, Database, Lent, prepare_connection
from common.reading import Contact
from orchestrator.orders import search
from orchestrator.orders.contacts import by_words, keys_of, words_of, write_contacts
from orchestrator.orders.search import OrderSearch
from tests.integration.orchestrator.conftest import Gateway, Start
from tests.support.servers import eventually

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
WORDS = st.text(alphabet="аб", min_size=1, max_size=6)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
ORDERS = st.lists(
    st.fixed_dictionaries(
        {
            "second": st.integers(0, 9),  # some come at the same moment
            "names": st.lists(NAMES, max_size=2),
            "status": st.sampled_from(["created", "delivered"]),
        }
    ),
    max_size=40,
)
LIMITS = st.fixed_dictionaries({"_FEW": st.integers(1, 9), "_WINDOW": st.integers(1, 9), "_COMMON": st.integers(1, 5)})
_ORDERS = """
INSERT INTO orders (number, source, external_id, status, closed, shipped, paid, revision, zone, tariff, currency, document, created_at)
SELECT number, 's', 'E' || substr(number, 2), status, false, false, false, 1, 'z', 't', 'RUB', '{}', created_at
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS given (number, status, created_at)
"""


def fits(said: str, number: str, names: list[str]) -> bool:
    """Whether an order is meant: each word is a part of one of its customer's, two letters begin it; or it is the order's id."""
    parts = [part for part in words_of(said) if len(part) > 1]

    def meant(name: str) -> bool:
        return all(
            any(part in word if len(part) > 2 else word.startswith(part) for word in words_of(name)) for part in parts
        )

    return said.upper() == number or said == f"E{number[1:]}" or (bool(parts) and any(map(meant, names)))


@contextmanager
def limits(changes: dict[str, int]) -> Iterator[None]:
    """Have the search take small numbers for many."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setattr(search, name, value)
        yield


async def pages(connection: Connection, said: str, status: str | None, size: int) -> list[str]:
    """The numbers of all pages of a search."""
    found, after = [], None
    asked: dict[str, Any] = {**dict.fromkeys(("aggregate_state", "since", "until")), "status": status}
    while True:
        lent = cast("Database", Lent(connection))
        rows = await OrderSearch(lent).orders(**asked, said=said, meaning=by_words(said), after=after, limit=size)
        assert len(rows) <= size + 1
        found += [row["number"] for row in rows[:size]]
        if len(rows) <= size:
            return found
        after = (rows[size - 1]["created_at"], rows[size - 1]["number"])


async def agree(connection: Connection, orders: list[dict[str, Any]], said: str, status: str | None, size: int) -> None:
    """Write the orders, search, and compare; nothing is kept."""
    known = [(START + timedelta(seconds=each["second"]), f"N{place}", each) for place, each in enumerate(orders)]
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(
            _ORDERS,
            [number for _, number, _ in known],
            [each["status"] for *_, each in known],
            [at for at, *_ in known],
        )
        await write_contacts(
            connection, [keys_of(number, Contact(name=name)) for _, number, each in known for name in each["names"]]
        )
        plain = [
            number
            for _, number, each in sorted(known, key=lambda order: order[:2], reverse=True)
            if status in {None, each["status"]} and fits(said, number, each["names"])
        ]
        assert await pages(connection, said, status, size) == plain
    finally:
        await transaction.rollback()


def test_a_search_by_words_finds_what_a_plain_scan_finds(dsn: str) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(dsn))
        runner.run(prepare_connection(connection))

        @settings(max_examples=250, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(
            ORDERS,
            st.one_of(NAMES, st.sampled_from(["n3", "E5", "ааб", "аб ба"])),
            st.sampled_from([None, "created"]),
            st.integers(1, 5),
            LIMITS,
        )
        def check(orders: list[dict[str, Any]], said: str, status: str | None, size: int, few: dict[str, int]) -> None:
            with limits(few):
                runner.run(agree(connection, orders, said, status, size))

        check()
        runner.run(connection.close())


async def test_a_name_of_any_length_and_script_is_kept_and_found(database: Connection) -> None:
    letters = random.Random(7).choices(range(0x20000, 0x2A6D0), k=767)  # noqa: S311 - the same each time; four bytes each
    longest = " ".join("".join(map(chr, letters[part : part + 255])) for part in range(0, 765, 255))
    turned = "\u0390" * 765  # two bytes that become six
    await agree(database, [{"second": 1, "names": [longest, turned], "status": "created"}], longest[:5], None, 1)


async def test_who_was_known_before_the_order_came_is_met_at_its_place_in_the_list(
    start: Start, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_FEW", 1)
    api = await start()
    goods, anna = [gateway.position("a", 1)], {"name": "Анна Белова"}

    async def listed() -> list[str]:
        return [item["external_id"] for item in await api.all("/admin/v1/orders")]

    async def send(name: str, event: str, minute: int, customer: dict[str, str]) -> None:
        await gateway.send(gateway.hook(name, event, minute=minute, positions=goods, customer=customer))

    async def first(name: str) -> None:
        async def probe() -> bool:
            return (await listed())[:1] == [name]

        await eventually(probe)

    await send("P1", "order.paid", 3, anna)
    for name in ("P2", "P3", "P4"):
        await send(name, "order.created", 1, anna)
        await first(name)
    await send("P1", "order.created", 1, {"name": "Мария"})
    await first("P1")
    seen, cursor = [], ""
    while True:
        page = await api.get(f"/admin/v1/orders?q=анна&limit=1{cursor}")
        seen += [item["external_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == await listed() == ["P1", "P4", "P3", "P2"]
