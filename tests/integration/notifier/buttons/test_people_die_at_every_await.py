"""A process dies before and after every await of what people set off: a press, a recipe, a ticket and its comments. Another goes on, and
everything has its effect once.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from common.http import Principal
from common.ids import order_number
from common.postgres import Connection, Database
from common.service import running
from notifier.buttons.handle import HandleButtonAction
from notifier.buttons.store import ActionEffects, ButtonAction, ButtonActionStore
from notifier.buttons.workers import CarryOutButtonActions
from notifier.incidents.act import ActOnIncident
from notifier.incidents.problems import Problems
from notifier.messages.incident_notices import data_of
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.file import read_people
from notifier.recipes.http import HttpRecipes
from notifier.recipes.run import RunRecipes
from notifier.recipes.store import RecipeStore
from notifier.routing.model import Routes
from notifier.tickets.acknowledge_from_comment import AcknowledgeFromComment
from notifier.tickets.sync_tracker import SyncTracker
from notifier.tickets.tracker_store import TrackerStore
from notifier.tickets.yandex import YandexTracker
from orchestrator.app import build as build_orchestrator
from orchestrator.settings import OrchestratorSettings
from tests.integration.notifier.factories import SUITE_TOKENS, Kit, MakeKit, created_hook
from tests.integration.notifier.people import DIRECTORY, settings_for, telegram_id
from tests.support.crash_points import CrashPoint, KilledError, WithCrashPoints
from tests.support.servers import eventually

PEOPLE = read_people(json.dumps(DIRECTORY), name="test")
WORDS = Words("en")
PROBLEMS = Problems(routes=Routes(destinations={}, routes=()), words=WORDS, environment="testing")
ACT = ActOnIncident(problems=PROBLEMS, ack_lasts=timedelta(hours=1))
INCIDENT = """
INSERT INTO incidents (fingerprint, kind, severity, summary, details, service, environment, first_seen_at, last_seen_at)
VALUES ($1, $2, 'critical', 'for a test', '{}', 'test', 'testing', now(), now()) RETURNING id
"""
CONFIRMED = """
INSERT INTO recipe_requests (incident_id, recipe, target, person, channel, state, expires_at)
VALUES ($1, 'retry_workflow', $2, 'oleg', 'telegram', 'confirmed', now() + interval '1 hour')
"""
AT_REST = """
UPDATE workflow AS w SET state = 4 WHERE w.order_number = $1 AND w.done_seq = w.last_seq
AND NOT EXISTS (SELECT FROM workflow_ready AS r WHERE r.workflow_id = w.id) RETURNING w.id
"""
MOST_DEATHS = 40


class PressesWithCrashPoints(WithCrashPoints):
    """Presses with points before and after each await: of the queue, and of everything that a press does in its transaction."""

    @asynccontextmanager
    async def next(self) -> AsyncIterator[tuple[Connection, ButtonAction] | None]:
        """Lock the next button action."""
        await self._crash_point.point()
        async with self._real.next() as found:
            yield found
            await self._crash_point.point()
        await self._crash_point.point()

    def effects(self, connection: Connection, press: ButtonAction, principal: Principal) -> ActionEffects:
        """Return effects that die."""
        real = self._real.effects(connection, press, principal)
        for name in ("incident_store", "notifications", "recipes"):
            setattr(real, name, WithCrashPoints(getattr(real, name), self._crash_point))
        mortal: Any = WithCrashPoints(real, self._crash_point)
        return mortal  # type: ignore[no-any-return]  # it passes for what it wraps


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


@pytest.mark.parametrize("act", ["ack", "silence", "resolve"])
async def test_a_press_is_carried_out_once_whenever_its_process_dies(kit: Kit, database: Database, act: Any) -> None:
    actions = ButtonActionStore(database)
    handle = HandleButtonAction(
        act=ACT,
        directory=PEOPLE,
        words=WORDS,
        environment="testing",
        routes=Routes(destinations={}, routes=()),
    )

    def worker(crash_point: CrashPoint) -> CarryOutButtonActions:
        mortal: Any = PressesWithCrashPoints(actions, crash_point)
        return CarryOutButtonActions(
            actions=mortal, handle=handle, failure_text="sorry", metrics=PeopleMetrics(CollectorRegistry())
        )

    for turn in itertools.count(1):
        [incident] = await kit.fetch(INCIDENT, f"press:{turn}", "problem.test")
        await actions.keep(
            channel="telegram",
            outside_id=f"query-{turn}",
            who=str(telegram_id("oleg")),
            data=data_of(act, incident["id"]),
            address="-100",
            reply_to=None,
            traceparent=None,
        )
        died = await dies(worker(CrashPoint(dies_at=turn)))
        while await worker(CrashPoint())():
            pass
        [press] = await kit.fetch("SELECT outcome FROM presses WHERE outside_id = $1", f"query-{turn}")
        history = await kit.fetch(
            "SELECT act, actor FROM incident_history WHERE incident_id = $1 AND actor = 'oleg' ORDER BY id",
            incident["id"],
        )
        audit = await kit.fetch("SELECT action FROM audit_log WHERE target = $1", f"incident:{incident['id']}")
        assert press["outcome"] == "done"
        notified = {"ack": "ack", "silence": "silenced", "resolve": "resolve"}[act]
        assert [row["act"] for row in history].count(notified) == 1, (turn, history)
        assert len(audit) <= 1, (turn, audit)
        if not died:
            assert turn > 8  # it died at every point that there is
            return
        assert turn < MOST_DEATHS


async def test_a_ticket_and_its_comments_arrive_once_whenever_the_process_dies(kit: Kit, database: Database) -> None:
    tracker = YandexTracker(
        url=kit.sandbox.tracker_url,
        token="tracker-token",
        scheme="OAuth",
        organisation="1",
        organisation_header="X-Org-ID",
        deadline=5.0,
    )

    def sync(crash_point: CrashPoint) -> SyncTracker:
        mortal: Any = WithCrashPoints(TrackerStore(database), crash_point)
        caller: Any = WithCrashPoints(tracker, crash_point)
        acknowledge = AcknowledgeFromComment(act=ACT, directory=PEOPLE, wordings=())
        return SyncTracker(
            store=mortal,
            tracker=caller,
            acknowledge=acknowledge,
            directory=PEOPLE,
            metrics=PeopleMetrics(CollectorRegistry()),
            every=timedelta(hours=1),
        )

    async def goes_on(table: str, work: str) -> None:
        await kit.fetch(f"UPDATE {table} SET not_before = now() RETURNING 1")  # noqa: S608 - its lease is over
        while await getattr(sync(CrashPoint()), work)():
            pass

    for turn in itertools.count(1):
        await kit.fetch(
            "INSERT INTO tickets (queue, kind, summary, description, created_by, outside)"
            " VALUES ('TRAVELORDERSUP', 'problem.test', $1, 'for a test', 'notifier', 'pending') RETURNING id",
            f"ticket {turn}",
        )
        died = await dies(sync(CrashPoint(dies_at=turn)).create)
        await goes_on("tickets", "create")
        issues = await issues_of(kit)
        assert [issue["summary"] for issue in issues].count(f"ticket {turn}") == 1
        if not died:
            break
        assert turn < MOST_DEATHS
    assert turn > 6
    [ticket] = await kit.fetch("SELECT id, key FROM tickets WHERE summary = 'ticket 1'")
    for turn in itertools.count(1):
        await kit.fetch(
            "INSERT INTO ticket_comments (ticket_id, author, text, outside) VALUES ($1, 'oleg', $2, 'pending') RETURNING id",
            ticket["id"],
            f"comment {turn}",
        )
        died = await dies(sync(CrashPoint(dies_at=turn)).send)
        await goes_on("ticket_comments", "send")
        [issue] = [each for each in await issues_of(kit) if each["key"] == ticket["key"]]
        assert [comment["text"] for comment in issue["comments"]] == [
            f"comment {number}" for number in range(1, turn + 1)
        ]
        if not died:
            break
        assert turn < MOST_DEATHS
    assert turn > 6
    await tracker.close()


async def issues_of(kit: Kit) -> list[dict[str, Any]]:
    """What stands in the tracker."""
    page = await kit.sandbox.control("GET", "/sandbox/tracker/issues")
    return list(page["items"])


async def test_a_recipe_retries_its_workflow_once_whenever_the_process_dies(
    kit: Kit,
    database: Database,
    database_for: Callable[[str], Awaitable[str]],
    amqp_url: str,
    tmp_path: Path,
) -> None:
    orders_dsn = await database_for("orchestrator")
    tokens = tmp_path / "suite-tokens.json"
    tokens.write_text(json.dumps(SUITE_TOKENS))
    settings = OrchestratorSettings(
        postgres_dsn=SecretStr(orders_dsn), poll=0.1, port=0, amqp_url=SecretStr(amqp_url), tokens_file=tokens
    )
    async with running(build_orchestrator, settings) as orchestrator:
        http = HttpRecipes(orchestrator_url=orchestrator.url, refunds_url=None)

        def recipes(crash_point: CrashPoint) -> RunRecipes:
            store: Any = WithCrashPoints(RecipeStore(database, problems=PROBLEMS), crash_point)
            caller: Any = WithCrashPoints(http, crash_point)
            return RunRecipes(
                store=store,
                http=caller,
                directory=PEOPLE,
                words=WORDS,
                metrics=PeopleMetrics(CollectorRegistry()),
                deadline=5.0,
            )

        for turn in itertools.count(1):
            workflow_id = await crashed_workflow(kit, orders_dsn, f"R{turn}")
            [incident] = await kit.fetch(INCIDENT, f"workflow:{workflow_id}", "workflow.crashed")
            await kit.fetch(CONFIRMED + " RETURNING id", incident["id"], str(workflow_id))
            died = await dies(recipes(CrashPoint(dies_at=turn)))
            await kit.fetch("UPDATE recipe_requests SET not_before = now() WHERE state = 'running' RETURNING 1")
            while await recipes(CrashPoint())():
                pass
            [request] = await kit.fetch("SELECT state FROM recipe_requests WHERE incident_id = $1", incident["id"])
            [after] = await kit.fetch("SELECT state FROM incidents WHERE id = $1", incident["id"])
            history = await kit.fetch(
                "SELECT act FROM incident_history WHERE incident_id = $1 AND act LIKE 'recipe%'", incident["id"]
            )
            assert (request["state"], after["state"] != "resolved") == ("done", True), turn
            assert [row["act"] for row in history] == ["recipe_done"]
            audit = await audit_of(orders_dsn, workflow_id)
            assert audit == [("oleg", "workflow.retry")], (turn, audit)
            if not died:
                assert turn > 6
                break
            assert turn < MOST_DEATHS
        await http.close()


async def crashed_workflow(kit: Kit, orders_dsn: str, external_id: str) -> int:
    """Have an order made by the real orchestrator, and its workflow be a crashed one; returns its id."""
    await kit.broker.publisher.publish(created_hook(external_id).to_envelope(), deadline=15.0)
    connection = await asyncpg.connect(orders_dsn)
    try:

        async def crashed() -> int:
            found: int | None = await connection.fetchval(AT_REST, order_number("sbermarket", external_id))
            return found or 0

        return await eventually(crashed, what="a workflow at rest")
    finally:
        await connection.close()


async def audit_of(orders_dsn: str, workflow_id: int) -> list[tuple[str, str]]:
    """Who did what to a workflow, as the orchestrator's audit says."""
    connection = await asyncpg.connect(orders_dsn)
    try:
        rows = await connection.fetch(
            "SELECT actor, action FROM audit_log WHERE target = $1", f"workflow:{workflow_id}"
        )
        return [(row["actor"], row["action"]) for row in rows]
    finally:
        await connection.close()
