"""Tickets: one a problem, with the instruction; what is said in them counts; the outside tracker gets each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from common.contracts.alerts import ProblemResolvedV1
from tests.integration.notifier.factories import NOW, Kit, MakeKit
from tests.integration.notifier.people import ORDER, REFUND, crashed, put_roster, refund_failed, settings_for
from tests.support.servers import eventually

YANDEX: dict[str, Any] = {
    "tracker": "yandex",
    "tracker_url": lambda sandbox: sandbox.tracker_url,
    "tracker_token": SecretStr("tracker-token"),
    "tracker_org_id": "42",
    "tracker_poll": 0.2,
}
NO_CALL = "Разбираюсь с проблемой. Звонить не нужно."


async def tickets(kit: Kit, count: int = 1) -> list[dict[str, Any]]:
    """Wait for so many tickets; oldest first."""

    async def probe() -> list[dict[str, Any]]:
        page = (await kit.call("GET", "/admin/v1/tickets", role="viewer"))[1]
        assert len(page["items"]) == count, page
        return list(reversed(page["items"]))

    return await eventually(probe)


async def state_of(kit: Kit, incident_id: int = 1) -> str:
    """An incident's state."""
    [row] = await kit.fetch("SELECT state FROM incidents WHERE id = $1", incident_id)
    return str(row["state"])


