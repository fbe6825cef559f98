"""What the providers refuse, lose or limit, and what becomes of the notices."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from common.contracts.alerts import ProblemResolvedV1
from common.contracts.orders import OrderChangedV1, OrderDifference
from common.postgres import Database
from common.service import running
from notifier.app import build
from notifier.channels.telegram import telegram_limits
from notifier.delivery.deliver import Deliver
from notifier.delivery.outcomes import Sent
from notifier.delivery.queue import DeliveryQueues
from notifier.messages.words import Words
from notifier.metrics import NotifierMetrics
from tests.integration.notifier.factories import (
    MAIL_ONLY,
    NOW,
    ONE_GROUP,
    PICKERS,
    SLACK_ONLY,
    STORE,
    Kit,
    MakeKit,
    PatientSender,
    a_problem,
    an_order,
    created,
    ended,
)
from tests.support.servers import eventually


async def test_a_429_of_telegram_pauses_the_lane_and_nothing_is_lost_or_doubled(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP)
    await kit.sandbox.fault("telegram", mode="rate_limit", count=1, delay_s=1)
    await kit.publish(created())
    [row] = await ended(kit, 1)
    assert (row["state"], row["attempts"], row["possibly_repeated"]) == ("sent", 2, False)
    assert len(await kit.telegram()) == 1
    status, log = await kit.call("GET", "/admin/v1/notifications", role="viewer")
    assert (status, [(item["held_by"], item["reason"]) for item in log["items"]]) == (200, [("asked_to_wait", None)])


async def test_what_waited_for_the_limits_of_its_chat_says_so_when_it_is_sent(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP, combine_above=100)
    await kit.publish(*(created(f"H{n}") for n in range(6)))
    rows = await ended(kit, 6)
    assert {row["held_by"] for row in rows[:1]} == {None}
    assert rows[-1]["held_by"] == "chat_limit"


async def test_what_waited_for_the_failed_one_before_it_names_that_and_no_limit(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP, combine_above=100)
    await kit.sandbox.fault("telegram", mode="error", count=3)
    await kit.publish(created("H1"))

    async def failed_once() -> bool:
        return await kit.fetch("SELECT id FROM deliveries WHERE failed_at IS NOT NULL") != []

    await eventually(failed_once)
    later = an_order("H1", version=2)
    await kit.publish(OrderChangedV1(order=later, notify=True, occurred_at=NOW, difference=OrderDifference()))
    before, behind = await ended(kit, 2)
    assert (behind["held_by"], str(behind["held_behind"])) == ("earlier_notice", str(before["notice_id"]))
    _, log = await kit.call("GET", f"/admin/v1/notifications/{behind['notice_id']}", role="viewer")
    assert [(item["held_by"], item["held_behind"], item["held_behind_kind"]) for item in log["deliveries"]] == [
        ("earlier_notice", str(before["notice_id"]), "order.created")
    ]


@pytest.mark.parametrize("first", ["error", "lost_response"])
async def test_what_failed_is_late_for_that_and_not_for_the_limit_it_then_met(make_kit: MakeKit, first: str) -> None:
    kit = await make_kit(routes=ONE_GROUP, combine_above=100)
    await kit.sandbox.fault("telegram", mode=first, count=1)
    await kit.publish(*(created(f"H{n}") for n in range(6)))
    rows = await ended(kit, 6)
    [failed] = [row for row in rows if row["attempts"] > 1]
    assert failed["held_by"] not in {None, "chat_limit", "asked_to_wait"}
    assert failed["created_at"] < failed["failed_at"] < failed["sent_at"]
    assert [row["failed_at"] for row in rows if row is not failed] == [None] * 5
    assert "chat_limit" in {row["held_by"] for row in rows}
    _, log = await kit.call("GET", "/admin/v1/notifications", role="viewer")
    shown = {item["delivery_id"]: item for item in log["items"]}[failed["id"]]
    assert (shown["held_by"], shown["failed_at"] is not None) == (failed["held_by"], True)


async def test_a_failure_outranks_that_the_messenger_asked_to_wait_afterwards(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP)
    await kit.sandbox.fault("telegram", mode="rate_limit", count=1, delay_s=1)
    await kit.sandbox.fault("telegram", mode="error", count=1)  # the newest fault is met first
    await kit.publish(created())
    [row] = await ended(kit, 1)
    assert row["attempts"] == 3
    assert row["held_by"] not in {None, "chat_limit", "asked_to_wait"}


async def test_a_lost_answer_is_sent_again_and_says_so(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP)
    await kit.sandbox.fault("telegram", mode="lost_response", count=1)
    await kit.publish(created())
    [row] = await ended(kit, 1)
    texts = await kit.texts(PICKERS)
    assert (row["state"], row["possibly_repeated"], len(texts)) == ("sent", True, 2)
    assert texts[1] == "<i>возможно, повторно</i>\n" + texts[0]


async def test_a_group_that_became_a_supergroup_is_followed_and_remembered(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP)
    await kit.sandbox.control(
        "PUT", f"/sandbox/telegram/chats/{PICKERS}", {"state": "migrated", "migrate_to_chat_id": -1009000000001}
    )
    await kit.publish(created(), created("H124"))
    await ended(kit, 2)
    assert len(await kit.texts(-1009000000001)) == 2
    [lane] = await kit.fetch("SELECT key, address, moved_from FROM lanes")
    assert lane == {
        "key": "telegram:-1001000000001",
        "address": "-1009000000001",
        "moved_from": ["-1001000000001"],
    }


async def test_a_chat_that_blocked_the_bot_fails_and_becomes_a_problem_elsewhere(make_kit: MakeKit) -> None:
    kit = await make_kit()
    await kit.sandbox.control("PUT", f"/sandbox/telegram/chats/{STORE}", {"state": "blocked"})
    await kit.publish(created())
    rows = await ended(kit, 4)  # pickers and store; then the problem to on-call and Slack
    assert sorted((row["destination"], row["state"]) for row in rows) == [
        ("on-call-production", "sent"),
        ("orders-notifications", "sent"),
        ("pickers", "sent"),
        ("store", "failed"),
    ]
    [incident] = await kit.fetch("SELECT kind, fingerprint, severity FROM incidents")
    assert incident == {
        "kind": "problem.channel_refused",
        "fingerprint": "notifier:channel-refused:telegram:-1001000000002",
        "severity": "critical",
    }


@pytest.mark.parametrize("mode", ["rate_limit", "error"])
async def test_slack_troubles_are_waited_for(make_kit: MakeKit, mode: str) -> None:
    kit = await make_kit(routes=SLACK_ONLY)
    await kit.sandbox.fault("slack", mode=mode, count=1)
    await kit.publish(created())
    [row] = await ended(kit, 1)
    assert (row["state"], row["attempts"]) == ("sent", 2)


async def test_mail_goes_out_with_a_stable_message_id(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=MAIL_ONLY)
    await kit.publish(created())
    [row] = await ended(kit, 1)
    [entry] = [entry for entry in await kit.sandbox.log("mail") if entry["effect"]]
    assert (row["state"], len(row["message_ids"]), "🆕 Новый заказ H123" in str(entry["request"])) == ("sent", 1, True)


async def test_a_sender_that_died_before_it_recorded_is_made_up_for_and_the_repeat_says_so(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP, telegram_token=None)  # this replica takes in and sends nothing
    await kit.publish(created())

    async def waits() -> bool:
        return len(await kit.fetch("SELECT 1 FROM deliveries WHERE state = 'pending'")) == 1

    await eventually(waits)
    await send_and_die(kit)
    assert [row["state"] for row in await kit.fetch("SELECT state FROM deliveries")] == ["sending"]
    await kit.fetch("UPDATE lanes SET lease_until = now() RETURNING 1")
    await kit.fetch("UPDATE deliveries SET lease_until = now() RETURNING 1")
    survivor = kit.settings.model_copy(update={"telegram_token": SecretStr("4242:test-token")})
    async with running(build, survivor):
        [row] = await ended(kit, 1)
    texts = await kit.texts(PICKERS)
    assert (row["state"], row["possibly_repeated"], len(texts)) == ("sent", True, 2)
    assert texts[1] == "<i>возможно, повторно</i>\n" + texts[0]


async def send_and_die(kit: Kit) -> None:
    """Claim and send one message as a replica does, and end before the outcome is recorded."""
    database = Database(kit.dsn, application_name="victim")
    await database.open()
    sender = PatientSender(token="4242:test-token", api_url=kit.sandbox.telegram_url)
    deliver = Deliver(
        channel="telegram",
        queues=DeliveryQueues(database, channel="telegram", limits=lambda chat: telegram_limits(bot="4242", chat=chat)),
        sender=sender,
        words=Words("ru"),
        watch=NotifierMetrics(CollectorRegistry()),
        deadline=1.0,
        monotonic=lambda: 0.0,
    )
    claim = await deliver.claim()
    assert claim is not None
    assert isinstance(await deliver.send(claim), Sent)
    await sender.close()
    await database.close()


async def test_two_replicas_send_each_notice_once_and_in_the_order_of_versions(make_kit: MakeKit) -> None:
    kit = await make_kit(replicas=2)
    numbers = [f"T{index}" for index in range(30)]
    await kit.publish(*(created(number) for number in numbers))
    await ended(kit, 60)
    entries = await kit.telegram()
    for chat in (PICKERS, STORE):
        text = "\n".join(entry["request"]["text"] for entry in entries if int(entry["request"]["chat_id"]) == chat)
        assert [text.count(an_order(number).number) for number in numbers] == [1] * 30


async def test_three_hundred_orders_to_one_group_arrive_whole_and_once_within_the_limits(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP)
    numbers = [f"B{index}" for index in range(300)]
    await kit.publish(*(created(number, comment=None, positions=()) for number in numbers))
    await ended(kit, 300)
    log = await kit.sandbox.log("telegram")
    assert {entry["status"] for entry in log} == {200}  # no limit was ever exceeded
    text = "\n".join(await kit.texts(PICKERS))
    assert [text.count(an_order(number).number) for number in numbers] == [1] * 300
    assert len(log) < 40


async def test_a_problem_is_notified_once_however_often_raised_and_again_when_over(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY)
    for minute in range(3):
        await kit.publish(a_problem(occurred_at=NOW + timedelta(minutes=minute)))
    await kit.publish(
        ProblemResolvedV1(
            fingerprint="p:1", summary="gone", service="orchestrator", occurred_at=NOW + timedelta(hours=1)
        )
    )
    rows = await ended(kit, 2)
    assert [row["state"] for row in rows] == ["sent", "sent"]
    [incident] = await kit.fetch("SELECT state, occurrences, kind FROM incidents")
    assert incident == {"state": "resolved", "occurrences": 3, "kind": "problem.order_conflict"}
    status, page = await kit.call("GET", f"/admin/v1/notifications?order={an_order().number}")
    assert (status, [item["transition"] for item in page["items"]]) == (200, ["resolved", "opened"])


async def test_a_problem_that_is_over_before_its_report_comes_is_not_opened(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY)
    await kit.publish(
        ProblemResolvedV1(
            fingerprint="p:1", summary="gone", service="orchestrator", occurred_at=NOW + timedelta(hours=1)
        ),
        a_problem(),
        a_problem("p:2"),
    )
    await ended(kit, 1)
    assert await kit.fetch("SELECT fingerprint, state FROM incidents") == [{"fingerprint": "p:2", "state": "open"}]


async def test_an_outage_of_telegram_is_sat_out(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP)
    await kit.sandbox.fault("telegram", mode="reset", count=2)
    await kit.publish(created())
    [row] = await ended(kit, 1)
    assert (row["state"], row["attempts"]) == ("sent", 3)
