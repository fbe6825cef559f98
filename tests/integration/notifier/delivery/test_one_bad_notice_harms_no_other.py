"""Poison: a notice that cannot be rendered, a text a provider refuses, an alert with senseless bytes. The others go on."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from common.contracts.orders import Position
from notifier.messages.layout.slack import SlackLayout
from notifier.messages.layout.telegram import TelegramLayout, compose
from tests.integration.notifier.factories import (
    ALERT,
    ONE_GROUP,
    PICKERS,
    SLACK_ONLY,
    MakeKit,
    an_order,
    created,
    ended,
)
from tests.support.servers import eventually


async def test_a_notice_that_cannot_be_read_fails_aloud_and_the_others_are_sent(make_kit: MakeKit) -> None:
    kit = await make_kit()
    await kit.fetch(
        """
        WITH place AS (INSERT INTO lanes (key, channel, address)
                       VALUES ('telegram:-1001000000001', 'telegram', '-1001000000001')),
             n AS (INSERT INTO notices (id, subject, transition, sequence, kind, severity, document, event_id, occurred_at)
                   VALUES ('00000000-0000-7000-8000-000000000001', 'order:X', 'order.created:1', 1, 'order.created',
                           'info', '{"title": 7, "sections": [{}]}', 'e', now())
                   RETURNING id)
        INSERT INTO deliveries (notice_id, subject, sequence, destination, channel, lane, route, priority)
        SELECT id, 'order:X', 1, 'pickers', 'telegram', 'telegram:-1001000000001', 'r', 0 FROM n
        RETURNING id
        """
    )
    await kit.publish(created())
    rows = await ended(kit, 5)  # the poisoned one, pickers, store; then the problem to on-call and Slack
    assert sorted((row["destination"], row["state"]) for row in rows) == [
        ("on-call-production", "sent"),
        ("orders-notifications", "sent"),
        ("pickers", "failed"),
        ("pickers", "sent"),
        ("store", "sent"),
    ]
    [failed] = [row for row in rows if row["state"] == "failed"]
    assert failed["reason"] == "the notice cannot be rendered (TypeError)"
    assert kit.applications[0].lifecycle.failure is None


async def test_a_notice_that_breaks_the_layout_fails_and_is_not_called_possibly_sent(
    make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TelegramLayout.pages

    def breaking(self: TelegramLayout, document: Any, **more: Any) -> Any:
        """Stumble over one order."""
        if "H124" in str(document):
            raise RecursionError
        return whole(self, document, **more)

    monkeypatch.setattr(TelegramLayout, "pages", breaking)
    kit = await make_kit(routes=ONE_GROUP)
    await kit.publish(created("H123"), created("H124"), created("H125"))
    rows = await ended(kit, 3)
    assert [(row["state"], row["possibly_repeated"]) for row in rows] == [
        ("sent", False),
        ("failed", False),
        ("sent", False),
    ]


async def test_what_telegram_cannot_parse_is_sent_without_mark_up(
    make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unclosed(pages: Any) -> tuple[str, str]:
        """Forget to close a tag, as a fault of ours would."""
        html, bare = compose(pages)
        return html + "<b>", bare

    monkeypatch.setattr("notifier.channels.telegram.compose", unclosed)
    kit = await make_kit(routes=ONE_GROUP)
    await kit.publish(created())
    [row] = await ended(kit, 1)
    [first, second] = await kit.sandbox.log("telegram")
    assert (first["status"], "can't parse entities" in first["answer"]["description"]) == (400, True)
    assert (second["status"], second["request"].get("parse_mode")) == (200, None)
    assert second["request"]["text"].startswith(f"🆕 Новый заказ H123\n№ {an_order().number} · магазин 5\n")
    assert (row["state"], row["attempts"]) == ("sent", 1)


async def test_an_alert_with_control_characters_and_an_endless_link_is_sent_with_others(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY)
    body = copy.deepcopy(ALERT)
    [alert] = body["alerts"]
    strange = copy.deepcopy(alert)
    strange["fingerprint"] = "strange"
    strange["labels"] |= {"alertname": "Odd\u0007\u202eName", "pod\n": "x\u001by", "zone": "z" * 9000}
    strange["annotations"] = {"summary": "a\u0001b\n\nc" * 2000, "description": "d\u200b\ufeff" * 9000}
    strange["generatorURL"] = "https://prometheus/graph?g0.expr=" + "%29" * 3000
    body["alerts"].append(strange)
    assert await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=body) == (200, {"incidents": [1, 2]})
    rows = await ended(kit, 2)
    assert [row["state"] for row in rows] == ["sent", "sent"]


async def test_filters_with_senseless_bytes_are_no_fault_of_ours(make_kit: MakeKit) -> None:
    kit = await make_kit()
    for path in (
        "/admin/v1/incidents?order=%00",
        "/admin/v1/notifications?order=a%00b",
        "/admin/v1/audit?target=%00",
    ):
        status, _ = await kit.call("GET", path)
        assert status in {200, 400, 422}, path
    reason = {"reason": "why\u0000", "destination": "store", "text": "\u0000"}
    status, _ = await kit.call("POST", "/admin/v1/test-message", body=reason)
    assert status in {202, 422}


async def test_other_orders_are_told_while_one_of_a_hundred_pages_is(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP)
    await kit.publish(created("LONG", comment="очень длинно " * 50_000), created("H124"))

    async def told() -> bool:
        rows = await kit.fetch(
            "SELECT n.order_number, d.state FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id"
        )
        states = {row["order_number"]: row["state"] for row in rows}
        assert len(states) == 2
        assert states.pop(an_order("H124").number) == "sent"
        return set(states.values()) <= {"pending", "sending"}

    await eventually(told)
    texts = await kit.texts(PICKERS)
    assert sum("H124" in text for text in texts) == 1
    assert all("LONG" in text for text in texts if "H124" not in text)


async def test_a_comment_of_1588_characters_is_told_to_its_last_word(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP)
    warning = "АЛЛЕРГИЯ НА ОРЕХИ"
    comment = ("Оставьте у двери, звонок не работает. " * 50)[: 1588 - len(warning)] + warning
    await kit.publish(
        created(comment=comment, positions=tuple(Position(id=f"sku-{n}", quantity="1") for n in range(300)))
    )
    await ended(kit, 1)
    texts = await kit.texts(PICKERS)
    assert len(texts) > 1
    assert warning in texts[-1]
    assert all(an_order().number in text and "H123" in text for text in texts)


async def test_what_telegram_finds_too_long_comes_in_smaller_pages(
    make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifier.messages.layout.telegram._LIMIT", 9000)  # we think that more is allowed than is
    kit = await make_kit(routes=ONE_GROUP)
    positions = tuple(Position(id=f"sku-{number}", name="Молоко " * 10, quantity="2") for number in range(80))
    await kit.publish(created(positions=positions))
    [row] = await ended(kit, 1)
    refused = [entry for entry in await kit.sandbox.log("telegram") if entry["status"] == 400]
    assert {entry["answer"]["description"] for entry in refused} == {"Bad Request: message is too long"}
    text = "\n".join(await kit.texts(PICKERS))
    assert (row["state"], row["shrink"] >= 1, text.count("Молоко")) == ("sent", True, 800)


async def test_what_slack_finds_too_long_comes_in_several_messages(
    make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlackLayout, "limit", 60_000)
    kit = await make_kit(routes=SLACK_ONLY)
    positions = tuple(Position(id=f"sku-{number}", name="Milk " * 20, quantity="2") for number in range(200))
    await kit.publish(created(positions=positions))
    [row] = await ended(kit, 1)
    log = await kit.sandbox.log("slack")
    assert {entry["answer"].get("error") for entry in log if not entry["effect"]} == {"msg_blocks_too_long"}
    shown = "".join(str(entry["request"]["blocks"]) for entry in log if entry["effect"])
    assert (row["state"], row["shrink"] >= 1, shown.count("Milk")) == ("sent", True, 4000)
