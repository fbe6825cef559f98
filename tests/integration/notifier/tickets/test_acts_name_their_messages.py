"""Every act of the notifier names in its rehearsal the messages that follow, and exactly those follow."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.testing import eventually
from tests.integration.notifier.factories import Kit, MakeKit, a_problem
from tests.integration.notifier.people import put_roster, settings_for

WHY = {"reason": "tried by a test"}
_DELIVERIES = """
SELECT d.id::text AS key, n.incident_id, n.kind || CASE split_part(n.transition, ':', 1)
           WHEN 'test' THEN '' WHEN n.kind THEN ' opened' WHEN 'unmuted' THEN ' opened' ELSE ' ' || split_part(n.transition, ':', 1)
       END AS event, d.destination || ' (' || d.channel || ')' AS place
FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id
"""
_EDITS = """
SELECT p.id || '@' || p.wanted AS key, n.incident_id, 'edit of ' || n.kind || ' ' || CASE split_part(n.transition, ':', 1)
           WHEN n.kind THEN 'opened' ELSE split_part(n.transition, ':', 1)
       END AS event, d.destination || ' (' || d.channel || ')' AS place
FROM posts AS p JOIN post_parts AS pp ON pp.post_id = p.id AND pp.position = 1
JOIN deliveries AS d ON d.id = pp.delivery_id JOIN notices AS n ON n.id = d.notice_id WHERE p.wanted > 0
"""
_COMMENTS = """
SELECT c.id::text AS key, 'comment: ticket ' || t.key AS line FROM ticket_comments AS c JOIN tickets AS t ON t.id = c.ticket_id
"""
_TICKETS = "SELECT 'new ' || id AS key, 'opening: ticket in ' || queue AS line FROM tickets"
_CLOSED = "SELECT 'closed ' || id AS key, 'closing: ticket ' || key AS line FROM tickets WHERE state = 'closed'"
NOT_IN_TABLES = ("end of reminders", "reminders and calls go on", "call after", "reminder after", "dropped call")
"""What is named of calls: tests look at it for itself."""
CHAT, SLACK = "on-call-production (telegram)", "orders-notifications (slack)"
KIND = "problem.order_conflict"


async def facts(kit: Kit) -> dict[str, str]:
    """Everything that was queued, edited, said in tickets, opened and closed so far: what is one, and its line."""
    found: dict[str, str] = {}
    for statement in (_DELIVERIES, _EDITS):
        for row in await kit.fetch(statement):
            about = "" if row["incident_id"] is None else f" of incident {row['incident_id']}"
            found[f"{statement} {row['key']}"] = f"{row['event']}{about}: {row['place']}"
    for statement in (_COMMENTS, _TICKETS, _CLOSED):
        found |= {f"{statement} {row['key']}": row["line"] for row in await kit.fetch(statement)}
    return found


async def rehearsed(kit: Kit, method: str, path: str, *, expect: int = 200, **body: Any) -> tuple[list[str], Any]:
    """Rehearse a change and do it: both name the same messages, and exactly those follow. Returns their names and the answer."""
    before = await facts(kit)
    status, preview = await kit.call(method, path, body={**WHY, **body, "dry_run": True})
    assert status == expect, preview
    assert await facts(kit) == before, "a rehearsal changes nothing"
    status, done = await kit.call(method, path, body={**WHY, **body})
    assert status == expect, done
    named: list[str] = (
        done["notices"] if "notices" in done else [each for item in done["items"] for each in item["notices"]]
    )
    foreseen = (
        preview["notices"] if "notices" in preview else [each for item in preview["items"] for each in item["notices"]]
    )
    assert foreseen == named
    # Of a problem that is new the number was not known beforehand; people who are tagged in a ticket are said with it.
    wanted = Counter(line.partition(", ")[0] for line in named if not line.startswith(NOT_IN_TABLES))

    async def followed() -> None:
        after = await facts(kit)
        lines = Counter(line for key, line in after.items() if key not in before)
        numbered = Counter({line: count for line, count in lines.items() if line in wanted})
        unnumbered = Counter(_without_number(line) for line in (lines - numbered).elements())
        assert numbered + unnumbered == wanted, (lines, wanted)

    await eventually(followed, within=60)
    return named, done


def _without_number(line: str) -> str:
    event, _, place = line.rpartition(": ")
    return f"{event.partition(' of incident ')[0]}: {place}"


@pytest.fixture
async def kit(make_kit: MakeKit, tmp_path: Path) -> Kit:
    """A notifier with people and a roster, who are phoned after an hour. The week changes hands in twelve hours, or on another day."""
    kit = await make_kit(**settings_for(tmp_path))
    week = datetime.now(UTC) - timedelta(hours=12)  # it begins as late in the day as it is now, and twelve hours
    first = week.date() - timedelta(days=week.weekday())
    await put_roster(kit, "oleg", "anna", first_week=first.isoformat(), zone="UTC", starts=f"{week:%H:%M}")
    return kit


async def told_of(kit: Kit, fingerprint: str, *, silenced: bool = False) -> int:
    """Have a critical problem reported, and wait until it stands in both chats, in a ticket, and in the chain; returns its incident."""
    await kit.publish(a_problem(fingerprint, severity="critical"))

    async def there() -> int:
        [row] = await kit.fetch(
            "SELECT i.id, (SELECT count(*) FROM post_parts AS pp JOIN deliveries AS d ON d.id = pp.delivery_id"
            " JOIN notices AS n ON n.id = d.notice_id WHERE n.incident_id = i.id) AS posts,"
            " EXISTS (SELECT FROM tickets AS t WHERE t.incident_id = i.id) AS ticket,"
            " EXISTS (SELECT FROM escalations AS e WHERE e.incident_id = i.id) AS chain,"
            " EXISTS (SELECT FROM incident_history AS h WHERE h.incident_id = i.id AND NOT told) AS untold"
            " FROM incidents AS i WHERE i.fingerprint = $1",
            fingerprint,
        )
        wanted = (0, True, False, False) if silenced else (2, True, True, False)
        assert tuple(row.values())[1:] == wanted, row
        return int(row["id"])

    return await eventually(there, within=60)


def edits(incident: int) -> list[str]:
    """The edits of both messages about an incident."""
    return [f"edit of {KIND} opened of incident {incident}: {place}" for place in (CHAT, SLACK)]


async def test_incidents_name_edits_notices_tickets_and_calls_that_end(kit: Kit) -> None:
    one, two, three = [await told_of(kit, fingerprint) for fingerprint in ("p:1", "p:2", "p:3")]
    chain = "end of reminders and calls"
    named, _ = await rehearsed(kit, "POST", f"/admin/v1/incidents/{one}/ack")
    said = ["comment: ticket TRAVELORDERSUP-1", f"{chain} for 60 min of incident {one}: on call"]
    assert sorted(named) == sorted([*edits(one), *said])
    named, _ = await rehearsed(kit, "POST", f"/admin/v1/incidents/{one}/comment")
    assert named == ["comment: ticket TRAVELORDERSUP-1"]
    named, _ = await rehearsed(kit, "POST", f"/admin/v1/incidents/{one}/resolve")
    resolved = [f"{KIND} resolved of incident {one}: {place}" for place in (CHAT, SLACK)]
    ticket = ["comment: ticket TRAVELORDERSUP-1", "closing: ticket TRAVELORDERSUP-1"]
    assert sorted(named) == sorted([*resolved, *edits(one), *ticket, f"{chain} of incident {one}: on call"])
    named, done = await rehearsed(kit, "POST", "/admin/v1/incidents/ack", ids=[two, three])
    assert [len(item["notices"]) for item in done["items"]] == [4, 4]
    assert set(edits(two)) < set(done["items"][0]["notices"])


async def test_silences_name_what_is_told_and_phoned_when_they_end(kit: Kit) -> None:
    told = await told_of(kit, "p:1")
    ends = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    match = {"kind": [KIND]}
    named, kept = await rehearsed(kit, "POST", "/admin/v1/silences", match=match, ends_at=ends.isoformat())
    until = f"{ends:%Y-%m-%dT%H:%M:%SZ}"
    assert named == [f"end of reminders and calls until {until} of incident {told}: on call"]
    held = await told_of(kit, "p:2", silenced=True)
    named, _ = await rehearsed(kit, "DELETE", f"/admin/v1/silences/{kept['id']}")
    opened = [f"{KIND} opened of incident {held}: {place}" for place in (CHAT, SLACK)]
    assert sorted(named) == sorted([*opened, f"reminders and calls go on of incident {told}: on call"])


async def test_tickets_name_comments_summons_and_what_closes_with_them(kit: Kit) -> None:
    ticket = {"summary": "Клиент не получил заказ", "text": "Просит перезвонить"}
    named, opened = await rehearsed(kit, "POST", "/admin/v1/tickets", expect=201, **ticket)
    assert (named, opened["key"]) == (["opening: ticket in TRAVELSUP"], "TRAVELSUP-1")
    path, comment = "/admin/v1/tickets/TRAVELSUP-1", "comment: ticket TRAVELSUP-1"
    assert (await rehearsed(kit, "POST", f"{path}/assign", assignee="anna"))[0] == [f"{comment}, Anna"]
    assert (await rehearsed(kit, "POST", f"{path}/link", ticket="TRAVELBACK-7"))[0] == [comment]
    named, _ = await rehearsed(kit, "POST", f"{path}/development-ticket")
    assert named == ["opening: ticket in TRAVELBACK", comment]
    named, _ = await rehearsed(kit, "POST", f"{path}/comments", expect=201, text="Курьер едет", tell_customer=True)
    assert named == [f"{comment}, Anna"]
    named, summoned = await rehearsed(kit, "POST", f"{path}/summon")
    call = "call after 60 min unless taken: Oleg"
    assert sorted(named) == sorted(
        [f"{comment}, Oleg", f"problem.ticket.summons opened: {CHAT}", f"problem.ticket.summons opened: {SLACK}", call]
    )
    # "No need to call", said by who would be phoned, takes the incident: the messages about it are edited.
    incident = summoned["incident_id"]

    async def posted() -> bool:
        return len(await kit.fetch("SELECT FROM posts")) == 2

    await eventually(posted, within=60)
    named, said = await rehearsed(kit, "POST", f"{path}/comments", expect=201, text="Звонить не нужно.")
    summons = [f"edit of problem.ticket.summons opened of incident {incident}: {place}" for place in (CHAT, SLACK)]
    assert said["acknowledged"] is True
    calls = f"end of reminders and calls for 60 min of incident {incident}: on call"
    assert sorted(named) == sorted([comment, *summons, calls])
    named, closed = await rehearsed(kit, "POST", f"{path}/close")
    assert closed["incidents"] == [incident]
    over = [f"problem.ticket.summons resolved of incident {incident}: {place}" for place in (CHAT, SLACK)]
    ends = f"end of reminders and calls of incident {incident}: on call"
    assert sorted(named) == sorted([comment, "closing: ticket TRAVELSUP-1", *over, *summons, ends])


async def test_a_test_message_names_its_chat_and_what_tells_nobody_says_so(kit: Kit) -> None:
    named, _ = await rehearsed(kit, "POST", "/admin/v1/test-message", destination="on-call-production")
    assert named == [f"test: {CHAT}"]
    assert (await rehearsed(kit, "PUT", f"/admin/v1/instructions/{KIND}", text="Позвонить в магазин"))[0] == []
    defect = {"match": {"kind": [KIND]}, "development_ticket": "TRAVELBACK-1"}
    named, kept = await rehearsed(kit, "POST", "/admin/v1/known-defects", expect=201, **defect)
    assert named == []
    assert (await rehearsed(kit, "DELETE", f"/admin/v1/known-defects/{kept['defect']['id']}"))[0] == []


async def test_duty_names_who_is_replaced_and_each_handover_now_and_later(kit: Kit) -> None:
    [week] = await kit.fetch("SELECT starts_at FROM handovers")  # announced when the roster was made
    overrides, handover = "/admin/v1/roster/overrides", "roster.handover announced"
    now = datetime.now(UTC).replace(microsecond=0)
    until = now + timedelta(hours=3)
    wanted = {"person": "boris", "starts_at": (now - timedelta(minutes=1)).isoformat(), "ends_at": until.isoformat()}
    named, made = await rehearsed_now(kit, "POST", overrides, **wanted)
    back = f"{handover} of Oleg at {until:%Y-%m-%dT%H:%M:%SZ}: {CHAT}"
    assert named == [f"{handover}: {CHAT}", back]
    on_duty, *others = made["replaced"]
    assert (on_duty["place"], on_duty["person"], on_duty["instead_of"], moment(on_duty["ends_at"])) == (
        "on_duty",
        "boris",
        "oleg",
        until,
    )
    assert others == []
    # Taken back, the week is Oleg's again from this moment on, and that is a handover of its own.
    named, undone = await rehearsed_now(kit, "DELETE", f"{overrides}/{made['items'][0]['id']}")
    assert named == [f"{handover}: {CHAT}"]
    assert [(each["person"], each["instead_of"]) for each in undone["replaced"]] == [("oleg", "boris")]
    # Two weeks that change places: Anna's and Oleg's after it.
    first = week["starts_at"].date() + timedelta(weeks=1)
    second = first + timedelta(weeks=1)
    named, swapped = await rehearsed_now(kit, "POST", overrides, swap=[first.isoformat(), second.isoformat()])
    assert [line.partition(" at ")[0] for line in named] == [f"{handover} of Oleg", f"{handover} of Anna"]
    assert [(each["person"], each["instead_of"]) for each in swapped["replaced"] if each["place"] == "on_duty"] == [
        ("oleg", "anna"),
        ("anna", "oleg"),
    ]
    # Nobody at all, soon: a problem, a ticket and reminders.
    gap = {
        "person": None,
        "starts_at": (until + timedelta(minutes=5)).isoformat(),
        "ends_at": (until + timedelta(minutes=8)).isoformat(),
    }
    named, _ = await rehearsed_now(kit, "POST", overrides, **gap)
    told = [line for line in named if not line.startswith(handover)]
    assert sorted(told) == sorted(
        [
            f"problem.roster opened: {CHAT}",
            f"problem.roster opened: {SLACK}",
            "opening: ticket in TRAVELORDERSUP",
            "call after 60 min unless taken: Oleg",
        ]
    )


async def rehearsed_now(kit: Kit, method: str, path: str, **body: Any) -> tuple[list[str], Any]:
    """The same; what is named of later handovers is not queued yet."""
    before = {row["id"] for row in await kit.fetch("SELECT id FROM deliveries")}
    _, preview = await kit.call(method, path, body={**WHY, **body, "dry_run": True})
    status, done = await kit.call(method, path, body={**WHY, **body})
    assert status == 200, done
    assert names_of(preview) == names_of(done)
    rows = await kit.fetch(
        "SELECT d.id, d.destination, n.kind FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id"
    )
    queued = sorted(row["kind"] for row in rows if row["id"] not in before)
    assert queued == sorted(
        line.partition(" ")[0]
        for line in done["notices"]
        if line.startswith(("roster.handover announced:", "problem."))
    )
    return done["notices"], done


def names_of(answer: Any) -> tuple[list[str], list[tuple[str, str | None, str | None, str]]]:
    """What is named, and who is replaced until when; from when is the moment of each."""
    replaced = [(each["place"], each["person"], each["instead_of"], each["ends_at"]) for each in answer["replaced"]]
    return answer["notices"], replaced


def moment(text: str) -> datetime:
    """Read a moment."""
    return datetime.fromisoformat(text)
