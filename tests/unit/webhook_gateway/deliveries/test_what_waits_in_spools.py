"""How the ledger counts what waits in spools: only what differs, once, and where it came in."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from webhook_gateway.deliveries.ledger import Line, difference, spooled

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
