"""From an event on RabbitMQ to the exact texts in the chats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from common.contracts import Envelope
from common.contracts.orders import OrderChangedV1, OrderDifference, Position, PositionChange, WorkflowCrashedV1
from notifier.delivery.reads import select_notifications
from tests.integration.notifier.factories import NOW, PICKERS, STORE, TRACE, MakeKit, an_order, created, enveloped
from tests.support.plans import WatchedDatabase
from tests.support.servers import eventually
from tests.support.slack_texts import as_read

NEW_ORDER = (
    "<b>🆕 Новый заказ H123</b>\n"
    "№ <code>{number}</code> · магазин 5\n"
    "<b>Состав (2):</b>\n"
    "• Молоко 3,2 % × <b>2</b>\n"
    "• sku-2 × <b>0,5</b>\n"
    "Комментарий: Звоните на [masked] &lt;срочно&gt;\n"
    "Замены: позвонить, не дозвонились — заменить\n"
    "Получение: доставка курьером\n"
    "Сумма: 260,00 ₽ (без скидки 270,00 ₽)"
)


async def test_a_new_order_is_sent_to_pickers_and_store_with_its_trace(make_kit: MakeKit) -> None:
    kit = await make_kit()
    event = enveloped(created())
    await kit.publish(event, event)  # a repeat changes nothing

    async def notified() -> list[dict[str, Any]]:
        entries = await kit.telegram()
        assert len(entries) == 2
        return entries

    entries = await eventually(notified)
    text = NEW_ORDER.format(number=an_order().number)
    assert sorted((int(entry["request"]["chat_id"]), entry["request"]["text"]) for entry in entries) == [
        (STORE, text),
        (PICKERS, text),
    ]
    assert {entry["traceparent"].split("-")[1] for entry in entries} == {TRACE.split("-")[1]}

    async def promised() -> list[dict[str, Any]]:
        rows = await kit.fetch("SELECT state, message_ids, attempts FROM deliveries ORDER BY id")
        assert {row["state"] for row in rows} == {"sent"}
        return rows

    rows = await eventually(promised)
    assert [(len(row["message_ids"]), row["attempts"]) for row in rows] == [(1, 1), (1, 1)]
    for trace, count in ((TRACE.split("-")[1], 2), ("f" * 32, 0)):
        _, page = await kit.call("GET", f"/admin/v1/notifications?trace={trace}&state=sent")
        assert [item["order_number"] for item in page["items"]] == [an_order().number] * count


async def test_a_late_notice_says_where_the_time_went_since_the_hook_came(make_kit: MakeKit) -> None:
    kit = await make_kit()
    way = {"receivedat": NOW - timedelta(seconds=22), "takenat": NOW - timedelta(seconds=2), "cameby": "spool"}
    on_time = {"receivedat": NOW - timedelta(milliseconds=300)}
    other = {"receivedat": "yesterday", "takenat": NOW, "cameby": "a \x00 way of a later release"}
    for name, said in (("H1", way), ("H2", on_time), ("H3", other), ("H4", {})):
        envelope = enveloped(created(name)).model_dump(mode="json") | {key: str(each) for key, each in said.items()}
        await kit.publish(Envelope.model_validate(envelope))

    async def told() -> list[dict[str, Any]]:
        _, page = await kit.call("GET", "/admin/v1/notifications?state=sent")
        assert len(page["items"]) == 8
        return list(page["items"])

    found = {item["order_number"]: item for item in await eventually(told)}
    late, prompt, unread, silent = (found[an_order(name).number] for name in ("H1", "H2", "H3", "H4"))
    assert datetime.fromisoformat(late["received_at"]) == way["receivedat"]
    before, _, rest = late["waited"].partition("; ")
    assert before == "20 s before the orchestrator: the broker was away, and the gateway kept the hook"
    assert rest.startswith("2 s in the orchestrator: it waited for its turn, for another event or for a person; ")
    assert "before the orchestrator" not in prompt["waited"]
    assert (unread["received_at"], silent["received_at"]) == (None, None)
    _, story = await kit.call("GET", f"/admin/v1/notifications/{late['notice_id']}")
    assert story["received_at"] == late["received_at"]
    assert late["waited"] in [each["waited"] for each in story["deliveries"]]


_TRACED = """
INSERT INTO notices (id, subject, transition, sequence, kind, severity, event_id, occurred_at, traceparent)
SELECT gen_random_uuid(), 'test:' || n, 'test', n, 'test', 'info', n, now(), '00-' || lpad(to_hex(n), 32, '0') || '-00f067aa0ba902b7-01'
FROM generate_series(1, $1) AS n
"""


async def test_a_trace_is_looked_up_in_an_index(database_for: Callable[[str], Awaitable[str]]) -> None:
    database = WatchedDatabase(await database_for("notifier"))
    await database.open()
    async with database.acquire() as connection:
        await connection.execute(_TRACED, 5000)
        await connection.execute("ANALYZE notices")
    database.plans.clear()
    for trace, rows in ((f"{7:032x}", 1), ("f" * 32, 0)):
        statement, values = select_notifications(trace=trace, limit=51)
        for _ in range(7):  # past five executions there may be one plan for all values
            async with database.acquire() as connection:
                assert len(await connection.fetch(statement, *values)) == rows
    assert any("substr(traceparent, 4, 32)" in condition for condition in database.index_conditions())
    await database.close()


async def test_a_change_follows_its_order_and_what_is_not_sent_is_kept_with_the_reason(
    make_kit: MakeKit,
) -> None:
    kit = await make_kit()
    change = OrderChangedV1(
        order=an_order(version=2),
        notify=True,
        occurred_at=NOW,
        difference=OrderDifference(
            added=(Position(id="sku-9", name="Сок", quantity="1"),),
            changed=(
                PositionChange(
                    before=Position(id="sku-1", name="Молоко 3,2 %", quantity="2"),
                    after=Position(id="sku-1", name="Молоко 3,2 %", quantity="3"),
                ),
            ),
        ),
    )
    silent = created("H124", notify=False)
    await kit.publish(created(), change, silent)

    async def notified() -> list[str]:
        texts = await kit.texts(PICKERS)
        assert len(texts) == 2
        return texts

    texts = await eventually(notified)
    assert texts[1] == (
        "<b>✏️ Заказ изменён H123</b>\n"
        f"№ <code>{an_order().number}</code> · магазин 5\n"
        "<b>Добавлено:</b>\n"
        "• Сок × <b>1</b>\n"
        "<b>Количество:</b>\n"
        "• Молоко 3,2 %: 2 → <b>3</b>\n"
        "Сумма: 260,00 ₽ (без скидки 270,00 ₽)"
    )
    status, page = await kit.call("GET", f"/admin/v1/notifications?order={silent.order.number}", role="viewer")
    assert status == 200
    _, told = await kit.call("GET", "/admin/v1/told-orders", role="viewer")
    assert [told[name] for name in ("orders", "told", "waiting", "nobody", "failed")] == [2, 1, 0, 1, 0]
    assert [(item["state"], item["reason"], item["destination"]) for item in page["items"]] == [
        ("not_told", "the orchestrator decided that nobody is told", None)
    ]


async def test_a_change_that_another_replica_takes_in_first_waits_for_the_order(make_kit: MakeKit) -> None:
    kit = await make_kit()
    change = OrderChangedV1(order=an_order(version=2), notify=True, occurred_at=NOW, difference=OrderDifference())
    await kit.publish(change)

    async def taken() -> bool:
        return len(await kit.fetch("SELECT 1 FROM deliveries")) == 2

    await eventually(taken)
    await kit.publish(created())

    async def notified() -> list[str]:
        texts = await kit.texts(STORE)
        assert len(texts) == 2
        return texts

    texts = await eventually(notified)
    assert [text.splitlines()[0] for text in texts] == ["<b>🆕 Новый заказ H123</b>", "<b>✏️ Заказ изменён H123</b>"]


async def test_a_crashed_workflow_is_notified_in_slack(make_kit: MakeKit) -> None:
    kit = await make_kit()
    number = an_order().number
    await kit.publish(
        WorkflowCrashedV1(
            workflow_id=42,
            kind="order_life",
            order_number=number,
            event_type="hook.changed",
            error="ValueError: bad quantity",
            attempts=5,
            occurred_at=NOW,
        )
    )

    async def notified() -> list[dict[str, Any]]:
        entries = [entry for entry in await kit.sandbox.log("slack") if entry["effect"]]
        assert len(entries) == 1
        return entries

    [entry] = await eventually(notified)
    request = entry["request"]
    assert request["channel"] == "#orders-notifications"
    text_block, buttons = request["blocks"]
    assert [button["value"] for button in buttons["elements"]] == ["n1:a:1", "n1:w:1", "n1:r:1", "n1:s:1"]
    assert as_read(text_block) == (
        "*🔴 [production] Workflow упал: order_life 42: ValueError: bad quantity*\n"
        f"Заказ: `{number}`\n"
        "Сервис: orchestrator\n"
        "Событие: hook.changed\n"
        "Попыток: 5\n"
        "Ошибка: ValueError: bad quantity\n"
        "*Что делать:* устранить причину и повторить шаг: на странице процесса в консоли или "
        "ordersctl workflow retry 42; или исправить само событие (ordersctl event mend), пропустить его (ordersctl event skip); "
        "если опрос мешает — ordersctl workflow stop 42."
    )
    status, page = await kit.call("GET", "/admin/v1/incidents")
    assert (status, [(item["fingerprint"], item["state"], item["severity"]) for item in page["items"]]) == (
        200,
        [("workflow:42", "open", "critical")],
    )
