"""Poison among good incidents in what works beside the requests: the good ones have it, the notifier lives, a person is told once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from notifier.delivery import fail_over
from notifier.duty.fire_timers import FireTimers
from notifier.tickets.follow_up import FollowUp
from notifier.tickets.follow_up_store import _LOCK
from notifier.tickets.model import ticket_for
from tests.integration.notifier.factories import PICKERS, Kit, MakeKit, a_problem, act
from tests.integration.notifier.people import FAST_CHAIN, settings_for, told_once
from tests.support.poisoned import Fault
from tests.support.servers import eventually

BAD = "nobody foresaw this"
CHAIN = {
    "destinations": {
        "team": {"channel": "slack", "address": "#orders-notifications", "fallback": "chat"},
        "chat": {"channel": "telegram", "address": str(PICKERS)},
    },
    "routes": [{"name": "everything", "match": {"kind": ["problem.order_conflict"]}, "to": ["team"]}],
}
HISTORY = (
    "SELECT FROM incident_history AS h JOIN incidents AS i ON i.id = h.incident_id WHERE i.summary = $1 AND h.act = $2"
)


async def publish(kit: Kit, **changes: Any) -> str:
    """Report a bad problem between good ones; return what the bad one is called as an item."""
    names = ("good one", BAD, "good two")
    await kit.open_in_turn(*(a_problem(name, summary=name, **changes) for name in names))
    [row] = await kit.fetch("SELECT id FROM incidents WHERE summary = $1", BAD)
    return f"incident {row['id']}"


async def all_but_the_bad(kit: Kit, act: str) -> None:
    """Wait until something was done to both good incidents; it was not done to the bad one."""

    async def done() -> bool:
        return all([await kit.fetch(HISTORY, name, act) for name in ("good one", "good two")])

    await eventually(done, what=act)
    assert await kit.fetch(HISTORY, BAD, act) == []


async def test_a_batch_of_what_is_kept_apart_hides_nothing_that_comes_later(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time, and the first of all is bad: in each sweep the ones after it have their turn all the same."""
    for module in ("tickets.follow_up", "duty.fire_timers"):
        monkeypatch.setattr(f"notifier.{module}._AT_A_TIME", 1)
    bad = Fault().over(ticket_for, lambda _id, fact, **_: fact.summary == BAD)
    monkeypatch.setattr("notifier.tickets.follow_up.ticket_for", bad)
    bad = Fault().over(FollowUp._sentence, lambda _self, line, _say: line.incident.fact.summary == BAD)
    monkeypatch.setattr(FollowUp, "_sentence", bad)
    bad = Fault().over(FireTimers._fire, lambda _self, timer: timer.incident.fact.summary == BAD)
    monkeypatch.setattr(FireTimers, "_fire", bad)
    kit = await make_kit(**settings_for(tmp_path, escalation=FAST_CHAIN))
    names = (BAD, "good one", "good two")
    await kit.open_in_turn(*(a_problem(name, summary=name, severity="critical") for name in names))
    await all_but_the_bad(kit, "reminded")

    async def followed() -> bool:
        tickets = await kit.fetch(
            "SELECT i.summary FROM tickets AS t JOIN incidents AS i ON i.id = t.incident_id WHERE i.summary = ANY($1)",
            list(names),
        )
        lines = await kit.fetch(HISTORY + " AND h.told", "good two", "opened")
        return ({row["summary"] for row in tickets}, len(lines)) == ({"good one", "good two"}, 1)

    await eventually(followed, what="tickets and lines of the good ones")


async def test_tickets_are_opened_of_the_others(make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Fault().over(ticket_for, lambda _id, fact, **_: fact.summary == BAD)
    monkeypatch.setattr("notifier.tickets.follow_up.ticket_for", whole)
    kit = await make_kit()
    item = await publish(kit)

    async def opened() -> bool:
        rows = await kit.fetch(
            "SELECT i.summary FROM tickets AS t JOIN incidents AS i ON i.id = t.incident_id ORDER BY i.id"
        )
        return [row["summary"] for row in rows][:2] == ["good one", "good two"]

    await eventually(opened, what="tickets of the good ones")
    await told_once(kit, f"follow-up:{item}")


async def test_what_happens_to_the_others_is_followed_up(make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Fault().over(FollowUp._sentence, lambda _self, line, _say: line.incident.fact.summary == BAD)
    monkeypatch.setattr(FollowUp, "_sentence", whole)
    kit = await make_kit()
    item = await publish(kit)

    async def followed() -> bool:
        rows = await kit.fetch(
            "SELECT DISTINCT i.summary FROM incident_history AS h JOIN incidents AS i ON i.id = h.incident_id WHERE NOT h.told"
        )
        return [row["summary"] for row in rows] == [BAD]

    await eventually(followed, what="the lines of the good ones")
    await told_once(kit, f"follow-up:{item}")


async def test_what_happened_to_an_incident_after_a_bad_line_is_told_after_it(
    make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its lines are found in one round, because another replica has the follow-up's lock until then; the first is bad."""
    fault = Fault()
    whole = fault.over(
        FollowUp._sentence, lambda _self, line, _say: line.incident.fact.summary == BAD and line.act == "opened"
    )
    monkeypatch.setattr(FollowUp, "_sentence", whole)
    kit = await make_kit()
    other = await asyncpg.connect(kit.dsn)
    await other.execute("SELECT pg_advisory_lock($1)", _LOCK)
    item = await publish(kit, order_number="H1")
    number = int(item.split()[1])
    await act(kit, "ack", number)
    await act(kit, "resolve", number)
    await other.close()
    await told_once(kit, f"follow-up:{item}")
    untold = "SELECT act FROM incident_history WHERE incident_id = $1 AND NOT told ORDER BY id"
    lines = [row["act"] for row in await kit.fetch(untold, number)]
    assert (lines[0], len(lines)) == ("opened", 3)
    fault.mended = True

    async def told() -> bool:
        return await kit.fetch(untold, number) == []

    await eventually(told, what="the lines of the bad one")

    async def journaled() -> bool:
        of_it = [entry for entry in await kit.journal() if entry["details"].get("incident") == str(number)]
        kinds = [entry["kind"] for entry in of_it if entry["kind"].startswith("incident.")]
        return kinds == [f"incident.{line}" for line in lines]

    await eventually(journaled, what="its lines in the journal, in their order")


async def test_the_others_are_reminded_of_and_called_for(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Fault().over(FireTimers._fire, lambda _self, timer: timer.incident.fact.summary == BAD)
    monkeypatch.setattr(FireTimers, "_fire", whole)
    kit = await make_kit(**settings_for(tmp_path, escalation=FAST_CHAIN))
    item = await publish(kit, severity="critical")
    await all_but_the_bad(kit, "reminded")
    await told_once(kit, f"timers:{item}")


async def test_another_channel_tells_of_the_others(make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fail_over, "_AT_A_TIME", 1)  # what is kept apart hides nothing that comes later
    monkeypatch.setattr(
        fail_over, "_following", Fault().over(fail_over._following, lambda stuck, _chains: stuck["id"] == 2)
    )
    kit = await make_kit(routes=CHAIN)
    await kit.sandbox.control("PUT", "/sandbox/slack/channels/orders-notifications", {"state": "archived"})
    await publish(kit)

    async def sent() -> bool:
        rows = await kit.fetch("SELECT fallback_of FROM deliveries WHERE state = 'sent' ORDER BY id")
        return [row["fallback_of"] for row in rows] == [1, 3]

    await eventually(sent, what="the good ones by the other channel")
    await told_once(kit, "failover:delivery 2")
