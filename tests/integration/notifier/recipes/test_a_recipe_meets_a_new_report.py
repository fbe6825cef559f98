"""A recipe is pressed while the same problem is reported again: in both orders, and at one moment in two replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.http import Principal
from common.postgres import Database
from notifier.buttons.store import ButtonAction, ButtonActionStore
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import Recipe
from notifier.incidents.problems import Problems, Report
from notifier.inputs.events import workflow_fact
from notifier.messages.words import Words
from notifier.recipes.model import RecipeDone
from notifier.recipes.store import RecipeStore
from notifier.routing.model import Routes
from tests.integration.notifier.factories import ONE_GROUP, Kit, MakeKit, enveloped
from tests.integration.notifier.orchestrator import an_orchestrator
from tests.integration.notifier.people import SECRET, crashed, settings_for, telegram_id
from tests.support.servers import eventually

RACES = 12


@dataclass
class Race:
    """Presses and reports about some workflows, at a notifier of two replicas."""

    kit: Kit
    requests: dict[int, int] = field(default_factory=dict)
    reported: dict[int, datetime] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    presses: int = 0

    async def report(self, workflow: int) -> None:
        """Report that the workflow crashed now."""
        self.reported[workflow] = datetime.now(UTC)
        envelope = enveloped(crashed(workflow, occurred_at=self.reported[workflow]))
        self.events.append(envelope.id)
        await self.kit.publish(envelope)

    async def press(self, data: str, *, user: str) -> None:
        """Press a button, as Telegram says it; the replicas take turns."""
        self.presses += 1
        query = {
            "id": f"query-{self.presses}",
            "from": {"id": telegram_id(user)},
            "message": {"chat": {"id": -100}},
            "data": data,
        }
        url = self.kit.applications[self.presses % 2].url + "/telegram/webhook"
        headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        body = {"update_id": self.presses, "callback_query": query}
        async with self.kit.sandbox.session.post(url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def opened(self, workflows: Sequence[int]) -> None:
        """Report each, and ask for its recipe."""
        for workflow in workflows:
            await self.report(workflow)
        for workflow in workflows:
            await self.press(f"n1:w:{(await self.incident(workflow))['id']}", user="oleg")
        asked = "SELECT id, target FROM recipe_requests"

        async def all_asked() -> bool:
            self.requests = {int(row["target"]): row["id"] for row in await self.kit.fetch(asked)}
            return len(self.requests) == len(workflows)

        await eventually(all_asked, what="every recipe is asked for")

    async def incident(self, workflow: int, *, occurrences: int = 1) -> dict[str, Any]:
        """The newest incident of a workflow, when it was reported so often."""

        async def found() -> Any:
            rows = await self.kit.fetch(
                "SELECT * FROM incidents WHERE fingerprint = $1 ORDER BY id DESC LIMIT 1", f"workflow:{workflow}"
            )
            return next((row for row in rows if row["occurrences"] >= occurrences), None)

        incident: dict[str, Any] = await eventually(found, what=f"workflow {workflow} reported {occurrences} times")
        return incident

    async def confirmed(self, workflow: int) -> None:
        """Say yes to its recipe."""
        await self.press(f"n1:y:{self.requests[workflow]}", user="oleg")

    async def ran(self, workflow: int) -> datetime:
        """Wait until its recipe is done; returns when it began."""
        statement = "SELECT began_at FROM recipe_requests WHERE id = $1 AND state = 'done'"

        async def done() -> Any:
            return await self.kit.fetch(statement, self.requests[workflow])

        [row] = await eventually(done, what="the recipe is done")
        began: datetime = row["began_at"]
        return began

    async def at_rest(self) -> None:
        """Wait until every report was taken in, every press carried out, and every line followed up."""

        async def quiet() -> bool:
            [row] = await self.kit.fetch(
                "SELECT (SELECT count(*) FROM inbox WHERE event_id = ANY($1::text[])) AS taken,"
                " (SELECT count(*) FROM presses WHERE done_at IS NULL) AS pressed,"
                " (SELECT count(*) FROM incident_history WHERE NOT told) AS untold",
                self.events,
            )
            return row == {"taken": len(self.events), "pressed": 0, "untold": 0}

        await eventually(quiet, what="everything is carried out")


async def test_a_recipe_and_a_new_report_of_its_problem_lose_nothing_and_it_runs_once(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    async with an_orchestrator() as orchestrator:
        kit = await make_kit(replicas=2, routes=ONE_GROUP, orchestrator_url=orchestrator.url, **settings_for(tmp_path))
        race = Race(kit)
        before, during, *both = workflows = range(1, RACES + 3)
        await race.opened(workflows)

        # The report, then the recipe: what was reported is what it repairs.
        await race.report(before)
        await race.incident(before, occurrences=2)
        await race.confirmed(before)
        # The recipe, then the report: it crashed again, whatever the recipe says of itself.
        gate = orchestrator.held[during] = asyncio.Event()
        await race.confirmed(during)
        await orchestrator.hears_of(during)
        await race.report(during)
        await race.incident(during, occurrences=2)
        gate.set()
        # At one moment, while somebody else presses the same recipe.
        for number, workflow in enumerate(both):
            incident = await race.incident(workflow)
            await asyncio.gather(
                race.confirmed(workflow),
                later(number * 0.004, race.report(workflow)),
                later(number * 0.006, race.press(f"n1:w:{incident['id']}", user="anna")),
            )

        began = {workflow: await race.ran(workflow) for workflow in workflows}
        await race.at_rest()
        lasts = {workflow: race.reported[workflow] > began[workflow] for workflow in workflows}
        assert (lasts[before], lasts[during]) == (
            False,
            True,
        )  # whatever came when, the orchestrator says that it is over
        tickets = (await kit.call("GET", "/admin/v1/tickets?limit=100"))[1]["items"]
        assert len(tickets) == len(workflows)
        for workflow in workflows:
            incident = await race.incident(workflow)
            [ticket] = [each for each in tickets if each["incident_id"] == incident["id"]]
            assert (incident["state"] != "resolved", ticket["state"]) == (True, "open")
            assert [token for token, _ in orchestrator.asked[workflow]] == ["Bearer oleg-token"]
        outcomes = await kit.fetch("SELECT DISTINCT outcome FROM presses")
        assert {row["outcome"] for row in outcomes} <= {"asked", "done", "taken", "over"}


async def later(seconds: float, what: Awaitable[None]) -> None:
    """Do it a moment later."""
    await asyncio.sleep(seconds)
    await what


async def test_a_press_while_its_recipe_ends_finds_it_and_no_deadlock(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(replicas=0, **settings_for(tmp_path))
    async with AsyncExitStack() as stack:
        database = Database(kit.dsn, application_name="racing")
        await database.open()
        stack.push_async_callback(database.close)
        problems = Problems(routes=Routes(destinations={}, routes=()), words=Words("en"), environment="production")
        async with database.transaction() as connection:
            report = Report(fact=workflow_fact(crashed(1), Words("en")), event_id="crash")
            [incident] = await problems.ingest(NotificationStore(connection), [report])
        assert incident is not None
        store = RecipeStore(database, problems=problems)
        pressed = ButtonAction(id=1, channel="telegram", who="1", data="", address="-100", traceparent=None)
        asking: dict[str, Any] = {"incident_id": incident, "recipe": Recipe(name="retry_workflow", target="1")}
        asking |= {"person": "oleg", "channel": "telegram", "lasts": timedelta(minutes=5)}
        async with database.transaction() as connection:
            effects = ButtonActionStore(database).effects(connection, pressed, Principal(name="oleg", role="operator"))
            request, _ = await effects.recipes.ask(**asking)
            await effects.recipes.confirm(request.id, traceparent=None, reason=None)
        running = await store.claim(lease=timedelta(seconds=30))
        assert running is not None
        async with database.transaction() as connection:
            effects = ButtonActionStore(database).effects(connection, pressed, Principal(name="oleg", role="operator"))
            await effects.incident_store.incident(incident)
            ending = asyncio.create_task(store.record(running, RecipeDone(), text="done", give_up_after=6))

            async def waits() -> bool:
                [row] = await kit.fetch(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'racing' AND wait_event_type = 'Lock'"
                    " AND datname = current_database()"
                )
                return bool(row["count"])

            await eventually(waits, what="the recipe's end waits for the press")
            found, new = await effects.recipes.ask(**asking)
            assert (found.id, new) == (request.id, False)
        assert await ending == "done"
    assert await kit.fetch("SELECT state FROM incidents") == [{"state": "open"}]
