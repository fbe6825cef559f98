"""Why a message died is kept with it: after an erasure it says an exception's type and place, and nothing of anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest

from common.contracts import Envelope
from common.ids import new_id
from common.messaging.dead_letters import store_dead_letter
from common.postgres import Database
from common.service import Subject, erase_dead_letters

ORDER = "7Q3M0V9XK2TDW8RC"
OURS = (
    "ValueError at orders.py:77",
    "ValidationError at unknown place",
    "the broker gave up: its consumers died too often with this message in hand",
)
HERS = ("ValueError: no such person as Зинаида Меткина", "no phone +7 916 777-28-91", "KeyError at Меткина.py:1")


@pytest.fixture
async def database(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    database = Database(await database_for("refunds"), application_name="test")
    await database.open()
    yield database
    await database.close()


async def _letters(database: Database, *, subject: str | None) -> None:
    """Letters of this release and, in other words, of earlier ones."""
    for error in (*OURS, *HERS):
        event = Envelope(id=new_id(), source="/test", type="a.b.c.v1", subject=subject, time=datetime.now(UTC), data={})
        async with database.transaction() as connection:
            await store_dead_letter(
                connection,
                queue="refunds.wanted",
                handler="refunds",
                service="refunds",
                reason="poison",
                error=error,
                body=event.encode(),
                envelope=event,
            )


async def _errors(database: Database, subject: Subject) -> tuple[int, list[str]]:
    async with database.transaction() as connection:
        found = await erase_dead_letters(connection, subject)
        return found, [row["error"] for row in await connection.fetch("SELECT error FROM dead_letters ORDER BY id")]


async def test_an_error_in_other_words_than_ours_is_masked_with_the_orders_letters(database: Database) -> None:
    await _letters(database, subject=ORDER)
    assert await _errors(database, Subject(order_number="7Q3M0V9XK2TDW8RD")) == (0, [*OURS, *HERS])
    erased = [*OURS, *["[masked]"] * len(HERS)]
    assert await _errors(database, Subject(order_number=ORDER)) == (len(erased), erased)
    assert await _errors(database, Subject(order_number=ORDER)) == (0, erased)


async def test_an_error_that_holds_the_phone_is_found_by_it(database: Database) -> None:
    await _letters(database, subject=None)
    wanted = [*OURS, HERS[0], "[masked]", HERS[2]]
    assert await _errors(database, Subject(phone="8 (916) 777 28 91")) == (1, wanted)
    assert await _errors(database, Subject(phone="8 (916) 777 28 91")) == (0, wanted)
