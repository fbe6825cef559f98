"""The admin operations and Alertmanager's way in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.integration.notifier.factories import ALERT, MakeKit, an_order, created
from tests.support.servers import eventually


async def test_an_alert_becomes_an_incident_acknowledged_and_resolved_with_an_audit(make_kit: MakeKit) -> None:
    kit = await make_kit()
    first = await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=ALERT)
    repeated = await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=ALERT)
    assert first == repeated == (200, {"incidents": [1]})
    assert (await kit.call("POST", "/alerts/v1/alertmanager", body=ALERT))[0] == 403

    reason = {"reason": "Разбираюсь с проблемой. Звонить не нужно."}

    async def done(act: str, **body: Any) -> dict[str, Any]:
        status, answer = await kit.call("POST", f"/admin/v1/incidents/1/{act}", body={**reason, **body})
        assert (status, answer.pop("notices") != []) == (200, True), answer
        return dict(answer)

    assert await done("ack") == {"id": 1, "before": "open", "after": "acknowledged", "dry_run": False}
    assert (await kit.call("POST", "/admin/v1/incidents/1/comment", body=reason))[0] == 200
    rehearsed = {"id": 1, "before": "acknowledged", "after": "resolved", "dry_run": True}
    assert await done("resolve", dry_run=True) == rehearsed
    assert (await kit.call("POST", "/admin/v1/incidents/1/resolve", body=reason))[0] == 200
    status, problem = await kit.call("POST", "/admin/v1/incidents/1/ack", body=reason)
    assert (status, problem["code"]) == (409, "conflict")
    assert (await kit.call("POST", "/admin/v1/incidents/99/ack", body=reason))[0] == 404
    assert (await kit.call("POST", "/admin/v1/incidents/1/ack", role="viewer", body=reason))[0] == 403

    _, audit = await kit.call("GET", "/admin/v1/audit?target=incident:1")
    assert [(item["actor"], item["action"], item["after"]["state"]) for item in audit["items"]] == [
        ("oleg", "incident.resolve", "resolved"),
        ("oleg", "incident.comment", "acknowledged"),
        ("oleg", "incident.ack", "acknowledged"),
    ]
    [incident] = (await kit.call("GET", "/admin/v1/incidents?state=resolved"))[1]["items"]
    for asked, found in (("queuetooold", [1]), ("QueueTooOld", [1]), ("QueueTooNew", [])):
        page = (await kit.call("GET", f"/admin/v1/incidents?alert={asked}"))[1]
        assert [item["id"] for item in page["items"]] == found, asked
    assert (incident["occurrences"], incident["severity"], incident["link"]) == (2, "critical", "https://runbooks/q")

    async def notified() -> list[dict[str, Any]]:
        page = (await kit.call("GET", "/admin/v1/notifications?incident=1&state=sent"))[1]
        assert len(page["items"]) == 4
        return list(page["items"])

    told = await eventually(notified)
    over_at = next(item["at"] for item in audit["items"] if item["action"] == "incident.resolve")
    for item in told:  # each tells of its own moment: an end is not as late as its problem is old
        last = datetime.fromisoformat(item["occurred_at"]) >= datetime.fromisoformat(over_at)
        assert last is (item["transition"] == "resolved"), item
    assert sorted((item["transition"], item["destination"]) for item in told) == [
        ("opened", "on-call-production"),
        ("opened", "orders-notifications"),
        ("resolved", "on-call-production"),
        ("resolved", "orders-notifications"),
    ]


async def test_routes_are_tried_out_without_notifying_anybody(make_kit: MakeKit) -> None:
    kit = await make_kit()
    question = {"kind": "order.created", "store_id": "17"}
    status, answer = await kit.call("POST", "/admin/v1/routes/dry-run", role="viewer", body=question)
    assert (status, [(target["destination"], target["address"]) for target in answer["targets"]]) == (
        200,
        [("pickers-17", "-1001000000171"), ("store-17", "-1001000000172")],
    )
    assert await kit.telegram() == []


async def test_a_test_message_goes_the_way_of_all_notices(make_kit: MakeKit) -> None:
    kit = await make_kit()
    body = {"reason": "new chat", "destination": "store", "text": "проверка <связи>"}
    status, answer = await kit.call("POST", "/admin/v1/test-message", body=body)
    assert (status, answer["channel"], answer["address"]) == (202, "telegram", "-1001000000002")

    async def came() -> list[str]:
        texts = await kit.texts(-1001000000002)
        assert len(texts) == 1
        return texts

    assert await eventually(came) == ["<b>[production] 🔔 Проверочное сообщение</b>\nпроверка &lt;связи&gt;"]
    assert (await kit.call("POST", "/admin/v1/test-message", body={**body, "destination": "nowhere"}))[0] == 404


async def test_a_test_message_to_a_channel_that_is_off_is_refused(
    make_kit: MakeKit,
) -> None:
    kit = await make_kit(slack_token=None)
    body = {"reason": "new chat", "destination": "orders-notifications"}
    status, problem = await kit.call("POST", "/admin/v1/test-message", body=body)
    assert (status, problem["code"], problem["detail"]) == (409, "conflict", "the channel slack is not configured")


async def test_acts_are_refused_to_viewers_and_carried_out_once_for_a_key(make_kit: MakeKit) -> None:
    kit = await make_kit()
    await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=ALERT)
    body = {"reason": "mine"}
    message = {**body, "destination": "store"}
    for path, given in [
        *((f"/admin/v1/incidents/1/{act}", body) for act in ("ack", "resolve", "comment")),
        ("/admin/v1/test-message", message),
    ]:
        assert (await kit.call("POST", path, role="viewer", body=given))[0] == 403
        assert (await kit.call("POST", path, body={**given, "reason": ""}))[0] == 422
    headers = {"Authorization": "Bearer operator-token", "Idempotency-Key": "k1"}
    answers = []
    for _ in range(2):
        async with kit.sandbox.session.post(
            f"{kit.url}/admin/v1/incidents/1/resolve", json=body, headers=headers
        ) as answer:
            answers.append((answer.status, answer.headers.get("Idempotency-Replayed"), await answer.json()))
    changed = {"id": 1, "before": "open", "after": "resolved", "dry_run": False, "notices": answers[0][2]["notices"]}
    assert answers == [(200, None, changed), (200, "true", changed)]
    async with kit.sandbox.session.post(
        f"{kit.url}/admin/v1/incidents/1/resolve", json={"reason": "another"}, headers=headers
    ) as answer:
        assert (answer.status, (await answer.json())["code"]) == (409, "idempotency_key_reused")
    _, audit = await kit.call("GET", "/admin/v1/audit?target=incident:1", role="viewer")
    assert [item["action"] for item in audit["items"]] == ["incident.resolve"]


async def test_the_notification_log_pages_by_cursor_and_shows_the_text(make_kit: MakeKit) -> None:
    kit = await make_kit()
    await kit.publish(*(created(f"P{index}") for index in range(3)))

    async def taken() -> bool:
        return len(await kit.fetch("SELECT 1 FROM deliveries")) == 6

    await eventually(taken)
    seen: list[tuple[str, str]] = []
    cursor = ""
    while True:
        status, page = await kit.call("GET", f"/admin/v1/notifications?limit=4{cursor}", role="viewer")
        assert status == 200
        seen += [(item["order_number"], item["destination"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    expected = {(an_order(f"P{index}").number, name) for index in range(3) for name in ("pickers", "store")}
    assert (len(seen), set(seen)) == (6, expected)
    newest = page["items"][0]
    assert newest["text"].startswith("🆕 Новый заказ P")
    path = "/admin/v1/notifications/"
    status, whole = await kit.call("GET", path + newest["notice_id"], role="viewer")
    assert (status, whole["text"], whole["order_number"]) == (200, newest["text"], newest["order_number"])
    assert sorted(each["destination"] for each in whole["deliveries"]) == ["pickers", "store"]
    for nobody in ("00000000-0000-7000-8000-000000000000", "x"):
        assert (await kit.call("GET", path + nobody, role="viewer"))[0] == 404


async def test_a_sent_notice_is_recorded_in_the_orders_timeline(make_kit: MakeKit) -> None:
    kit = await make_kit()
    await kit.publish(created())

    async def journaled() -> list[dict[str, Any]]:
        entries = await kit.journal()
        assert len(entries) == 2
        return entries

    entries = await eventually(journaled)
    assert sorted(
        (entry["kind"], entry["details"]["channel"], entry["details"]["kind"], entry["details"]["destination"])
        for entry in entries
    ) == [
        ("chat_message.sent", "telegram", "order.created", "pickers"),
        ("chat_message.sent", "telegram", "order.created", "store"),
    ]
    assert {entry["order_number"] for entry in entries} == {an_order().number}