async def test_a_problem_opens_one_ticket_whose_comments_count_and_say_what_happened(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(replicas=2, telegram_token=None, slack_token=None, **settings_for(tmp_path))
    await put_roster(kit, "anna")
    instruction = {"text": "Позвонить в магазин.", "call": False, "queue": "SHOPSUP", "reason": "known case"}
    assert (await kit.call("PUT", "/admin/v1/instructions/workflow.crashed", body=instruction))[0] == 200
    await kit.publish(crashed(), crashed(attempts=6))
    await tickets(kit, 1)  # the two come by different queues, so neither is sure to be first
    await kit.publish(refund_failed())
    crash, refund = await tickets(kit, 2)
    assert (crash["key"], crash["order_number"], crash["incident_id"]) == ("SHOPSUP-1", ORDER, 1)
    assert crash["description"].splitlines()[:4] == [
        "Что делать:",
        "Позвонить в магазин.",
        "",
        "order 77: KeyError: price",
    ]
    assert refund["key"] == "TRAVELORDERSUP-1"
    assert refund["description"].splitlines()[1].startswith("Деньги клиенту ещё не возвращены")

    # Oleg is not on duty: his word is a remark. Anna's takes it, and it is not echoed into the ticket.
    said = {"text": NO_CALL}
    path = "/admin/v1/tickets/SHOPSUP-1/comments"
    status, answer = await kit.call("POST", path, body=said)
    assert (status, answer["acknowledged"]) == (201, False)
    assert await state_of(kit) == "open"
    file = tmp_path / "tokens.json"
    assert file.exists()
    await put_roster(kit, "oleg")
    status, answer = await kit.call("POST", path, body=said)
    assert (status, answer["acknowledged"]) == (201, True)
    [row] = await kit.fetch("SELECT state, acknowledged_by FROM incidents WHERE id = 1")
    assert row == {"state": "acknowledged", "acknowledged_by": "oleg"}
    link = {"development_ticket": "TRAVELBACK-17", "reason": "a known bug"}
    assert (await kit.call("POST", "/admin/v1/tickets/SHOPSUP-1/links", body=link))[0] == 200
    customer = {"text": "заказ отменён", "tell_customer": True}
    assert (await kit.call("POST", path, body=customer))[0] == 201
    assert (await kit.call("POST", "/admin/v1/tickets/NONE-1/comments", body=said))[0] == 404
    await kit.publish(
        ProblemResolvedV1(fingerprint=f"refund:{REFUND}:1", summary="paid", service="refunds", occurred_at=NOW)
    )

    async def closed() -> list[dict[str, Any]]:
        found = await tickets(kit, 2)
        assert [ticket["state"] for ticket in found] == ["open", "closed"]
        return found

    crash, refund = await eventually(closed)
    assert [(comment["author"], comment["text"]) for comment in crash["comments"]] == [
        ("oleg", NO_CALL),
        ("oleg", NO_CALL),
        ("oleg", "TRAVELBACK-17: a known bug"),
        ("oleg", "Anna (@anna): Сообщите, пожалуйста, клиенту. заказ отменён"),
    ]
    assert crash["development_ticket"] == "TRAVELBACK-17"
    assert [comment["text"] for comment in refund["comments"]] == ["Решено (refunds): paid"]

    body = {"summary": "Клиент просит вернуть деньги", "text": "звонил", "order_number": ORDER, "reason": "a call"}
    assert (await kit.call("POST", "/admin/v1/tickets", role="viewer", body=body))[0] == 403
    assert await kit.call("POST", "/admin/v1/tickets", body=body) == (
        201,
        {
            "id": 3,
            "key": "TRAVELSUP-1",
            "queue": "TRAVELSUP",
            "dry_run": False,
            "notices": ["ticket.opened of TRAVELSUP: who follows the ticket"],
        },
    )

    async def journaled() -> list[tuple[str, str]]:
        entries = [(entry["kind"], entry["summary"]) for entry in await kit.journal()]
        assert len(entries) == 11, entries
        return entries

    assert sorted(kind for kind, _ in await eventually(journaled)) == [
        "incident.ack",
        "incident.opened",
        "incident.opened",
        "incident.resolved",
        *["ticket.commented"] * 3,
        "ticket.linked",
        *["ticket.opened"] * 3,  # two by themselves, one by a person
    ]


async def test_yandex_tracker_has_one_issue_each_comment_once_and_is_heard(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(
        replicas=2, telegram_token=None, slack_token=None, **settings_for(tmp_path, call_deadline=0.5, **YANDEX)
    )
    await put_roster(kit, "oleg", "anna")
    # The first answer is lost: the second try meets a 409 and finds the issue by its unique.
    await kit.sandbox.fault("tracker", mode="lost_response", count=1, match="create_issue")
    await kit.publish(crashed())

    async def created() -> dict[str, Any]:
        [ticket] = await tickets(kit)
        assert ticket["key"], ticket
        return ticket

    ticket = await eventually(created)
    assert ticket["key"] == "TRAVELORDERSUP-1"
    statuses = [
        (entry["operation"], entry["status"])
        for entry in await kit.sandbox.log("tracker")
        if entry["operation"] in {"create_issue", "find_by_unique"}
    ]
    assert statuses[-2:] == [("create_issue", 409), ("find_by_unique", 200)]

    await kit.sandbox.control("PUT", "/sandbox/tracker/issues/TRAVELBACK-17", {"summary": "a bug"})
    link = {"development_ticket": "TRAVELBACK-17", "reason": "a known bug"}
    await kit.sandbox.fault("tracker", mode="lost_response", count=1, match="add_comment")
    assert (await kit.call("POST", f"/admin/v1/tickets/{ticket['key']}/links", body=link))[0] == 200
    body = {"text": NO_CALL, "user": "anna"}
    await kit.sandbox.control("POST", f"/sandbox/tracker/issues/{ticket['key']}/comments", body)

    async def taken() -> bool:
        rows = await kit.fetch("SELECT state, acknowledged_by FROM incidents")
        return rows == [{"state": "acknowledged", "acknowledged_by": "anna"}]

    await eventually(taken)

    async def issue() -> dict[str, Any]:
        items = (await kit.sandbox.control("GET", "/sandbox/tracker/issues"))["items"]
        found: dict[str, Any] = next(item for item in items if item["key"] == ticket["key"])
        assert len(found["comments"]) == 2, found["comments"]
        return found

    found = await eventually(issue)
    assert sorted((comment["createdBy"]["id"], comment["text"]) for comment in found["comments"]) == [
        ("1", "TRAVELBACK-17: a known bug"),
        ("anna", NO_CALL),
    ]
    assert [item["object"]["key"] for item in found["links"]] == ["TRAVELBACK-17"]
    assert found["unique"] == "incident:1"

    async def sent() -> bool:
        rows = await kit.fetch("SELECT DISTINCT outside FROM ticket_comments ORDER BY 1")
        return [row["outside"] for row in rows] == ["read", "sent"]

    await eventually(sent)
