"""A process dies before and after every await while it does here what was done in the tracker: another goes on, it is done once."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.clock import SystemClock
from common.postgres import Database
from notifier.duty.escalation import Policy
from notifier.incidents.act import ActOnIncident
from notifier.incidents.problems import Problems
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.file import read_people
from notifier.routing.model import Routes
from notifier.tickets.acknowledge_from_comment import AcknowledgeFromComment
from notifier.tickets.change_ticket import ChangeTicket
from notifier.tickets.follow_tracker import FollowTracker
from notifier.tickets.model import Queues, TicketToLook
from notifier.tickets.name_notices import NameNotices
from notifier.tickets.support_desk import SupportDesk
from notifier.tickets.sync_tracker import SyncTracker
from notifier.tickets.tracker_store import FollowedTicket, TrackerStore
from notifier.tickets.yandex import YandexTracker
from tests.integration.notifier.factories import Kit, MakeKit
from tests.integration.notifier.people import DIRECTORY, settings_for
from tests.support.crash_points import CrashPoint, KilledError, WithCrashPoints

PEOPLE = read_people(json.dumps(DIRECTORY), name="test")
WORDS = Words("en")
PROBLEMS = Problems(routes=Routes(destinations={}, routes=()), words=WORDS, environment="testing")
ACT = ActOnIncident(problems=PROBLEMS, ack_lasts=timedelta(hours=1))
INCIDENT = """
INSERT INTO incidents (fingerprint, kind, severity, summary, details, service, environment, first_seen_at, last_seen_at)
VALUES ($1, $2, 'critical', 'for a test', '{}', 'test', 'testing', now(), now()) RETURNING id
"""
MOST_DEATHS = 60


class LooksWithCrashPoints(WithCrashPoints):
    """What is between our tickets and the tracker's, with points around and inside the transaction that does what was done there."""

    @asynccontextmanager
    async def following(self, ticket: TicketToLook) -> AsyncIterator[FollowedTicket | None]:
        """Lock a ticket."""
        await self._crash_point.point()
        async with self._real.following(ticket) as followed:
            mortal: Any = None if followed is None else WithCrashPoints(followed, self._crash_point)
            yield mortal
            await self._crash_point.point()
        await self._crash_point.point()


@pytest.fixture
async def kit(make_kit: MakeKit, tmp_path: Path) -> Kit:
    """A database, a broker and a sandbox; no notifier runs but what the tests make."""
    return await make_kit(replicas=0, **settings_for(tmp_path))


@pytest.fixture
async def database(kit: Kit) -> AsyncIterator[Database]:
    """The notifier's database."""
    database = Database(kit.dsn, application_name="victim")
    await database.open()
    yield database
    await database.close()


async def dies(work: Callable[[], Awaitable[bool]]) -> bool:
    """Do a piece of work; returns whether that was the end of the process."""
    try:
        await work()
    except KilledError:
        return True
    return False


async def test_what_is_done_in_the_tracker_is_done_here_once_whenever_the_process_dies(
    kit: Kit, database: Database
) -> None:
    tracker = YandexTracker(
        url=kit.sandbox.tracker_url,
        token="tracker-token",
        scheme="OAuth",
        organisation="1",
        organisation_header="X-Org-ID",
        deadline=5.0,
    )
    acknowledge = AcknowledgeFromComment(act=ACT, directory=PEOPLE, wordings=())
    metrics = PeopleMetrics(CollectorRegistry())
    name_notices = NameNotices(
        policy=Policy(steps=()), calls=False, directory=PEOPLE, queues=Queues(), problems=PROBLEMS
    )
    tickets = ChangeTicket(
        outside=False,
        acknowledge=acknowledge,
        directory=PEOPLE,
        words=WORDS,
        clock=SystemClock(),
        name_notices=name_notices,
    )
    desk = SupportDesk(
        tickets=tickets, problems=PROBLEMS, act=ACT, directory=PEOPLE, words=WORDS, development_queue="TRAVELBACK"
    )
    store = TrackerStore(database)
    sync = SyncTracker(
        store=store,
        tracker=tracker,
        acknowledge=acknowledge,
        directory=PEOPLE,
        metrics=metrics,
        every=timedelta(hours=1),
    )

    def follow(crash_point: CrashPoint) -> FollowTracker:
        looks: Any = LooksWithCrashPoints(store, crash_point)
        caller: Any = WithCrashPoints(tracker, crash_point)
        hands: Any = WithCrashPoints(desk, crash_point)
        return FollowTracker(
            store=looks,
            tracker=caller,
            desk=hands,
            directory=PEOPLE,
            words=WORDS,
            metrics=metrics,
            read_comments=WithCrashPoints(sync, crash_point).read_comments,
            every=timedelta(hours=1),
        )

    async def look(*, dies_at: int | None = None) -> bool:
        """Look when all leases are over, as whoever goes on does in the end."""
        await kit.fetch("UPDATE tickets SET look_due = now() RETURNING 1")
        return await dies(follow(CrashPoint(dies_at=dies_at)))

    for turn in itertools.count(1):
        [incident] = await kit.fetch(INCIDENT, f"tracker:{turn}", "problem.test")
        [row] = await kit.fetch(
            "INSERT INTO tickets (queue, kind, summary, description, created_by, outside, incident_id)"
            " VALUES ('TRAVELSUP', 'request', $1, 'for a test', 'oleg', 'pending', $2) RETURNING id",
            f"request {turn}",
            incident["id"],
        )
        assert await sync.create()
        assert not await look()
        [ticket] = await kit.fetch("SELECT key FROM tickets WHERE id = $1", row["id"])
        act = {"transition": "close", "assignee": "anna", "comment": "done", "user": "anna"}
        await kit.sandbox.control("PATCH", f"/sandbox/tracker/issues/{ticket['key']}", act)
        assert not await look()  # the search is behind
        died = await look(dies_at=turn)
        assert not await look()
        assert not await look()
        [after] = await kit.fetch("SELECT state, assignee FROM tickets WHERE id = $1", row["id"])
        assert after == {"state": "closed", "assignee": "anna"}
        [over] = await kit.fetch("SELECT state FROM incidents WHERE id = $1", incident["id"])
        assert over == {"state": "resolved"}
        audit = await kit.fetch(
            "SELECT actor, action FROM audit_log WHERE target = $1 ORDER BY id", f"ticket:{row['id']}"
        )
        assert [(each["actor"], each["action"]) for each in audit] == [
            ("anna", "ticket.assign"),
            ("anna", "ticket.close"),
        ]
        comments = await kit.fetch("SELECT text FROM ticket_comments WHERE ticket_id = $1 ORDER BY id", row["id"])
        assert [each["text"].partition(".")[0] for each in comments] == [
            "done",
            "Assigned to: Anna (@anna)",
            "The ticket is closed",
        ]
        if not died:
            break
        assert turn < MOST_DEATHS
    assert turn > 20
    await tracker.close()
