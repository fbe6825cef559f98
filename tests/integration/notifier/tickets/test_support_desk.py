"""The support desk: a request is assigned, the on-call person summoned to it, answered, developed, closed; known defects are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tests.integration.notifier.factories import Kit, MakeKit
from tests.integration.notifier.people import ORDER, crashed, press, put_roster, settings_for
from tests.support.servers import eventually

ON_CALL = -1001000000901
YANDEX: dict[str, Any] = {
    "tracker": "yandex",
    "tracker_url": lambda sandbox: sandbox.tracker_url,
    "tracker_token": SecretStr("tracker-token"),
    "tracker_org_id": "42",
    "tracker_poll": 0.2,
}


async def do(kit: Kit, key: str, act: str, *, expect: int = 200, **body: Any) -> dict[str, Any]:
    """Do something to a ticket as an operator."""
    status, answer = await kit.call("POST", f"/admin/v1/tickets/{key}/{act}", body={"reason": "asked by phone", **body})
    assert status == expect, answer
    return dict(answer)


async def ticket(kit: Kit, key: str) -> dict[str, Any]:
    """One ticket, whole."""
    status, answer = await kit.call("GET", f"/admin/v1/tickets/{key}", role="viewer")
    assert status == 200, answer
    return dict(answer)


async def opened(kit: Kit) -> None:
    """Open a request of somebody about an order."""
    body = {
        "summary": "Клиент не получил заказ",
        "text": "Просит перезвонить на +7 916 123-45-67",
        "order_number": ORDER,
        "reason": "a customer called",
    }
    assert (await kit.call("POST", "/admin/v1/tickets", body=body))[0] == 201


async def lines(kit: Kit, key: str, *expected: str) -> list[str]:
    """Wait until the comments of a ticket begin so."""

    async def probe() -> list[str]:
        texts = [comment["text"] for comment in (await ticket(kit, key))["comments"]]
        assert len(texts) == len(expected), texts
        assert all(text.startswith(begin) for text, begin in zip(texts, expected, strict=True)), texts
        return texts

    return await eventually(probe)


async def test_a_request_is_assigned_summons_the_on_call_person_and_is_closed(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(replicas=2, console_url="https://console.example", **settings_for(tmp_path))
    await put_roster(kit, "oleg", "anna")
    await opened(kit)
    key = "TRAVELSUP-1"
    assert (await do(kit, key, "assign", assignee="mallory", expect=422))["code"] == "unprocessable"
    assert (await do(kit, key, "assign", assignee="anna", dry_run=True))["after"] == "anna"
    assert await do(kit, key, "assign", assignee="anna") == {
        "ticket": key,
        "before": None,
        "after": "anna",
        "dry_run": False,
        "notices": [f"ticket.commented of {key}: Anna"],
    }
    preview = await do(kit, key, "summon", dry_run=True)
    assert (preview["incident_id"], preview["people"]) == (None, ["oleg"])
    summoned = await do(kit, key, "summon", reason="the customer waits at +7 916 123-45-67")
    assert (summoned["people"], (await ticket(kit, key))["summons_id"]) == (["oleg"], summoned["incident_id"])

    # Oleg is told, with the link; a second summons tells again and is the same incident.
    async def told(count: int) -> list[str]:
        texts = [text for text in await kit.texts(ON_CALL) if "Дежурного зовут в TRAVELSUP-1" in text]
        assert len(texts) == count, texts
        return texts

    [text] = await eventually(lambda: told(1))
    assert "Клиент не получил заказ" in text
    assert "@oleg" in text
    assert "https://console.example/t/TRAVELSUP-1" in text
    assert "123-45-67" not in text
    assert (await do(kit, key, "summon"))["incident_id"] == summoned["incident_id"]
    await eventually(lambda: told(2))
    await press(kit, "✋", user="oleg")
    texts = await lines(
        kit, key, "Исполнитель: Anna (@anna)", "Зовём дежурного: Oleg (@oleg)", "Зовём дежурного", "Oleg: разбираюсь"
    )
    assert not any("123-45-67" in each for each in texts)
    assert (await ticket(kit, key))["state"] == "open"
    assert (await kit.call("GET", "/admin/v1/tickets"))[1]["items"][0]["key"] == key  # a summons opens no ticket
    await do(kit, key, "comments", expect=201, text="Курьер едет")
    closed = await do(kit, key, "close")
    assert closed["incidents"] == [summoned["incident_id"]]
    assert (await ticket(kit, key))["state"] == "closed"
    [row] = await kit.fetch("SELECT state, resolved_by FROM incidents WHERE id = $1", summoned["incident_id"])
    assert (row["state"], row["resolved_by"]) == ("resolved", "oleg")
    for act in ("assign", "summon", "close"):
        body = {"assignee": "oleg"} if act == "assign" else {}
        assert (await do(kit, key, act, expect=409, **body))["code"] == "conflict"
    assert (await do(kit, "TRAVELSUP-9", "close", expect=404))["code"] == "not_found"
    _, audit = await kit.call("GET", "/admin/v1/audit?target=ticket:1")
    assert [record["action"] for record in reversed(audit["items"])] == [
        "ticket.open",
        "ticket.assign",
        "ticket.summon",
        "ticket.summon",
        "ticket.comment",
        "ticket.close",
    ]

    async def in_the_timeline() -> list[str]:
        kinds = [entry["kind"] for entry in await kit.journal() if entry["order_number"] == ORDER]
        expected = ["ticket.opened", "ticket.assigned", "ticket.summoned", "incident.ack", "ticket.closed"]
        assert [kind for kind in expected if kind not in kinds] == [], kinds
        return kinds

    await eventually(in_the_timeline)


async def test_a_crash_becomes_a_development_ticket_and_its_like_say_so_again_and_again(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(console_url="https://console.example", **settings_for(tmp_path))
    await kit.publish(crashed(77, error="KeyError: price of position 5"))

    async def there(key: str) -> dict[str, Any]:
        return await ticket(kit, key)

    await eventually(lambda: there("TRAVELORDERSUP-1"))
    made = await do(kit, "TRAVELORDERSUP-1", "development-ticket", summary="Падает на позиции без цены")
    assert (made["development_ticket"], made["known_defect"]) == ("TRAVELBACK-1", True)
    assert (await do(kit, "TRAVELORDERSUP-1", "development-ticket", expect=409))["code"] == "conflict"
    # Linked both ways.
    assert (await ticket(kit, "TRAVELORDERSUP-1"))["development_ticket"] == "TRAVELBACK-1"
    assert (await ticket(kit, "TRAVELBACK-1"))["links"] == ["TRAVELORDERSUP-1"]
    await do(kit, "TRAVELBACK-1", "link", ticket="TRAVELBACK-900")
    assert (await ticket(kit, "TRAVELBACK-1"))["links"] == ["TRAVELBACK-900", "TRAVELORDERSUP-1"]

    # The same error elsewhere says so, another does not.
    await kit.publish(
        crashed(78, order_number="ORDER78", error="KeyError: price of position 12"),
        crashed(79, order_number="ORDER79", error="TimeoutError: store"),
        crashed(80, order_number="ORDER80", error="keyerror: price of  position 99"),
    )
    known = "TRAVELBACK-1 https://console.example/t/TRAVELBACK-1"

    async def said() -> dict[str, Any]:
        rows = await kit.fetch("SELECT fingerprint, details FROM incidents ORDER BY fingerprint")
        assert len(rows) == 4
        return {row["fingerprint"]: row["details"] for row in rows}

    found = await eventually(said)
    assert "TRAVELBACK-1" in str(found["workflow:78"])
    assert [("TRAVELBACK-1" in str(found[f"workflow:{number}"])) for number in (77, 78, 79, 80)] == [
        False,
        True,
        False,
        True,
    ]

    async def told() -> bool:
        texts = [text for text in await kit.texts(ON_CALL) if known.split()[1] in text]
        assert len(texts) == 2, await kit.texts(ON_CALL)
        return all("Известный дефект: TRAVELBACK-1" in text for text in texts)

    assert await eventually(told)

    async def linked() -> bool:
        page = (await kit.call("GET", "/admin/v1/tickets?queue=TRAVELORDERSUP"))[1]["items"]
        by_order = {each["order_number"]: each for each in page}
        assert len(by_order) == 4
        assert [by_order[f"ORDER{number}"]["development_ticket"] for number in (78, 79, 80)] == [
            "TRAVELBACK-1",
            None,
            "TRAVELBACK-1",
        ]
        return known in by_order["ORDER78"]["description"]

    assert await eventually(linked)
    # Closed, it is mended: who crashes so again says nothing of it.
    await do(kit, "TRAVELBACK-1", "close")
    [defect] = (await kit.call("GET", "/admin/v1/known-defects?over=true"))[1]["items"]
    assert (defect["cause"], defect["ended_by"]) == ("keyerror: price of position #", "oleg")
    assert await kit.call("GET", f"/admin/v1/known-defects/{defect['id']}") == (200, defect)
    assert (await kit.call("GET", "/admin/v1/known-defects"))[1]["items"] == []
    # A person can name one, and end it.
    body = {"match": {"kind": ["problem.*"]}, "development_ticket": "TRAVELBACK-7", "reason": "seen in the logs"}
    status, kept = await kit.call("POST", "/admin/v1/known-defects", body=body)
    assert (status, kept["defect"]["cause"]) == (201, None)
    path = f"/admin/v1/known-defects/{kept['defect']['id']}"
    assert [(await kit.call("DELETE", path, body={"reason": "mended"}))[0] for _ in range(2)] == [200, 409]


async def test_a_development_ticket_is_made_and_linked_in_yandex_tracker(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(replicas=2, telegram_token=None, slack_token=None, **settings_for(tmp_path, **YANDEX))
    await put_roster(kit, "oleg", "anna")
    await kit.publish(crashed())

    async def created(count: int) -> list[dict[str, Any]]:
        page = (await kit.call("GET", "/admin/v1/tickets"))[1]["items"]
        assert len([each for each in page if each["key"]]) == count, page
        return list(reversed(page))

    [first] = await eventually(lambda: created(1))
    # The answer to the creation is lost, and the link is refused once for the moment.
    await kit.sandbox.fault("tracker", mode="lost_response", count=1, match="create_issue")
    made = await do(kit, first["key"], "development-ticket", queue="TRAVELBACK")
    assert (made["development_ticket"], made["known_defect"]) == (None, True)
    await do(kit, first["key"], "assign", assignee="anna")
    _, developed = await eventually(lambda: created(2))

    async def linked() -> bool:
        issues = {
            issue["key"]: issue for issue in (await kit.sandbox.control("GET", "/sandbox/tracker/issues"))["items"]
        }
        assert len(issues) == 2
        assert [each["object"]["key"] for each in issues[first["key"]]["links"]] == [developed["key"]]
        assert [each["object"]["key"] for each in issues[developed["key"]]["links"]] == [first["key"]]
        assert issues[first["key"]].get("assignee") == {"id": "anna", "display": "anna"}
        said = [comment["text"] for comment in issues[first["key"]]["comments"]]
        assert said.count(f"→ {developed['key']}") == 1  # it is linked a moment before
        return True

    await eventually(linked)
    assert (await ticket(kit, first["key"]))["development_ticket"] == developed["key"]
    await kit.publish(crashed(78, order_number="ORDER78"))

    async def said() -> str:
        rows = await kit.fetch("SELECT details FROM incidents WHERE order_number = 'ORDER78'")
        assert rows
        return str(rows[0]["details"])

    assert f"https://tracker.yandex.ru/{developed['key']}" in await eventually(said)
