"""Events that are well-formed and senseless: each is told or is a dead letter that a person sees; nothing stops, the next is told."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from common.contracts.alerts import HeartbeatV1, ProblemResolvedV1
from common.contracts.refunds import RefundRejectedV1
from notifier.api import openapi
from tests.integration.notifier.factories import NOW, ONE_CHAT, MakeKit, a_problem, created, enveloped
from tests.integration.notifier.people import YANDEX, crashed, settings_for
from tests.support.servers import eventually
from tests.support.strange import decided, faults_of, foreseen, publish_strange

SOUND = (
    created(),
    a_problem(source="s", store_id="1", zone="z", link="/e/1"),
    crashed(),
    RefundRejectedV1(
        order_number="7Q3M", payment_id="p", business_key="b", code="no_payment", detail="none", occurred_at=NOW
    ),
    ProblemResolvedV1(fingerprint="p:1", summary="over", service="orchestrator", occurred_at=NOW),
    HeartbeatV1(service="notifier", occurred_at=NOW),
)
WORDS = ("severity", "currency", "status", "order", "positions.0", "positions.1")
LISTS = ("incidents", "notifications", "tickets", "dead-letters")


async def test_each_strange_event_is_told_or_kept_and_the_next_is_told(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(routes=ONE_CHAT, **settings_for(tmp_path))
    published = await publish_strange(kit.amqp_url, map(enveloped, SOUND))
    dead = await decided(published, kit.fetch)
    assert [what for what in dead if not foreseen(what, *WORDS)] == []
    await kit.publish(created("LAST"))

    async def told() -> bool:
        rows = await kit.fetch(
            "SELECT d.state FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id WHERE n.event_id = $1",
            enveloped(created("LAST")).id,
        )
        return bool(rows)

    await eventually(told)
    for name in LISTS:
        status, answer = await kit.call("GET", f"/admin/v1/{name}?limit=200", role="admin")
        assert (status, bool(answer["items"])) == (200, True), name
    assert await kit.fetch("SELECT details FROM incidents WHERE kind = 'problem.task.failing'") == []
    assert kit.applications[0].lifecycle.failure is None


async def test_no_change_with_an_odd_value_is_a_fault(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(routes=ONE_CHAT, **settings_for(tmp_path, **YANDEX))
    await kit.open_in_turn(a_problem())
    ticket = {"summary": "a customer called", "reason": "for a test"}
    assert (await kit.call("POST", "/admin/v1/tickets", body=ticket))[0] == 201

    async def call(method: str, path: str, body: bytes) -> tuple[int, Any]:
        headers = {"Authorization": "Bearer admin-token", "Content-Type": "application/json"}
        async with kit.sandbox.session.request(
            method, kit.url + path, data=io.BytesIO(body), headers=headers
        ) as answer:
            return answer.status, await answer.json()

    assert await faults_of(call, openapi(), id=1, key=1, kind="problem.order_conflict", name="retry_workflow") == []
