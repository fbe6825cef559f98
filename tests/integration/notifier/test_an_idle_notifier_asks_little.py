"""One statement a second stands for what every worker would ask: it names who has something to do, and nothing else is asked."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from common.postgres import Connection, Database, pool
from notifier.due import LookForDue, due_by_worker, due_in
from notifier.settings import NotifierSettings
from tests.integration.notifier.factories import MakeKit
from tests.integration.notifier.people import settings_for
from tests.support.servers import eventually

SETTINGS = NotifierSettings(tokens_file=Path("tokens.json"))
WORKERS = sorted(due_by_worker(SETTINGS))
INCIDENT = """
INSERT INTO incidents (fingerprint, kind, severity, summary, details, service, environment, first_seen_at, last_seen_at,
                       followed_up_kind, state, muted)
VALUES (coalesce($1, 'f'), 'k', coalesce($2, 'warning'), 's', '{}', 's', 'e', now(), now(), $3, 'open', $4) RETURNING id
"""
TICKET = """
INSERT INTO tickets (queue, kind, summary, description, created_by, outside, outside_state, state, read_at, look_due, outside_due,
                     not_before, summons_id)
VALUES ('Q', 'k', 's', 'd', 'b', $1, $2, $3, now() - $4 * interval '1 second', now() + $5 * interval '1 second', now(), now(), $6)
RETURNING id
"""
NOTICE = """
INSERT INTO notices (id, subject, transition, sequence, kind, severity, event_id, occurred_at)
VALUES (gen_random_uuid(), 's', 't', 1, 'k', 'info', 'e', now()) RETURNING id
"""
DELIVERY = """
INSERT INTO deliveries (notice_id, subject, sequence, destination, channel, lane, route, priority, state, lease_until, created_at)
VALUES ($1, $2, 1, 'd', 'telegram', 'telegram:1', 'r', 0, $3, now() - interval '1 second', now() - interval '1 minute')
"""

TRACKER: dict[str, Any] = {
    "tracker": "yandex",
    "tracker_url": lambda sandbox: sandbox.tracker_url,
    "tracker_token": SecretStr("tracker-token"),
    "tracker_org_id": "42",
}


async def an_incident(connection: Connection, **values: str | None) -> int:
    """One that nothing follows from unless the values say so."""
    columns = [values.get(name) for name in ("fingerprint", "severity")]
    made: int = await connection.fetchval(INCIDENT, *columns, values.get("followed", "k"), values.get("muted"))
    return made


async def a_ticket(connection: Connection, outside: str, **values: Any) -> int:
    """One that needs nothing from the tracker but what the values say."""
    known, state, read, look = (
        values.get(name, usual)
        for name, usual in (("known", "open"), ("state", "open"), ("read_before", 0.0), ("look_in", 3600.0))
    )
    made: int = await connection.fetchval(TICKET, outside, known, state, read, look, values.get("summons"))
    return made


async def a_delivery(connection: Connection, state: str, *, subject: str = "order:1") -> None:
    """One in an only chat."""
    await connection.execute(DELIVERY, await connection.fetchval(NOTICE), subject, state)
    await connection.execute("INSERT INTO lanes (key, channel, address) VALUES ('telegram:1', 'telegram', '1')")


async def _untold(c: Connection) -> None:
    made = "INSERT INTO incident_history (incident_id, actor, act, text) VALUES ($1, 'a', 'note', 't')"
    await c.execute(made, await an_incident(c))


async def _needless_summons(c: Connection) -> None:
    about = await an_incident(c, fingerprint="ticket:1")
    await a_ticket(c, "kept", state="closed", summons=about)


async def _timer(c: Connection) -> None:
    await c.execute("INSERT INTO escalations (incident_id, due_at) VALUES ($1, now())", await an_incident(c))


async def _call(c: Connection) -> None:
    call = "INSERT INTO calls (id, incident_id, person, occasion) VALUES (gen_random_uuid(), $1, 'p', 'o')"
    await c.execute(call, await an_incident(c))


async def _press(c: Connection) -> None:
    await c.execute(
        "INSERT INTO presses (channel, outside_id, who, data, address) VALUES ('slack', '1', 'w', 'd', 'a')"
    )


async def _answer(c: Connection) -> None:
    await _press(c)
    await c.execute("UPDATE presses SET done_at = now(), outcome = 'done', answer = 'a'")


async def _recipe(c: Connection) -> None:
    await c.execute(
        "INSERT INTO recipe_requests (incident_id, recipe, target, person, channel, state, expires_at)"
        " VALUES ($1, 'retry_workflow', 't', 'p', 'telegram', 'confirmed', now() + interval '1 hour')",
        await an_incident(c),
    )


async def _comment(c: Connection) -> None:
    comment = "INSERT INTO ticket_comments (ticket_id, author, text, outside) VALUES ($1, 'a', 't', 'pending')"
    await c.execute(comment, await a_ticket(c, "created"))


async def _defect(c: Connection) -> None:
    await c.execute(
        "INSERT INTO known_defects (match, reason, created_by, development_ticket, looked_at)"
        " VALUES ('{}', 'r', 'b', 'DEV-1', now() - interval '1 hour')"
    )


async def _quiet_storm(c: Connection) -> None:
    await c.execute("INSERT INTO digests (lane, fed_at, shown) VALUES ('telegram:1', now() - interval '1 hour', 1)")


async def _doubt(c: Connection) -> None:
    await c.execute("INSERT INTO early_resolutions (fingerprint, at, again) VALUES ('f', now(), '{}')")


MADE: dict[str, tuple[Callable[[Connection], Awaitable[object]], set[str]]] = {
    "nothing": (an_incident, set()),
    "an incident without a ticket": (lambda c: an_incident(c, followed=None), {"follow-up"}),
    "a line nobody was told of": (_untold, {"follow-up"}),
    "a summons to a closed ticket": (_needless_summons, {"follow-up"}),
    "a critical incident without a timer": (lambda c: an_incident(c, severity="critical"), {"timers"}),
    "a timer": (_timer, {"timers"}),
    "a call": (_call, {"calls"}),
    "a press": (_press, {"button-actions"}),
    "an answer": (_answer, {"button-answers"}),
    "a recipe": (_recipe, {"recipes"}),
    "a ticket to create": (lambda c: a_ticket(c, "pending"), {"tracker-tickets"}),
    "a comment": (_comment, {"tracker-comments"}),
    "a ticket to read": (lambda c: a_ticket(c, "created", read_before=60.0), {"tracker-reading"}),
    "a ticket to move": (lambda c: a_ticket(c, "created", known="closed"), {"tracker-states"}),
    "a ticket to look at": (lambda c: a_ticket(c, "created", look_in=0.0), {"tracker-changes"}),
    "a defect to look at": (_defect, {"tracker-changes"}),
    "a storm that is over": (_quiet_storm, {"storms"}),
    "a sender that died": (lambda c: a_delivery(c, "sending"), {"leases"}),
    "a muted incident": (lambda c: an_incident(c, muted="silenced"), {"unmute"}),
    "a report not believed": (_doubt, {"unmute"}),
    "a failed notice": (lambda c: a_delivery(c, "failed", subject="incident:1"), {"failover"}),
    "a page not sent": (lambda c: a_delivery(c, "pending", subject="incident:1"), {"failover", "telegram"}),
    "an order's notice": (lambda c: a_delivery(c, "unknown"), {"telegram"}),
}


@pytest.mark.parametrize("what", MADE)
async def test_a_look_names_exactly_who_has_something_to_do(
    database_for: Callable[[str], Awaitable[str]], what: str
) -> None:
    make, expected = MADE[what]
    database = Database(await database_for("notifier"), application_name="look")
    await database.open()
    look, woken = LookForDue(database), set[str]()
    for name, due in {**due_by_worker(SETTINGS), "telegram": due_in("telegram")}.items():
        look.add(due, partial(woken.add, name))
    async with database.transaction() as connection:
        await make(connection)
    await look()
    assert woken == expected
    await database.close()


def test_every_worker_that_is_told_is_among_the_examples() -> None:
    named = set[str]().union(*(names for _, names in MADE.values()))
    assert named - {"telegram"} == set(WORKERS)


async def test_a_look_that_fails_wakes_everybody(database_for: Callable[[str], Awaitable[str]]) -> None:
    database = Database(await database_for("notifier"), application_name="look")
    await database.open()
    look, woken = LookForDue(database), set[str]()
    for name, due in due_by_worker(SETTINGS).items():
        look.add(due, partial(woken.add, name))
    async with database.transaction() as connection:
        await connection.execute("ALTER TABLE early_resolutions RENAME TO hidden")
    with pytest.raises(asyncpg.UndefinedTableError):
        await look()
    assert woken == set(WORKERS)
    await database.close()


async def test_an_idle_notifier_asks_one_question_for_all_workers(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, prepare = list[str](), pool.prepare_connection

    async def prepare_and_note(connection: Connection) -> None:
        await prepare(connection)
        connection.add_query_logger(lambda record: seen.append(record.query))

    monkeypatch.setattr(pool, "prepare_connection", prepare_and_note)
    await make_kit(**settings_for(tmp_path, **TRACKER))

    def looks() -> list[int]:
        return [place for place, query in enumerate(seen) if " AS q0" in query]

    async def looked() -> bool:
        return len(looks()) > 13

    await eventually(looked, within=60)
    first, last = looks()[3], looks()[13]
    asked = [re.sub(r"\s+", " ", query).strip()[:90] for query in seen[first:last]]
    of_workers = [
        query
        for query in asked
        if re.match(r"UPDATE (tickets|ticket_comments|presses|recipe_requests|deliveries|digests)", query)
    ]
    assert of_workers == []
    assert len(asked) < 10 * 30, asked
