"""More problems than anybody can read: one message that edits itself, and one page for each critical group."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from common.contracts.alerts import ProblemResolvedV1
from tests.integration.notifier.factories import (
    NOW,
    ONE_CHAT,
    PICKERS,
    STORE,
    Kit,
    MakeKit,
    a_problem,
    an_order,
    created,
    many,
)
from tests.support.servers import eventually


async def over(kit: Kit, count: int, *, within: float = 120.0, lists: bool = False) -> list[dict[str, Any]]:
    """Wait until so many deliveries are at their end, and with ``lists`` those of a storm's lists too."""

    async def probe() -> list[dict[str, Any]]:
        rows = await kit.fetch("SELECT * FROM deliveries ORDER BY id")
        assert len([row for row in rows if not lists or row["subject"].startswith("incident:")]) == count
        assert {row["state"] for row in rows} == {"sent"}
        return rows

    return await eventually(probe, within=within)


async def test_a_storm_is_one_digest_that_edits_itself_and_one_page_a_critical_group(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, storm_above=5, storm_quiet=8.0, replicas=2)
    await kit.publish(*many(60), *many(10, kind="refund_stuck", severity="critical"), *many(30, kind="late"))
    rows = await over(kit, 100)
    messages = (await kit.sandbox.control("GET", "/sandbox/telegram/messages"))["items"]
    digests = [message for message in messages if "Шквал" in message["text"]]
    [digest] = digests
    pages = [row for row in rows if row["digest_id"] is None and row["priority"] == 1]
    assert 1 <= len(pages) <= 3  # one a group; what went before the digest was opened pages too
    notified = [row for row in rows if row["digest_id"] is not None]
    assert {(row["message_ids"][0], row["reason"]) for row in notified} == {
        (str(digest["message_id"]), "told in a digest")
    }
    assert len(notified) >= 80
    for number in range(40):
        await kit.publish(
            ProblemResolvedV1(
                fingerprint=f"order_conflict:{number}",
                summary="gone",
                service="orchestrator",
                occurred_at=NOW + timedelta(hours=1),
            )
        )

    async def ended_storm() -> str:
        [row] = await kit.fetch("SELECT * FROM digests")
        assert row["closed_at"] is not None
        items = (await kit.sandbox.control("GET", "/sandbox/telegram/messages"))["items"]
        return str(next(item["text"] for item in items if item["message_id"] == digest["message_id"]))

    text = await eventually(ended_storm)
    assert "Шквал закончился" in text
    assert digest["edits"] >= 0
    assert {entry["status"] for entry in await kit.sandbox.log("telegram")} == {200}  # no limit was exceeded
    status, page = await kit.call("GET", f"/admin/v1/notifications?incident={await incident_of(kit, notified[0])}")
    assert (status, page["items"][-1]["reason"]) == (200, "told in a digest")


async def incident_of(kit: Kit, delivery: dict[str, Any]) -> int:
    """The incident that a delivery is about."""
    return int(delivery["subject"].removeprefix("incident:"))


async def test_a_digest_whose_first_answer_was_lost_comes_again_and_says_so(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, storm_above=3, call_deadline=3.0, telegram_token=None)
    await kit.publish(*many(20))

    async def waiting() -> bool:
        return len(await kit.fetch("SELECT 1 FROM deliveries")) == 20

    await eventually(waiting)
    await kit.sandbox.fault("telegram", mode="lost_response", count=1, delay_s=30)
    survivor = await make_replica(kit)
    async with survivor:
        await over(kit, 20)
    texts = await kit.texts(PICKERS)
    assert [text.startswith("<i>возможно, повторно</i>\n<b>🌪") for text in texts] == [False, True]


CHATS = {"few": ("telegram", str(PICKERS)), "more": ("slack", "#orders"), "many": ("telegram", str(STORE))}


async def shown(kit: Kit, name: str) -> str:
    """What stands in a chat now, edits made."""
    channel, address = CHATS[name]
    query = {"telegram": "chat_id", "slack": "channel"}[channel] + "=" + address.replace("#", "%23")
    items = (await kit.sandbox.control("GET", f"/sandbox/{channel}/messages?{query}"))["items"]
    return "\n".join(item["text"] if channel == "telegram" else json.dumps(item["blocks"]) for item in items)


@pytest.mark.parametrize("most", [600, pytest.param(2000, marks=pytest.mark.chaos)])
async def test_every_number_of_a_storm_reaches_the_chat_however_many_there_are(make_kit: MakeKit, most: int) -> None:
    routes = {
        "destinations": {name: {"channel": channel, "address": to} for name, (channel, to) in CHATS.items()},
        "routes": [{"name": name, "match": {"kind": [f"problem.{name}"]}, "to": [name]} for name in CHATS],
    }
    kit = await make_kit(routes=routes, storm_above=5, storm_quiet=60.0)
    numbers = {
        name: [f"{name[:2].upper()}-{each:05}" for each in range(count)]
        for name, count in (("few", 50), ("more", 300), ("many", most))
    }
    for name, mine in numbers.items():
        await kit.publish(*(a_problem(f"{name}:{number}", kind=name, order_number=number) for number in mine))

    await over(kit, 350 + most, lists=True)
    for name, mine in numbers.items():
        text = await shown(kit, name)
        assert [number for number in mine if number not in text] == []
    lists = [text for text in await kit.texts(STORE) if "номера заказов" in text]
    assert [re.findall(r"сообщение (\d+)", text) for text in lists] == [[str(n)] for n in range(1, len(lists) + 1)]
    listed = [number for text in lists for number in re.findall(r"MA-\d{5}", text)]
    assert (listed, len(lists) in range(2, most // 100)) == (sorted(set(listed)), True)
    logs = [entry for system in ("telegram", "slack") for entry in await kit.sandbox.log(system)]
    assert {entry["status"] for entry in logs} == {200}


async def make_replica(kit: Kit) -> Any:
    """A replica that sends."""
    from pydantic import SecretStr

    from common.service import running
    from notifier.app import build

    settings = kit.settings.model_copy(update={"telegram_token": SecretStr("4242:test-token")})
    return running(build, settings)


async def test_orders_in_the_same_chat_are_sent_one_by_one_whatever_the_storm(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, storm_above=3)
    await kit.publish(*many(20), created("H1"), created("H2"), *many(20, kind="late"))
    rows = await over(kit, 42)
    text = "\n".join(await kit.texts(PICKERS))
    assert [text.count(an_order(name).number) for name in ("H1", "H2")] == [1, 1]
    assert [row["digest_id"] for row in rows if row["subject"].startswith("order:")] == [None, None]
