"""Every act of the notifier names in its rehearsal the messages that follow, and exactly those follow.

What follows of calls, and the end of a recipe at the real orchestrator and refunds, is shown beside
those; what a dead letter's message tells is named by its event, as every service does it.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.contracts import Envelope
from common.contracts.notices import FOLLOWERS
from common.ids import new_id
from tests.integration.notifier.factories import NOW, Kit, MakeKit, a_problem, post
from tests.integration.notifier.orchestrator import an_orchestrator
from tests.integration.notifier.people import crashed, put_roster, settings_for
from tests.support.alert_samples import notification, one_alert
from tests.support.servers import eventually

WHY = {"reason": "tried by a test"}
_DELIVERIES = """
SELECT d.id::text AS key, n.incident_id, d.destination || ' (' || d.channel || ')' AS place, n.kind,
       split_part(n.transition, ':', 1) AS word
FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id
"""
_EDITS = """
SELECT p.id || '@' || p.wanted AS key, n.incident_id, d.destination || ' (' || d.channel || ')' AS place, n.kind, NULL AS word
FROM posts AS p JOIN post_parts AS pp ON pp.post_id = p.id AND pp.position = 1
JOIN deliveries AS d ON d.id = pp.delivery_id JOIN notices AS n ON n.id = d.notice_id WHERE p.wanted > 0
"""
_IN_TICKETS = """
SELECT 'comment ' || c.id AS key, 'ticket.commented of ' || t.key AS line FROM ticket_comments AS c JOIN tickets AS t ON t.id = c.ticket_id
UNION ALL SELECT 'ticket ' || id, 'ticket.opened of ' || queue FROM tickets
UNION ALL SELECT 'closed ' || id, 'ticket.closed of ' || key FROM tickets WHERE state = 'closed'
"""
OF_CALLS = ("calls.", "call.", "reminder.")
"""What is named of calls begins so: tests look at it for itself."""
CHAT, SLACK = "on-call-production (telegram)", "orders-notifications (slack)"
KIND = "problem.order_conflict"


async def facts(kit: Kit) -> dict[str, str]:
    """Everything that was queued, edited, said in tickets, opened and closed so far: what is one, and its line."""
    found = {row["key"]: row["line"] for row in await kit.fetch(_IN_TICKETS)}
    for statement in (_DELIVERIES, _EDITS):
        for row in await kit.fetch(statement):
            kind, word, about = row["kind"], row["word"], ""
            event = f"message.edited ({kind})" if word is None else kind if word == kind else f"{kind} ({word})"
            if row["incident_id"] is not None:
                about = f" of incident:{row['incident_id']}"
                event = (
                    event if word is None else f"incident.{'opened' if word in (kind, 'unmuted') else word} ({kind})"
                )
            found[f"{word is None} {row['key']}"] = f"{event}{about}: {row['place']}"
    return found


async def named_alike(
    kit: Kit, method: str, path: str, *, expect: int = 200, role: str = "operator", **body: Any
) -> tuple[list[str], Any]:
    """Rehearse a change and do it: both name the same messages. Returns their names and the answer."""
    before = await facts(kit)
    status, preview = await kit.call(method, path, role=role, body={**WHY, **body, "dry_run": True})
    assert status == expect, preview
    assert await facts(kit) == before, "a rehearsal changes nothing"
    status, done = await kit.call(method, path, role=role, body={**WHY, **body})
    assert status == expect, done
    named: list[str] = (
        done["notices"] if "notices" in done else [each for item in done["items"] for each in item["notices"]]
    )
    foreseen = (
        preview["notices"] if "notices" in preview else [each for item in preview["items"] for each in item["notices"]]
    )
    assert foreseen == named
    return named, done


async def rehearsed(kit: Kit, method: str, path: str, **body: Any) -> tuple[list[str], Any]:
    """Rehearse a change and do it: both name the same messages, and exactly those follow. Returns their names and the answer."""
    before = await facts(kit)
    named, done = await named_alike(kit, method, path, **body)
    # Of a problem that is new the number was not known beforehand; whom a comment calls to a ticket, the tracker tells.
    wanted = Counter(
        line.partition(": ")[0] if line.startswith("ticket.") else line
        for line in named
        if not line.startswith(OF_CALLS)
    )

    async def followed() -> bool:
        after = await facts(kit)
        lines = Counter(line for key, line in after.items() if key not in before)
        numbered = Counter({line: count for line, count in lines.items() if line in wanted})
        unnumbered = Counter(_without_number(line) for line in (lines - numbered).elements())
        assert numbered + unnumbered == wanted, (lines, wanted)
        return True

    await eventually(followed)
    return named, done


def _without_number(line: str) -> str:
    event, _, place = line.rpartition(": ")
    return f"{event.partition(' of incident:')[0]}: {place}"


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
    return await stands(kit, fingerprint, silenced=silenced)


async def stands(kit: Kit, fingerprint: str, *, silenced: bool = False) -> int:
    """Wait until a problem stands in both chats, in a ticket, and in the chain; returns its incident."""

    async def there() -> int:
        rows = await kit.fetch(
            "SELECT i.id, (SELECT count(*) FROM post_parts AS pp JOIN deliveries AS d ON d.id = pp.delivery_id"
            " JOIN notices AS n ON n.id = d.notice_id WHERE n.incident_id = i.id) AS posts,"
            " EXISTS (SELECT FROM tickets AS t WHERE t.incident_id = i.id) AS ticket,"
            " EXISTS (SELECT FROM escalations AS e WHERE e.incident_id = i.id) AS chain,"
            " EXISTS (SELECT FROM incident_history AS h WHERE h.incident_id = i.id AND NOT told) AS untold"
            " FROM incidents AS i WHERE i.fingerprint = $1",
            fingerprint,
        )
        wanted = (0, True, False, False) if silenced else (2, True, True, False)
        assert [tuple(row.values())[1:] for row in rows] == [wanted], rows
        return int(rows[0]["id"])

    return await eventually(there)


def of_both(event: str, incident: int | None = None) -> list[str]:
    """A line for each of both chats."""
    about = "" if incident is None else f" of incident:{incident}"
    return [f"{event}{about}: {place}" for place in (CHAT, SLACK)]


EDITED, OPENED, RESOLVED = f"message.edited ({KIND})", f"incident.opened ({KIND})", f"incident.resolved ({KIND})"


async def test_incidents_name_edits_notices_tickets_and_calls_that_end(kit: Kit) -> None:
    one, two, three = [await told_of(kit, fingerprint) for fingerprint in ("p:1", "p:2", "p:3")]
    comment = f"ticket.commented of TRAVELORDERSUP-1: {FOLLOWERS}"
    named, _ = await rehearsed(kit, "POST", f"/admin/v1/incidents/{one}/ack")
    assert sorted(named) == sorted([*of_both(EDITED, one), comment, f"calls.pause of incident:{one}: on call"])
    named, _ = await rehearsed(kit, "POST", f"/admin/v1/incidents/{one}/comment")
    assert named == [comment]
    named, _ = await rehearsed(kit, "POST", f"/admin/v1/incidents/{one}/resolve")
    told = [*of_both(RESOLVED, one), *of_both(EDITED, one), f"calls.end of incident:{one}: on call"]
    assert sorted(named) == sorted([*told, comment, f"ticket.closed of TRAVELORDERSUP-1: {FOLLOWERS}"])
    named, done = await rehearsed(kit, "POST", "/admin/v1/incidents/ack", ids=[two, three])
    assert [len(item["notices"]) for item in done["items"]] == [4, 4]
    assert set(of_both(EDITED, two)) < set(done["items"][0]["notices"])


async def test_a_recipe_names_who_is_told_that_it_begins_and_how_it_ends(make_kit: MakeKit, tmp_path: Path) -> None:
    kind = "workflow.crashed"
    async with an_orchestrator() as orchestrator:
        kit = await make_kit(orchestrator_url=orchestrator.url, **settings_for(tmp_path))
        await put_roster(kit, "oleg", "anna")
        await kit.publish(crashed(7))
        incident = await stands(kit, "workflow:7")
        before = await facts(kit)
        named, _ = await named_alike(kit, "POST", f"/admin/v1/incidents/{incident}/recipes/retry_workflow")
        edited, done = (of_both(f"{event} ({kind})", incident) for event in ("message.edited", "incident.recipe_done"))
        comment = f"ticket.commented of TRAVELORDERSUP-1: {FOLLOWERS}"
        begins = [*edited, comment, f"calls.pause of incident:{incident}: on call", orchestrator.tells]
        fails = [*of_both(f"incident.recipe_failed ({kind})", incident), comment]
        ends = [f"if it succeeds: {line}" for line in [*done, comment]]  # that it is over, the orchestrator says
        ends += [f"if it fails: {line}" for line in fails]
        assert sorted(named) == sorted([*begins, *ends])

        async def followed() -> bool:
            lines = [line for key, line in (await facts(kit)).items() if key not in before]
            # Of the edits only the last of each message is seen.
            in_ticket = [line.partition(": ")[0] for line in (comment, comment)]
            assert sorted(lines) == sorted([*edited, *done, *in_ticket])
            return True

        await eventually(followed)


async def test_a_sender_that_is_given_up_names_the_end_of_its_silence(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(watchdog_patience=2.0, **settings_for(tmp_path))
    await put_roster(kit, "oleg", "anna")
    for name in ("one", "two"):
        await post(kit, notification(one_alert("Watchdog", severity="none", labels={"cluster": name})))
    senders = (await kit.call("GET", "/admin/v1/alert-senders", role="viewer"))[1]["items"]
    silent = [await stands(kit, f"alerts_silent:{each['name']}") for each in senders]
    named, _ = await rehearsed(kit, "POST", f"/admin/v1/alert-senders/{senders[0]['id']}/give-up")
    over = of_both("incident.resolved (problem.alerts_silent)", silent[0])
    assert set(over) < set(named)
    assert not [line for line in named if f"incident:{silent[1]}" in line]


async def test_a_dead_letter_names_what_its_message_and_its_end_tell(kit: Kit) -> None:
    await kit.publish(
        Envelope(id=new_id(), source="/another-release", type=a_problem().TYPE, subject=None, time=NOW, data={})
    )

    async def letter() -> tuple[int, str]:
        found = (await kit.call("GET", "/admin/v1/dead-letters?open=true", role="viewer"))[1]["items"]
        rows = await kit.fetch("SELECT fingerprint FROM incidents")
        assert (len(found), len(rows)) == (1, 1)
        return found[0]["id"], rows[0]["fingerprint"]

    number, fingerprint = await eventually(letter)
    dead, path = await stands(kit, fingerprint), f"/admin/v1/dead-letters/{number}"
    over = "alerts.problem.resolved.v1: who was told of it"
    for verb in ("dismiss", "replay"):  # which nobody can read as it is
        status, said = await kit.call("POST", f"{path}/{verb}", body={**WHY, "dry_run": True})
        assert (status, said["notices"]) == (200, [over])
    before = await facts(kit)
    named, _ = await named_alike(kit, "POST", f"{path}/mend", data=a_problem("p:mended").model_dump(mode="json"))
    assert named == [over, "alerts.problem.raised.v1 (order_conflict): on call"]

    async def followed() -> bool:
        lines = {line for key, line in (await facts(kit)).items() if key not in before}
        assert set(of_both("incident.resolved (problem.dead_letter)", dead)) < lines
        assert [line for line in lines if line.startswith(OPENED)]
        return True

    await eventually(followed)


async def test_an_erasure_tells_nobody(kit: Kit) -> None:
    await told_of(kit, "p:1")
    wanted = {"order_number": a_problem().order_number}
    named, _ = await rehearsed(kit, "POST", "/admin/v1/erasures", role="admin", **wanted)
    assert named == []


async def test_silences_name_what_is_told_and_phoned_when_they_end(kit: Kit) -> None:
    told = await told_of(kit, "p:1")
    ends = datetime.now(UTC) + timedelta(hours=2)
    match = {"kind": [KIND]}
    named, kept = await rehearsed(kit, "POST", "/admin/v1/silences", match=match, ends_at=ends.isoformat())
    assert named == [f"calls.pause of incident:{told}: on call"]
    held = await told_of(kit, "p:2", silenced=True)
    named, _ = await rehearsed(kit, "DELETE", f"/admin/v1/silences/{kept['id']}")
    assert sorted(named) == sorted([*of_both(OPENED, held), f"calls.resume of incident:{told}: on call"])


async def test_tickets_name_comments_summons_and_what_closes_with_them(kit: Kit) -> None:
    ticket = {"summary": "Клиент не получил заказ", "text": "Просит перезвонить"}
    named, opened = await rehearsed(kit, "POST", "/admin/v1/tickets", expect=201, **ticket)
    assert (named, opened["key"]) == ([f"ticket.opened of TRAVELSUP: {FOLLOWERS}"], "TRAVELSUP-1")
    path, comment = "/admin/v1/tickets/TRAVELSUP-1", "ticket.commented of TRAVELSUP-1"
    assert (await rehearsed(kit, "POST", f"{path}/assign", assignee="anna"))[0] == [f"{comment}: Anna"]
    assert (await rehearsed(kit, "POST", f"{path}/link", ticket="TRAVELBACK-7"))[0] == [f"{comment}: {FOLLOWERS}"]
    named, _ = await rehearsed(kit, "POST", f"{path}/development-ticket")
    assert named == [f"ticket.opened of TRAVELBACK: {FOLLOWERS}", f"{comment}: {FOLLOWERS}"]
    named, _ = await rehearsed(kit, "POST", f"{path}/comments", expect=201, text="Курьер едет", tell_customer=True)
    assert named == [f"{comment}: Anna"]
    named, summoned = await rehearsed(kit, "POST", f"{path}/summon")
    summons = "(problem.ticket.summons)"
    assert sorted(named) == sorted([*of_both(f"incident.opened {summons}"), f"{comment}: Oleg", "call.waits: Oleg"])
    # "No need to call", said by who would be phoned, takes the incident: the messages about it are edited.
    incident = summoned["incident_id"]

    async def posted() -> bool:
        return len(await kit.fetch("SELECT FROM posts")) == 2

    await eventually(posted)
    named, said = await rehearsed(kit, "POST", f"{path}/comments", expect=201, text="Звонить не нужно.")
    assert said["acknowledged"] is True
    edits = of_both(f"message.edited {summons}", incident)
    assert sorted(named) == sorted([f"{comment}: {FOLLOWERS}", *edits, f"calls.pause of incident:{incident}: on call"])
    named, closed = await rehearsed(kit, "POST", f"{path}/close")
    assert closed["incidents"] == [incident]
    over = [*of_both(f"incident.resolved {summons}", incident), f"calls.end of incident:{incident}: on call"]
    in_ticket = [f"{comment}: {FOLLOWERS}", f"ticket.closed of TRAVELSUP-1: {FOLLOWERS}"]
    assert sorted(named) == sorted([*in_ticket, *over, *edits])


async def test_a_test_message_names_its_chat_and_what_tells_nobody_says_so(kit: Kit) -> None:
    named, _ = await rehearsed(kit, "POST", "/admin/v1/test-message", expect=202, destination="on-call-production")
    assert named == [f"test: {CHAT}"]
    assert (await rehearsed(kit, "PUT", f"/admin/v1/instructions/{KIND}", text="Позвонить в магазин"))[0] == []
    defect = {"match": {"kind": [KIND]}, "development_ticket": "TRAVELBACK-1"}
    named, kept = await rehearsed(kit, "POST", "/admin/v1/known-defects", expect=201, **defect)
    assert named == []
    assert (await rehearsed(kit, "DELETE", f"/admin/v1/known-defects/{kept['defect']['id']}"))[0] == []


async def test_duty_names_who_is_replaced_and_each_handover_now_and_later(kit: Kit) -> None:
    [week] = await kit.fetch("SELECT starts_at FROM handovers")  # announced when the roster was made
    overrides, handover = "/admin/v1/roster/overrides", "roster.handover (announced)"
    now = datetime.now(UTC).replace(microsecond=0)
    until = now + timedelta(hours=3)
    wanted = {"person": "boris", "starts_at": (now - timedelta(minutes=1)).isoformat(), "ends_at": until.isoformat()}
    assert (await rehearsed(kit, "POST", "/admin/v1/roster/handovers/confirm"))[0] == []
    named, made = await rosters(kit, "POST", overrides, **wanted)
    assert named == [f"{handover}: {CHAT}", f"{handover} of {until:%Y-%m-%dT%H:%M:%SZ}: {CHAT}"]
    [replaced] = made["replaced"]
    assert (replaced["place"], replaced["person"], replaced["instead_of"]) == ("on_duty", "boris", "oleg")
    assert datetime.fromisoformat(replaced["ends_at"]) == until
    # Taken back, the week is Oleg's again from this moment on, and that is a handover of its own.
    named, undone = await rosters(kit, "DELETE", f"{overrides}/{made['items'][0]['id']}")
    assert named == [f"{handover}: {CHAT}"]
    assert [(each["person"], each["instead_of"]) for each in undone["replaced"]] == [("oleg", "boris")]
    # Two weeks change places: Anna's, which comes next, and Oleg's after it.
    mondays = [week["starts_at"] + timedelta(weeks=weeks) for weeks in (1, 2)]
    swap = [monday.date().isoformat() for monday in mondays]
    named, swapped = await rosters(kit, "POST", overrides, swap=swap)
    assert named == [f"{handover} of {monday:%Y-%m-%dT%H:%M:%SZ}: {CHAT}" for monday in mondays]
    on_duty = [each for each in swapped["replaced"] if each["place"] == "on_duty"]
    assert [(each["person"], each["instead_of"]) for each in on_duty] == [("oleg", "anna"), ("anna", "oleg")]
    # Nobody at all, soon: a problem with a ticket, and somebody is phoned.
    soon = {"starts_at": until + timedelta(minutes=5), "ends_at": until + timedelta(minutes=8)}
    named, _ = await rosters(
        kit, "POST", overrides, person=None, **{name: moment.isoformat() for name, moment in soon.items()}
    )
    opened = [*of_both("incident.opened (problem.roster)"), f"ticket.opened of TRAVELORDERSUP: {FOLLOWERS}"]
    assert sorted(line for line in named if handover not in line) == sorted([*opened, "call.waits: Oleg"])


async def rosters(kit: Kit, method: str, path: str, **body: Any) -> tuple[list[str], Any]:
    """Rehearse a change of the roster and do it: both name the same, and what is due now is queued with it."""
    before = await facts(kit)
    _, preview = await kit.call(method, path, body={**WHY, **body, "dry_run": True})
    status, done = await kit.call(method, path, body={**WHY, **body})
    assert status == 200, done
    for answer in (preview, done):  # "from now on" is the moment of each
        answer["said"] = [(each["place"], each["person"], each["instead_of"]) for each in answer["replaced"]]
    assert (preview["notices"], preview["said"]) == (done["notices"], done["said"])
    queued = [_without_number(line) for key, line in (await facts(kit)).items() if key not in before]
    at_once = [line for line in done["notices"] if line.startswith(("roster.handover (announced):", "incident."))]
    assert sorted(line for line in queued if not line.startswith("ticket.")) == sorted(at_once)
    return done["notices"], done
