"""Buttons, acknowledgement, escalation: who is notified, who is phoned, and when nobody is any more."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from slack_sdk.signature import SignatureVerifier

from tests.integration.notifier.factories import Kit, MakeKit
from tests.integration.notifier.people import (
    FAST_CHAIN,
    REFUND,
    SIGNING,
    answers,
    button,
    crashed,
    phoned,
    press,
    put_roster,
    refund_failed,
    settings_for,
)
from tests.support.servers import eventually

ON_CALL = -1001000000901


async def notified(kit: Kit, count: int, chat: int = ON_CALL) -> list[str]:
    """Wait for so many messages in the on-call chat."""

    async def probe() -> list[str]:
        texts = await kit.texts(chat)
        assert len(texts) >= count, texts
        return texts

    return await eventually(probe)


async def incident(kit: Kit, incident_id: int = 1) -> dict[str, Any]:
    """One incident's state and holder."""
    [row] = await kit.fetch("SELECT state, acknowledged_by FROM incidents WHERE id = $1", incident_id)
    return row


async def test_mine_in_telegram_stops_the_chain_is_sent_elsewhere_and_counts_once(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(replicas=2, **settings_for(tmp_path))
    await put_roster(kit, "oleg", "anna")
    await kit.publish(crashed())
    await notified(kit, 2)  # the handover's announcement and the crash

    mine = await button(kit, "✋")  # which goes when the message is edited, and some still see it
    await press(kit, mine, user="oleg", twice=True)

    async def taken() -> bool:
        return await incident(kit) == {"state": "acknowledged", "acknowledged_by": "oleg"}

    await eventually(taken)
    await press(kit, mine, user="anna", replica=1)
    await press(kit, mine, user="vera")
    await press(kit, mine, user="mallory")

    async def answered() -> list[str]:
        said = await answers(kit)
        assert len(said) == 4, said
        return said

    said = sorted(await eventually(answered))  # replicas answer side by side
    assert said[0].startswith("Ваша. Звонить не будем до ")
    assert said[1:] == [
        "Вашей роли этого нельзя. Обратитесь к дежурному.",
        "Уже взял(а): Oleg",
        "Я вас не знаю. Попросите добавить вас в справочник дежурных.",
    ]
    history = await kit.fetch("SELECT actor, act FROM incident_history WHERE incident_id = 1 ORDER BY id")
    assert [(line["actor"], line["act"]) for line in history] == [("orchestrator", "opened"), ("oleg", "ack")]
    # Several people in a hurry silence it: one silence, which can be taken back.
    quiet = await button(kit, "🔕")
    await press(kit, quiet, user="oleg", twice=True)
    await press(kit, quiet, user="anna", replica=1)
    await press(kit, quiet, user="oleg")

    async def silenced() -> bool:
        assert (await answers(kit)).count("Тишина на час") == 3
        return True

    await eventually(silenced)
    [record] = (await kit.call("GET", "/admin/v1/audit?action=silence.add"))[1]["items"]
    assert (record["target"], record["after"]["incident"]) == ("silence:1", 1)
    audit = (await kit.call("GET", "/admin/v1/audit?target=incident:1"))[1]["items"]
    assert [(item["actor"], item["role"], item["action"]) for item in audit] == [("oleg", "operator", "incident.ack")]

    async def slack_knows() -> bool:
        posts = [str(entry["request"]["blocks"]) for entry in await kit.sandbox.log("slack") if entry["effect"]]
        return any("✋ Занимается: Oleg" in blocks and "n1:a:" not in blocks for blocks in posts)

    await eventually(slack_knows)


async def test_the_chain_reminds_then_calls_whoever_can_be_reached_and_ends_with_owners(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(replicas=2, **settings_for(tmp_path, escalation=FAST_CHAIN, escalation_rounds=1))
    await put_roster(kit, "oleg", "anna")
    await kit.sandbox.fault("calls", mode="declined", count=1)
    await kit.publish(refund_failed())

    async def at_the_end() -> list[dict[str, Any]]:
        rows = await kit.fetch("SELECT person, state, attempts FROM calls ORDER BY created_at")
        assert [row["state"] for row in rows] == ["failed", "placed", "placed"], rows
        return rows

    rows = await eventually(at_the_end)
    assert [row["person"] for row in rows] == ["oleg", "anna", "boris"]
    assert await phoned(kit) == ["+79990000002", "+79990000003"]

    async def history() -> bool:
        lines = await kit.fetch("SELECT act, text FROM incident_history WHERE incident_id = 1 ORDER BY id")
        return [(line["act"], line["text"].partition(":")[0]) for line in lines] == [
            ("opened", f"Возврат {REFUND} в состоянии RS_ERROR, попытка 1"),
            ("reminded", "Oleg (@oleg)"),
            ("call_failed", "oleg"),
            ("called", "anna"),
            ("called", "boris"),
        ]

    await eventually(history)
    [timer] = await kit.fetch("SELECT due_at FROM escalations")
    assert timer["due_at"] is None
    texts = await notified(kit, 3)
    assert any("Проблема ждёт дежурного: Oleg (@oleg)" in text for text in texts)


async def test_a_call_whose_answer_is_lost_rings_once_and_many_problems_are_one_call(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    chain = [{"after": 0.3, "act": "call", "whom": "on_duty"}]
    kit = await make_kit(replicas=2, **settings_for(tmp_path, escalation=chain, escalation_rounds=1, call_pause=3600.0))
    await put_roster(kit, "oleg")
    await kit.sandbox.fault("calls", mode="lost_response", count=1)
    await kit.publish(*(crashed(number) for number in range(1, 9)))

    async def ended() -> list[str]:
        rows = await kit.fetch("SELECT state FROM calls")
        states = sorted(row["state"] for row in rows)
        assert len(states) == 8, states
        assert states.count("placed") == 1, states
        assert "calling" not in states, states
        return states

    # What came before the call is covered by it; what came after waits until the person may be phoned again.
    states = await eventually(ended)
    assert set(states) <= {"placed", "covered", "waiting"}
    rung = {entry["answer"]["call_id"] for entry in await kit.sandbox.log("calls") if entry["status"] == 202}
    assert len(rung) == 1


async def test_an_acknowledgement_expires_opens_the_incident_again_and_reminds(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(replicas=2, **settings_for(tmp_path, ack_lasts=0.5))
    await kit.publish(crashed())
    await notified(kit, 1)
    assert (await kit.call("POST", "/admin/v1/incidents/1/ack", body={"reason": "mine"}))[0] == 200

    async def reminded() -> bool:
        return any("Никто не занят проблемой: срок истёк, взял(а): Oleg" in text for text in await kit.texts(ON_CALL))

    await eventually(reminded)
    assert (await incident(kit))["state"] == "open"
    # The chain begins anew: its first step is due an hour from now.
    [timer] = await kit.fetch("SELECT step, round, due_at > now() + interval '50 minutes' AS later FROM escalations")
    assert timer == {"step": 0, "round": 0, "later": True}


async def test_of_two_people_the_first_has_it_unless_the_other_takes_it_over(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    await kit.publish(crashed())
    await notified(kit, 1)
    await press(kit, "✋", user="anna")

    async def taken() -> bool:
        return bool((await incident(kit))["acknowledged_by"] == "anna")

    await eventually(taken)
    status, problem = await kit.call("POST", "/admin/v1/incidents/1/ack", body={"reason": "mine"})
    assert (status, problem["code"], problem["detail"]) == (409, "taken_already", "the incident is taken by anna")
    body = {"reason": "her shift is over", "take_over": True}
    assert (await kit.call("POST", "/admin/v1/incidents/1/ack", body=body))[0] == 200
    assert (await incident(kit))["acknowledged_by"] == "oleg"


async def test_slack_lets_nobody_in_whose_signature_is_not_right(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    await kit.publish(crashed())
    await notified(kit, 1)

    async def posted() -> dict[str, Any]:
        page = await kit.sandbox.control("GET", "/sandbox/slack/messages")
        assert page["items"]
        return dict(page["items"][0])

    post = await eventually(posted)
    order = {
        "channel": post["channel"],
        "ts": post["ts"],
        "action_id": "n1:a:1",
        "user": "oleg",
        "url": f"{kit.url}/slack/interactions",
        "signing_secret": SIGNING,
    }
    for wrong in ({"skew_s": 400}, {"skew_s": -400}, {"bad_signature": True}, {"signing_secret": "another"}):
        report = await kit.sandbox.control("POST", "/sandbox/slack/press", {**order, **wrong})
        assert [each["status"] for each in report["deliveries"]] == [401], wrong
    for headers in (
        {},
        {"X-Slack-Request-Timestamp": "yesterday", "X-Slack-Signature": "v0=00"},
        {"X-Slack-Request-Timestamp": "1", "X-Slack-Signature": "v0=\u00e9"},
        {"X-Slack-Request-Timestamp": "9" * 400, "X-Slack-Signature": "v0=00"},
    ):
        async with kit.sandbox.session.post(f"{kit.url}/slack/interactions", data=b"\xff", headers=headers) as answer:
            assert answer.status == 401
    assert (await incident(kit))["state"] == "open"

    report = await kit.sandbox.control("POST", "/sandbox/slack/press", {**order, "twice": True})
    assert [(each["status"], each["body"]) for each in report["deliveries"]] == [(200, ""), (200, "")]

    async def answered() -> list[Any]:
        said = [entry["request"] for entry in await kit.sandbox.log("slack") if entry["operation"] == "response_url"]
        assert said
        return said

    [said] = await eventually(answered)
    assert said["response_type"] == "ephemeral"
    assert said["text"].startswith("Ваша.")
    assert await incident(kit) == {"state": "acknowledged", "acknowledged_by": "oleg"}
    assert (await kit.call("POST", "/telegram/webhook", body={"update_id": 1}))[0] == 401


async def test_a_signed_press_with_senseless_text_is_kept_like_any_other(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    payload = {
        "type": "block_actions",
        "user": {"id": "U\ud800"},
        "channel": {"id": "C\0"},
        "actions": [{"value": "\ud800", "action_ts": "1\0"}],
        "response_url": "http://127.0.0.1:1/\ud800\0" + "x" * 9000,
    }
    body = urlencode({"payload": json.dumps(payload)})
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": SignatureVerifier(SIGNING).generate_signature(timestamp=stamp, body=body) or "",
    }
    async with kit.sandbox.session.post(f"{kit.url}/slack/interactions", data=body, headers=headers) as answer:
        assert answer.status == 200
    assert await kit.fetch("SELECT who, data, length(reply_to) AS reply_to FROM presses") == [
        {"who": "U?", "data": "?", "reply_to": 1000}
    ]


async def test_the_bot_registers_its_webhook_and_a_real_press_comes_through(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(**settings_for(tmp_path, telegram_webhook_url="http://127.0.0.1:1/telegram/webhook"))

    async def registered() -> bool:
        return any(entry["operation"].lower() == "setwebhook" for entry in await kit.sandbox.log("telegram"))

    await eventually(registered)
    [entry] = [entry for entry in await kit.sandbox.log("telegram") if entry["operation"].lower() == "setwebhook"]
    assert entry["request"]["url"] == "http://127.0.0.1:1/telegram/webhook"
