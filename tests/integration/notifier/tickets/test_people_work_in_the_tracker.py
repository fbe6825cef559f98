"""What people do in Yandex Tracker is done here: close, reopen, assign; in their name, once, and our own acts do not come back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.integration.notifier.factories import Kit, MakeKit
from tests.integration.notifier.orchestrator import an_orchestrator
from tests.integration.notifier.people import (
    ORDER,
    YANDEX,
    crashed,
    issue_of,
    press,
    put_roster,
    settings_for,
    there,
)
from tests.support.servers import eventually


async def ticket(kit: Kit, number: int = 1, **values: Any) -> dict[str, Any]:
    """Wait until a ticket is so; it has its key."""

    async def probe() -> dict[str, Any]:
        status, found = await kit.call("GET", f"/admin/v1/tickets/{number}", role="viewer")
        assert status == 200, found
        assert found["key"], found
        assert {name: found[name] for name in values} == values
        return dict(found)

    return await eventually(probe)


async def looked(kit: Kit, times: int = 2) -> None:
    """Wait until the tracker was searched so often again."""

    async def searches() -> int:
        return sum(entry["operation"] == "search_issues" for entry in await kit.sandbox.log("tracker"))

    before = await searches()

    async def enough() -> bool:
        return await searches() >= before + times

    await eventually(enough)


async def acts(kit: Kit, target: str) -> list[tuple[str, str]]:
    """Who did what to it, in order."""
    rows = await kit.fetch("SELECT actor, action FROM audit_log WHERE target = $1 ORDER BY id", target)
    return [(row["actor"], row["action"]) for row in rows]


async def test_closing_reopening_and_assigning_in_the_tracker_are_done_here_once(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(replicas=2, **settings_for(tmp_path, **YANDEX))
    await put_roster(kit, "oleg", "boris")
    body = {"summary": "Клиент не получил заказ", "order_number": ORDER, "reason": "a customer called"}
    assert (await kit.call("POST", "/admin/v1/tickets", body=body))[0] == 201
    key = (await ticket(kit))["key"]
    why = {"reason": "asked by phone"}
    status, summoned = await kit.call("POST", f"/admin/v1/tickets/{key}/summon", body=why)
    assert status == 200
    # Assigned, remarked on and closed in one go, while the tracker fails now and then.
    await kit.sandbox.fault("tracker", mode="error", count=2, match="get_changelog")
    await there(kit, key, transition="close", assignee="anna", comment="Курьер нашёлся", user="anna")
    closed = await ticket(kit, state="closed", assignee="anna")
    texts = [comment["text"] for comment in closed["comments"]]
    assert texts[1:] == [
        "Курьер нашёлся",
        "Исполнитель: Anna (@anna). Сделано в трекере",
        "Обращение закрыто. Сделано в трекере",
    ]
    [summons] = await kit.fetch("SELECT state FROM incidents WHERE id = $1", summoned["incident_id"])
    assert summons == {"state": "resolved"}
    [how] = await kit.fetch("SELECT actor FROM incident_history WHERE act = 'resolve'")
    assert how == {"actor": "anna"}
    # Somebody whom we do not know opens it again and takes it away from Anna; the ends of before do not close it.
    await there(kit, key, transition="reopen", assignee=None, user="petr")
    await ticket(kit, state="open", assignee=None, closed_at=None)
    await there(kit, key, assignee="petr", user="petr")
    await ticket(kit, state="open", assignee="tracker:petr")
    await looked(kit)
    assert await acts(kit, "ticket:1") == [
        ("oleg", "ticket.open"),
        ("oleg", "ticket.summon"),
        ("anna", "ticket.assign"),
        ("anna", "ticket.close"),
        ("tracker:petr", "ticket.assign"),
        ("tracker:petr", "ticket.reopen"),
        ("tracker:petr", "ticket.assign"),
    ]
    issue = await issue_of(kit, key)
    assert (issue["status"]["key"], issue["assignee"]["id"]) == ("open", "petr")
    said = [comment["text"] for comment in issue["comments"]]
    assert [text for text in said if "трекере" in text] == []

    # Ours go there, and do not come back as theirs.
    assign = {"assignee": "boris", **why}
    assert (await kit.call("POST", f"/admin/v1/tickets/{key}/assign", body=assign))[0] == 200
    assert (await kit.call("POST", f"/admin/v1/tickets/{key}/close", body=why))[0] == 200

    async def arrived() -> bool:
        issue = await issue_of(kit, key)
        assert (issue["status"]["key"], issue["assignee"]["id"]) == ("closed", "boris")
        return True

    await eventually(arrived)
    await looked(kit)
    await ticket(kit, state="closed", assignee="boris")
    assert (await acts(kit, "ticket:1"))[7:] == [("oleg", "ticket.assign"), ("oleg", "ticket.close")]

    async def in_the_timeline() -> bool:
        kinds = [(each["kind"], each["actor"]) for each in await kit.journal() if each["order_number"] == ORDER]
        wanted = [
            ("ticket.assigned", "anna"),
            ("incident.resolve", "anna"),
            ("ticket.closed", "anna"),
            ("ticket.reopened", "tracker:petr"),
        ]
        assert [each for each in wanted if kinds.count(each) != 1] == [], kinds
        return True

    await eventually(in_the_timeline)


async def test_a_development_ticket_closed_in_the_tracker_ends_its_known_defects(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(telegram_token=None, slack_token=None, **settings_for(tmp_path, **YANDEX))
    await kit.publish(crashed())
    first = await ticket(kit)
    path = f"/admin/v1/tickets/{first['key']}/development-ticket"
    assert (await kit.call("POST", path, body={"reason": "a bug"}))[0] == 200
    developed = await ticket(kit, 2)
    # Another that developers made themselves.
    await kit.sandbox.control("PUT", "/sandbox/tracker/issues/TRAVELBACK-900", {"summary": "a bug"})
    body = {"match": {"kind": ["problem.*"]}, "development_ticket": "TRAVELBACK-900", "reason": "seen in the logs"}
    assert (await kit.call("POST", "/admin/v1/known-defects", body=body))[0] == 201

    async def defects(**ended: str | None) -> None:
        """Wait until the defects have ended so."""

        async def probe() -> bool:
            page = (await kit.call("GET", "/admin/v1/known-defects?over=true"))[1]["items"]
            assert {each["development_ticket"].replace("-", "_"): each["ended_by"] for each in page} == ended
            return True

        await eventually(probe)

    own, other = developed["key"].replace("-", "_"), "TRAVELBACK_900"
    await looked(kit)
    await defects(**{own: None, other: None})
    await there(kit, developed["key"], transition="resolve", user="boris")
    await there(kit, "TRAVELBACK-900", transition="close", user="petr")
    await defects(**{own: "boris", other: "tracker:petr"})
    await ticket(kit, 2, state="closed")
    # It was not mended after all: those that ended with it live again.
    await there(kit, developed["key"], transition="reopen", user="boris")
    await defects(**{own: None, other: "tracker:petr"})
    assert await acts(kit, "known_defect:1") == [
        ("oleg", "known_defect.add"),
        ("boris", "known_defect.end"),
        ("boris", "known_defect.reopen"),
    ]


async def test_what_is_said_after_a_recipe_goes_to_the_tracker_and_comes_back(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    async with an_orchestrator() as orchestrator:
        kit = await make_kit(orchestrator_url=orchestrator.url, **settings_for(tmp_path, **YANDEX))
        await put_roster(kit, "oleg", "anna")
        await kit.publish(crashed())
        key = (await ticket(kit))["key"]

        async def pressed(label: str) -> bool:
            await press(kit, label, user="oleg")
            return True

        async def again() -> bool:
            rows = await kit.fetch("SELECT occurrences FROM incidents")
            return [row["occurrences"] for row in rows] == [2]

        # It crashes again while its recipe runs: the problem lasts, and so does its ticket.
        gate = orchestrator.held[77] = asyncio.Event()
        await eventually(lambda: pressed("🔁"))
        await eventually(lambda: pressed("Да, выполнить"))
        await orchestrator.hears_of(77)
        await kit.publish(crashed(attempts=6, occurred_at=datetime.now(UTC)))
        await eventually(again)
        gate.set()

        async def told() -> bool:
            texts = [comment["text"] for comment in (await issue_of(kit, key))["comments"]]
            assert any("рецепт" in text.lower() for text in texts), texts
            return True

        await eventually(told)
        await there(kit, key, comment="Повтор не помог, чиню", user="anna")

        async def read() -> bool:
            found = await ticket(kit, state="open")
            assert ("anna", "Повтор не помог, чиню") in [(each["author"], each["text"]) for each in found["comments"]]
            return True

        await eventually(read)
        # Anna closes it there: that ends the problem, too.
        await there(kit, key, transition="resolve", user="anna")
        await ticket(kit, state="closed")
        [incident] = await kit.fetch("SELECT state, resolved_by FROM incidents")
        assert incident["state"] == "resolved"
        assert [act for act in await acts(kit, "ticket:1") if act[1] != "ticket.open"] == [("anna", "ticket.close")]


async def test_a_comment_is_sent_once_whatever_else_says_the_same_words(make_kit: MakeKit, tmp_path: Path) -> None:
    """What is there already, ours or a person's, is never taken for the one whose answer was lost."""
    # Once it is there it is read once, and not again meanwhile.
    kit = await make_kit(replicas=2, **settings_for(tmp_path, **YANDEX | {"tracker_poll": 3600.0}))
    body = {"summary": "Клиент не получил заказ", "reason": "a customer called"}
    assert (await kit.call("POST", "/admin/v1/tickets", body=body))[0] == 201
    key, words = (await ticket(kit))["key"], "Курьер едет"

    async def read() -> bool:
        return any(entry["operation"] == "get_comments" for entry in await kit.sandbox.log("tracker"))

    await eventually(read)

    async def say(*, fault: str | None = None, expect: int) -> None:
        if fault:
            await kit.sandbox.fault("tracker", mode=fault, count=1, match="add_comment")
        said = {"text": words, "reason": "asked by phone"}
        status, answer = await kit.call("POST", f"/admin/v1/tickets/{key}/comments", body=said)
        assert status == 201, answer

        async def all_sent() -> bool:
            assert await kit.fetch("SELECT FROM ticket_comments WHERE outside IN ('pending', 'sending')") == []
            return True

        await eventually(all_sent, within=60)
        assert [comment["text"] for comment in (await issue_of(kit, key))["comments"]] == [words] * expect

    await say(expect=1)
    await there(kit, key, comment=words, user="anna")
    await say(fault="error", expect=3)  # it did not arrive; two of the same words did
    await say(fault="lost_response", expect=4)  # it did arrive
    ours = await kit.fetch("SELECT outside, outside_id FROM ticket_comments ORDER BY id")
    by_robot = [each["id"] for each in (await issue_of(kit, key))["comments"] if each["createdBy"]["id"] != "anna"]
    assert [(row["outside"], row["outside_id"]) for row in ours] == [("sent", str(number)) for number in by_robot]


