"""A ticket is open as long as its problem: it closes and opens with it, here and in the outside tracker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from common.contracts.alerts import ProblemResolvedV1
from common.contracts.refunds import RefundRejectedV1
from tests.integration.notifier.factories import NOW, ONE_CHAT, Kit, MakeKit, a_problem
from tests.integration.notifier.people import ORDER, settings_for
from tests.support.servers import eventually

YANDEX: dict[str, Any] = {
    "tracker": "yandex",
    "tracker_url": lambda sandbox: sandbox.tracker_url,
    "tracker_token": SecretStr("tracker-token"),
    "tracker_org_id": "42",
    "tracker_poll": 0.2,
}


def over(fingerprint: str, *, minutes: int) -> ProblemResolvedV1:
    """The end of a problem."""
    return ProblemResolvedV1(
        fingerprint=fingerprint, summary="gone", service="orchestrator", occurred_at=NOW + timedelta(minutes=minutes)
    )


async def tickets(kit: Kit, *states: str) -> list[dict[str, Any]]:
    """Wait until the tickets are so, the oldest first."""

    async def probe() -> list[dict[str, Any]]:
        page = (await kit.call("GET", "/admin/v1/tickets?limit=100", role="viewer"))[1]
        found = list(reversed(page["items"]))
        assert [item["state"] for item in found] == list(states), found
        return found

    return await eventually(probe)


async def test_a_ticket_closes_and_opens_with_its_problem_in_both_trackers(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(replicas=2, **settings_for(tmp_path), **YANDEX)

    async def outside(status: str) -> None:
        """Wait until the tracker shows the ticket so."""

        async def probe() -> bool:
            issues = (await kit.sandbox.control("GET", "/sandbox/tracker/issues"))["items"]
            assert [issue["status"]["key"] for issue in issues] == [status]
            return True

        await eventually(probe)

    fingerprint = "order:1"
    await kit.publish(a_problem(fingerprint, kind="order_emptied"))
    [first] = await tickets(kit, "open")
    await outside("open")
    await kit.publish(over(fingerprint, minutes=1))
    await tickets(kit, "closed")
    await outside("closed")
    await kit.publish(a_problem(fingerprint, kind="order_emptied", occurred_at=NOW + timedelta(minutes=2)))
    [again] = await tickets(kit, "open")
    assert (again["id"], first["incident_id"], again["incident_id"]) == (first["id"], 1, 2)
    await outside("open")

    # What a person writes there is read again.
    key = (await tickets(kit, "open"))[0]["key"]
    await kit.sandbox.control("POST", f"/sandbox/tracker/issues/{key}/comments", {"text": "смотрю", "user": "anna"})

    async def read() -> bool:
        [ticket] = await tickets(kit, "open")
        texts = [comment["text"] for comment in ticket["comments"]]
        assert any(text.startswith("Проблема вернулась, инцидент 2") for text in texts)
        assert "смотрю" in texts
        return True

    await eventually(read)
    await kit.publish(over(fingerprint, minutes=3))
    await outside("closed")
    # None of our own moves came back as somebody's.
    assert await kit.fetch("SELECT action FROM audit_log WHERE target = 'ticket:1'") == []


async def test_a_built_in_ticket_closes_and_opens_with_its_problem(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(replicas=2, telegram_token=None, slack_token=None, **settings_for(tmp_path))
    fingerprint = "order:1"
    await kit.publish(a_problem(fingerprint, kind="order_emptied"))
    [first] = await tickets(kit, "open")
    await kit.publish(over(fingerprint, minutes=1))
    [closed] = await tickets(kit, "closed")
    assert closed["closed_at"] is not None
    await kit.publish(a_problem(fingerprint, kind="order_emptied", occurred_at=NOW + timedelta(minutes=2)))
    [again] = await tickets(kit, "open")
    assert (again["key"], first["incident_id"], again["incident_id"]) == (first["key"], 1, 2)
    assert any(comment["text"].startswith("Проблема вернулась, инцидент 2") for comment in again["comments"])
    # Closed by a person, it opens again with its problem, too.
    close = {"reason": "done by hand"}
    assert (await kit.call("POST", f"/admin/v1/tickets/{first['key']}/close", body=close))[0] == 200
    await tickets(kit, "closed")
    await kit.publish(a_problem(fingerprint, kind="order_emptied", occurred_at=NOW + timedelta(minutes=4)))
    [third] = await tickets(kit, "open")
    assert (third["key"], third["incident_id"], third["closed_at"]) == (first["key"], 3, None)


async def test_fifty_broken_orders_are_fifty_tickets_and_a_digest_that_names_them_all(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, storm_above=5, storm_quiet=60.0)
    numbers = [f"SBR-{each:05}" for each in range(50)]
    await kit.publish(*(a_problem(f"o:{number}", kind="hook.quarantined", order_number=number) for number in numbers))
    opened = await tickets(kit, *["open"] * 50)
    assert sorted(item["order_number"] for item in opened) == numbers

    async def digest() -> str:
        items = (await kit.sandbox.control("GET", "/sandbox/telegram/messages"))["items"]
        text = "\n".join(item["text"] for item in items)
        assert all(number in text for number in numbers)
        [told] = [item["text"] for item in items if "Шквал" in item["text"]]
        return str(told)

    text = await eventually(digest)
    assert sum(number in text for number in numbers) >= 40  # those told before the storm had messages of their own
    await kit.publish(over(f"o:{numbers[7]}", minutes=5))

    async def alone() -> bool:
        page = (await kit.call("GET", "/admin/v1/tickets?limit=100", role="viewer"))[1]
        assert [item["order_number"] for item in page["items"] if item["state"] == "closed"] == [numbers[7]]
        return True

    await eventually(alone)


async def test_a_rejected_refund_is_one_problem_and_one_ticket_with_its_instruction(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    rejected = RefundRejectedV1(
        business_key=f"{ORDER}:cancel",
        order_number=ORDER,
        payment_id="p-1",
        code="nothing_captured",
        detail="no money",
        occurred_at=NOW,
    )
    await kit.publish(rejected, rejected)
    [ticket] = await tickets(kit, "open")
    assert ticket["description"].splitlines()[1].startswith("Возврат невозможен")
    assert len(await kit.fetch("SELECT id FROM incidents")) == 1


async def test_a_problem_that_becomes_critical_gets_its_ticket_then_and_only_one(make_kit: MakeKit) -> None:
    kit = await make_kit(replicas=2, routes=ONE_CHAT)
    of_no_order: dict[str, Any] = {"kind": "alert", "order_number": None}
    await kit.publish(a_problem("alertmanager:17", severity="warning", **of_no_order))

    async def looked_at() -> bool:
        return bool(await kit.fetch("SELECT 1 FROM incidents WHERE followed_up_kind IS NOT NULL"))

    await eventually(looked_at)
    assert await kit.fetch("SELECT id FROM tickets") == []
    for minutes in (1, 2):
        await kit.publish(
            a_problem(
                "alertmanager:17", severity="critical", occurred_at=NOW + timedelta(minutes=minutes), **of_no_order
            )
        )
    await tickets(kit, "open")
    assert await kit.fetch("SELECT id FROM tickets OFFSET 1") == []
