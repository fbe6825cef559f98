"""How the ledger counts what waits in spools: only what differs, once, and where it came in."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clocks import ManualClock
from webhook_gateway.deliveries.ledger import Ledger, Line, difference, spooled

REPLICAS, SOURCES = st.sampled_from(["gw-1", "gw-2"]), st.sampled_from(["sbermarket", "website"])
OUTCOMES = st.sampled_from(["received", "confirmed", "spooled", "quarantined", "refused"])
LINES = st.lists(st.builds(Line, REPLICAS, SOURCES, OUTCOMES, st.integers(1, 9)), max_size=12)
HELD = st.dictionaries(REPLICAS, st.integers(0, 20)).map(Counter)


def test_what_differs_at_a_replica_is_explained_by_its_own_spool_and_no_other() -> None:
    lines = [
        Line("gw-1", "sbermarket", "received", 4),
        Line("gw-1", "sbermarket", "confirmed", 1),
        Line("gw-1", "website", "received", 2),
        Line("gw-2", "website", "received", 1),
    ]
    held = Counter({"gw-1": 4, "gw-3": 9})
    assert spooled(lines, held) == [
        Line("gw-1", "sbermarket", "spooled", 3, waiting=True),
        Line("gw-1", "website", "spooled", 1, waiting=True),
    ]
    assert held == Counter({"gw-3": 9, "gw-1": 0})
    assert spooled(lines, held) == []  # counted once


@given(lines=LINES, held=HELD)
def test_no_more_is_explained_than_differs_and_than_a_spool_holds(lines: list[Line], held: Counter[str]) -> None:
    before = held.copy()
    found = spooled(lines, held)
    for replica in ("gw-1", "gw-2"):
        explained = sum(line.count for line in found if line.replica == replica)
        differs = difference([line for line in lines if line.replica == replica])
        assert explained == before[replica] - held[replica] == max(0, min(differs, before[replica]))


NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MIDNIGHT, DAY = NOW.replace(hour=0), timedelta(days=1)


class Stand:
    """A database and the spools of a gateway whose replica has seven in its spool, since yesterday."""

    clock = ManualClock(NOW)

    async def held(self, before: datetime) -> Counter[str]:
        return Counter({"gw-1": 7 if before >= MIDNIGHT else 0})

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        yield self


async def five_a_day(_: Any, since: datetime, until: datetime) -> list[Line]:
    """Five of each day have no outcome."""
    days = (since < MIDNIGHT) + (until > MIDNIGHT)
    return [Line("gw-1", "sbermarket", "received", 5 * days)] if days else []


async def test_days_that_are_asked_for_one_by_one_count_a_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of yesterday's five two can be in the spool at most: three are in no spool and have no outcome."""
    monkeypatch.setattr("webhook_gateway.deliveries.ledger.ledger_lines", five_a_day)
    stand: Any = Stand()
    ledger = Ledger(stand, stand)
    periods = [(MIDNIGHT, MIDNIGHT + DAY), (MIDNIGHT - DAY, MIDNIGHT), (MIDNIGHT - DAY, NOW)]
    assert [difference(await ledger.lines(*period)) for period in periods] == [0, 3, 3]