async def test_a_comment_whose_answer_was_lost_is_sent_once_by_a_persons_own_token(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    """The token is Anna's, who stands in the people file: what it wrote is ours, what she writes by hand is hers."""
    kit = await make_kit(replicas=2, **settings_for(tmp_path, **YANDEX))
    await put_roster(kit, "oleg", "anna")
    await kit.publish(crashed())
    key = (await ticket(kit))["key"]
    await kit.sandbox.control("PUT", "/sandbox/tracker/token", {"user": "anna"})
    words = ["Смотрю", "Курьер едет", "Уже у двери"]
    for number, text in enumerate(words):
        if number != 1:
            await kit.sandbox.fault("tracker", mode="lost_response", count=1, match="add_comment")
        status, answer = await kit.call(
            "POST", f"/admin/v1/tickets/{key}/comments", body={"text": text, "reason": "told"}
        )
        assert status == 201, answer

    async def all_sent() -> bool:
        assert await kit.fetch("SELECT FROM ticket_comments WHERE outside IN ('pending', 'sending')") == []
        return True

    await eventually(all_sent, within=60)
    await looked(kit)
    said = [each["text"] for each in (await issue_of(kit, key))["comments"]]
    assert [text for text in said if text in words] == words
    ours = await kit.fetch("SELECT author, outside, text FROM ticket_comments WHERE text = ANY($1) ORDER BY id", words)
    assert [(row["outside"], row["text"]) for row in ours] == [("sent", text) for text in words]
    assert {row["author"] for row in ours} == {"oleg"}
    taken = "SELECT acknowledged_by FROM incidents WHERE kind = 'workflow.crashed'"
    assert [row["acknowledged_by"] for row in await kit.fetch(taken)] == [None]
    # What she writes there herself is hers, and takes the problem.
    await there(kit, key, comment="Взяла, чиню", user="anna")

    async def hers() -> bool:
        rows = await kit.fetch("SELECT author, outside FROM ticket_comments WHERE text = 'Взяла, чиню'")
        return [(row["author"], row["outside"]) for row in rows] == [("anna", "read")]

    await eventually(hers)
