"""Events that are well-formed and senseless: each is told or is a dead letter that a person sees; nothing stops, the next is told."""

from __future__ import annotations

from pathlib import Path

from common.contracts.alerts import HeartbeatV1, ProblemResolvedV1
from common.contracts.refunds import RefundRejectedV1
from tests.integration.notifier.factories import NOW, ONE_CHAT, MakeKit, a_problem, created, enveloped
from tests.integration.notifier.people import crashed, settings_for
from tests.support.servers import eventually
from tests.support.strange import decided, foreseen, publish_strange

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
