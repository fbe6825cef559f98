"""A person starts an incident's recipe by the admin address: rehearsed at the service that does it, done once, in her name."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.http import Change, DoneElsewhere, Principal
from common.ids import new_id
from common.postgres import Database
from notifier.duty.escalation import Policy
from notifier.incidents.act import ActOnIncident
from notifier.incidents.problems import Problems
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.file import read_people
from notifier.recipes.begin import BeginRecipe
from notifier.recipes.http import HttpRecipes
from notifier.recipes.run import RunRecipes
from notifier.recipes.start import StartRecipe
from notifier.recipes.store import RecipeStore
from notifier.recipes.views import StartRecipeBody
from notifier.routing.model import Routes
from notifier.tickets.model import Queues
from notifier.tickets.name_notices import NameNotices
from tests.integration.notifier.factories import ONE_GROUP, Kit, MakeKit
from tests.integration.notifier.orchestrator import Orchestrator, an_orchestrator
from tests.integration.notifier.people import SECRET, crashed, settings_for, telegram_id
from tests.support.crash_points import CrashPoint, KilledError, WithCrashPoints
from tests.support.servers import eventually

WHY = {"reason": "the cause is mended"}
NOBODY = Routes(destinations={}, routes=())
MOST_DEATHS = 20


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    """The service that retries workflows."""
    async with an_orchestrator() as running:
        yield running


async def an_incident(kit: Kit, workflow: int) -> int:
    """Have a workflow reported as crashed; returns its incident."""
    await kit.publish(crashed(workflow))

    async def opened() -> int:
        rows = await kit.fetch("SELECT id FROM incidents WHERE fingerprint = $1", f"workflow:{workflow}")
        return int(rows[0]["id"]) if rows else 0

    return await eventually(opened)


async def start(
    kit: Kit, incident: int, *, role: str = "operator", name: str = "retry_workflow", replica: int = 0, **more: Any
) -> tuple[int, Any, bool]:
    """Start a recipe; returns status, answer, and whether it had been answered before."""
    key = more.pop("key", None)
    headers = {"Authorization": f"Bearer {role}-token", **({"Idempotency-Key": key} if key else {})}
    url = f"{kit.applications[replica].url}/admin/v1/incidents/{incident}/recipes/{name}"
    async with kit.sandbox.session.post(url, json={**WHY, **more}, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers.get("Idempotency-Replayed") == "true"


async def the_offer(kit: Kit, incident: int) -> dict[str, Any]:
    """The recipe that an incident offers."""
    [offer] = (await kit.call("GET", f"/admin/v1/incidents/{incident}", role="viewer"))[1]["recipes"]
    return dict(offer)


async def ended(kit: Kit, incident: int, state: str = "done") -> dict[str, Any]:
    """Wait until what was started has ended so; returns how."""

    async def there() -> dict[str, Any]:
        last = (await the_offer(kit, incident))["last"]
        assert last is not None
        assert last["state"] == state
        return dict(last)

    return await eventually(there)


async def test_a_recipe_is_offered_rehearsed_at_its_service_and_carried_out_there(
    make_kit: MakeKit, tmp_path: Path, orchestrator: Orchestrator
) -> None:
    kit = await make_kit(routes=ONE_GROUP, orchestrator_url=orchestrator.url, **settings_for(tmp_path))
    incident = await an_incident(kit, 7)
    offer = await the_offer(kit, incident)
    assert (offer["name"], offer["role"], offer["target"], offer["last"]) == ("retry_workflow", "operator", "7", None)

    status, said, _ = await start(kit, incident, dry_run=True, key=new_id())
    assert (status, said) == (
        200,
        {
            "outcome": "started",
            "id": incident,
            "name": "retry_workflow",
            "target": "7",
            "holder": None,
            "held_since": None,
            "would": "running",
            "notices": said["notices"],
            "dry_run": True,
        },
    )
    # What the act itself does, how it may end, and what the service said that it would tell.
    assert [line for line in said["notices"] if "workflow.crashed" not in line and "ticket" not in line] == [
        f"calls.pause of incident:{incident}: on call",
        orchestrator.tells,
    ]
    about = f"(workflow.crashed) of incident:{incident}: nobody"
    for end in ("if it succeeds: incident.recipe_done", "if it fails: incident.recipe_failed"):
        assert [line for line in said["notices"] if line.startswith(f"{end} {about}")]
    assert orchestrator.rehearsed == [(7, "Bearer oleg-token", WHY["reason"])]
    nothing = await kit.fetch(
        "SELECT (SELECT count(*) FROM recipe_requests) AS requests, (SELECT count(*) FROM audit_log) AS audits,"
        " (SELECT count(*) FROM incident_history WHERE act <> 'opened') AS lines, (SELECT min(state) FROM incidents) AS state"
    )
    assert nothing == [{"requests": 0, "audits": 0, "lines": 0, "state": "open"}]

    key = new_id()
    status, said, _ = await start(kit, incident, key=key)
    assert (status, said["outcome"], said["would"]) == (200, "started", None)
    last = await ended(kit, incident)
    assert (last["person"], last["result"]) == ("oleg", "повторить workflow 7")
    # The answer was lost, and she sends the same again; then she presses once more, and the workflow runs already.
    assert await start(kit, incident, key=key) == (200, said, True)
    orchestrator.refuses = 409
    assert (await start(kit, incident, key=new_id()))[0] == 200
    await ended(kit, incident, "failed")
    assert {token for token, _ in orchestrator.asked[7]} == {"Bearer oleg-token"}
    assert len(orchestrator.asked[7]) == 1
    assert orchestrator.reasons[7] == {f"oleg: повторить workflow 7 (incident {incident}): {WHY['reason']}"}
    audits = await kit.fetch("SELECT actor, action, reason FROM audit_log WHERE action = 'incident.recipe'")
    assert audits == [{"actor": "oleg", "action": "incident.recipe", "reason": WHY["reason"]}] * 2
    lines = await kit.fetch("SELECT actor, act FROM incident_history WHERE incident_id = $1 ORDER BY id", incident)
    assert [(line["actor"], line["act"]) for line in lines][:3] == [
        ("orchestrator", "opened"),
        ("oleg", "ack"),
        ("oleg", "recipe_done"),
    ]


async def test_what_cannot_be_started_says_why_and_leaves_nothing(
    make_kit: MakeKit, tmp_path: Path, orchestrator: Orchestrator
) -> None:
    kit = await make_kit(routes=ONE_GROUP, orchestrator_url=orchestrator.url, **settings_for(tmp_path))
    incident = await an_incident(kit, 7)
    refused: dict[tuple[int, str], tuple[int, Any, bool]] = {
        (403, "forbidden"): await start(kit, incident, role="viewer"),
        (404, "not_found"): await start(kit, 99),
        (404, "no_recipe"): await start(kit, incident, name="restart_refund"),
        # A name in the tokens file that the people file does not have: nobody would know at the orchestrator who it was.
        (409, "no_key_of_own"): await start(kit, incident, role="admin", dry_run=True),
    }
    orchestrator.refuses = 409
    refused[409, "recipe_refused"] = await start(kit, incident, dry_run=True)
    orchestrator.refuses = 500
    refused[503, "unavailable"] = await start(kit, incident, dry_run=True)
    assert {(status, said["code"]) for status, said, _ in refused.values()} == set(refused)
    assert (await start(kit, incident, role="admin"))[1]["code"] == "no_key_of_own"
    # Anna is asked back in the chat: until she has answered it is hers.
    await press(kit, f"n1:w:{incident}", user="anna")

    async def asked() -> bool:
        last = (await the_offer(kit, incident))["last"]
        return last is not None and (last["person"], last["state"]) == ("anna", "asked")

    await eventually(asked)
    assert (await start(kit, incident))[1]["code"] == "taken_already"
    assert orchestrator.asked == {}
    assert await kit.fetch("SELECT person, state FROM recipe_requests") == [{"person": "anna", "state": "asked"}]
    status, _ = await kit.call("POST", f"/admin/v1/incidents/{incident}/resolve", body=WHY)
    assert (status, (await start(kit, incident))[0]) == (200, 409)


async def press(kit: Kit, data: str, *, user: str, replica: int = 0) -> None:
    """Press a button in Telegram."""
    number = next(PRESSES)
    query = {
        "id": f"query-{number}",
        "from": {"id": telegram_id(user)},
        "message": {"chat": {"id": -100}},
        "data": data,
    }
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    url = kit.applications[replica].url + "/telegram/webhook"
    body = {"update_id": number, "callback_query": query}
    async with kit.sandbox.session.post(url, json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()


PRESSES = itertools.count(1)


async def test_a_recipe_names_who_has_the_incident_and_waits_for_no_other_holder(
    make_kit: MakeKit, tmp_path: Path, orchestrator: Orchestrator
) -> None:
    """Taken over is what the rehearsal said; whoever took it since keeps it, and is named."""
    kit = await make_kit(routes=ONE_GROUP, orchestrator_url=orchestrator.url, **settings_for(tmp_path))
    incident = await an_incident(kit, 7)

    async def revision() -> int:
        return int((await kit.call("GET", f"/admin/v1/incidents/{incident}", role="viewer"))[1]["revision"])

    assert await revision() == 0
    await press(kit, f"n1:a:{incident}", user="anna")

    async def taken() -> bool:
        return await revision() == 1

    await eventually(taken)
    _, said, _ = await start(kit, incident, dry_run=True, expected_version=1)
    assert (said["holder"], said["held_since"] is not None) == ("anna", True)
    # It crashes again: nobody else has it because of that. Then Oleg takes it.
    await kit.publish(crashed(7, attempts=6))

    async def again() -> bool:
        return await kit.fetch("SELECT occurrences FROM incidents") == [{"occurrences": 2}]

    await eventually(again)
    assert await revision() == 1
    status, _ = await kit.call("POST", f"/admin/v1/incidents/{incident}/ack", body={**WHY, "take_over": True})
    assert status == 200
    status, problem, _ = await start(kit, incident, expected_version=1)
    assert (status, problem["code"]) == (409, "changed_since")
    assert "oleg, ack at " in problem["detail"]
    assert (await kit.fetch("SELECT count(*) AS requests FROM recipe_requests")) == [{"requests": 0}]
    # Looked at again, it is his already: nothing is taken from anybody.
    status, said, _ = await start(kit, incident, expected_version=2)
    assert (status, said["outcome"], said["holder"]) == (200, "started", None)


async def test_a_recipe_started_in_chat_and_console_at_two_replicas_runs_once(
    make_kit: MakeKit, tmp_path: Path, orchestrator: Orchestrator
) -> None:
    kit = await make_kit(replicas=2, routes=ONE_GROUP, orchestrator_url=orchestrator.url, **settings_for(tmp_path))
    workflows = range(1, 9)
    incidents = {workflow: await an_incident(kit, workflow) for workflow in workflows}
    for workflow in workflows:
        orchestrator.held[workflow] = asyncio.Event()
    for workflow, incident in incidents.items():
        # In the chat she is asked back first; here the question is answered by whatever comes first.
        user = "oleg" if workflow % 2 else "anna"
        said = await asyncio.gather(
            press(kit, f"n1:w:{incident}", user=user, replica=1),
            start(kit, incident, replica=0),
            start(kit, incident, replica=1),
            press(kit, f"n1:w:{incident}", user=user),
        )
        told = [each for each in said if each is not None]
        assert all(each[0] == 200 or each[1]["code"] == "taken_already" for each in told), told
        if user == "oleg":
            assert sorted(each[1]["outcome"] for each in told) == ["started", "under_way"]
    for workflow in workflows:
        orchestrator.held[workflow].set()

    async def at_rest() -> list[dict[str, Any]]:
        rows = await kit.fetch("SELECT incident_id, person, state FROM recipe_requests ORDER BY incident_id, state")
        assert len({row["incident_id"] for row in rows}) == len(workflows)
        begun = [row["incident_id"] for row in rows if row["state"] != "asked"]  # a press that came late only asks
        assert len(begun) == len(set(begun))
        assert {row["state"] for row in rows} <= {"asked", "done"}
        return rows

    rows = await eventually(at_rest)
    by_incident = {row["incident_id"]: row for row in rows}
    for workflow, incident in incidents.items():
        row = by_incident[incident]
        ran = [] if row["state"] == "asked" else [f"Bearer {row['person']}-token"]
        assert [token for token, _ in orchestrator.asked[workflow]] == ran
        assert row["state"] == "done" or row["person"] == "anna"


async def test_a_start_begins_once_whenever_its_process_dies(
    make_kit: MakeKit, tmp_path: Path, orchestrator: Orchestrator
) -> None:
    kit = await make_kit(replicas=0, **settings_for(tmp_path))
    database = Database(kit.dsn, application_name="victim")
    await database.open()
    words, people = Words("en"), read_people((tmp_path / "people.json").read_bytes(), name="test")
    problems = Problems(routes=NOBODY, words=words, environment="testing")
    act = ActOnIncident(problems=problems)
    name_notices = NameNotices(
        policy=Policy(steps=()), calls=False, directory=people, queues=Queues(), problems=problems
    )
    http = HttpRecipes(orchestrator_url=orchestrator.url, refunds_url=None)
    oleg = Principal(name="oleg", role="operator")
    asked = DoneElsewhere(principal=oleg, body=StartRecipeBody(**WHY), request_id="request")

    async def starting(incident: int, crash_point: CrashPoint) -> str:
        class Begin(BeginRecipe):
            async def __call__(
                self, requests: Any, incident_store: Any, notifications: Any, *more: Any, **named: Any
            ) -> None:
                real = (requests, incident_store, notifications)
                parts: list[Any] = [WithCrashPoints(part, crash_point) for part in real]
                await super().__call__(*parts, *more, **named)

        begin = StartRecipe(
            database=database,
            http=http,
            begin=Begin(act),
            name_notices=name_notices,
            problems=problems,
            directory=people,
            words=words,
            deadline=5.0,
        )
        async with database.transaction() as connection:
            _, _, before = await begin(
                Change(connection, asked), incident, "retry_workflow", expected_revision=None, request_id="request"
            )
            await crash_point.point()
        await crash_point.point()
        return "under_way" if before else "started"

    run = RunRecipes(
        store=RecipeStore(database, problems=problems),
        http=http,
        directory=people,
        words=words,
        metrics=PeopleMetrics(CollectorRegistry()),
        deadline=5.0,
    )
    for turn in itertools.count(1):
        [row] = await kit.fetch(
            "INSERT INTO incidents (fingerprint, kind, severity, summary, details, service, environment, first_seen_at, last_seen_at)"
            " VALUES ($1, 'workflow.crashed', 'critical', 'for a test', '{}', 'test', 'testing', now(), now()) RETURNING id",
            f"workflow:{turn}",
        )
        incident, died = row["id"], False
        try:
            await starting(incident, CrashPoint(dies_at=turn))
        except KilledError:
            died = True
        again = await starting(incident, CrashPoint())
        assert again in ("started", "under_way")
        while await run():
            pass
        assert len(orchestrator.asked[turn]) == 1, turn
        audits = await kit.fetch("SELECT action FROM audit_log WHERE target = $1 ORDER BY id", f"incident:{incident}")
        assert [audit["action"] for audit in audits] == ["incident.ack", "incident.recipe"]
        if not died:
            assert turn > 8
            break
        assert turn < MOST_DEATHS
    await http.close()
    await database.close()
