"""A wrong token, a wrong signature and a way that is closed are told; strangers phone nobody."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr

from common.ids import new_id
from notifier.duty.twilio import signature_of
from tests.integration.notifier.factories import ALERTS, ONE_CHAT, SENTRYS, Kit, MakeKit, post, post_bytes
from tests.integration.notifier.people import SECRET, SIGNING, settings_for
from tests.support.alert_samples import notification, one_alert, sentry, stamp
from tests.support.servers import eventually


async def problems(kit: Kit) -> list[tuple[str, str, str, int]]:
    """Kind, severity, state and number of reports of every incident, in the order of their opening."""
    rows = await kit.fetch("SELECT kind, severity, state, occurrences FROM incidents ORDER BY id")
    return [(row["kind"].removeprefix("problem."), row["severity"], row["state"], row["occurrences"]) for row in rows]


async def counted(kit: Kit) -> dict[str, float]:
    """How many notifications were refused, by sender and looks."""
    async with kit.sandbox.session.get(f"{kit.url}/metrics") as answer:
        lines = [
            line for line in (await answer.text()).splitlines() if line.startswith("notifier_alerts_refused_total")
        ]
    return {line.partition("{")[2].partition("}")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_alerts_with_a_wrong_token_are_one_problem_and_junk_is_none(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    wrong = {"Authorization": "Bearer the-token-of-last-year"}
    for junk in (b"", b"{}", b"[]", b"\0" * 1000, b'{"alerts": [7]}', json.dumps(sentry("issue")).encode()):
        assert (await post_bytes(kit, junk, **wrong))[0] == 401
    assert await problems(kit) == []
    body = json.dumps(notification(one_alert("A"), *(one_alert(f"L{each}") for each in range(2000)))).encode()
    answers = await asyncio.gather(*(post_bytes(kit, body[: each * 10**5], **wrong) for each in range(1, 6)))
    assert {status for status, _ in answers} == {401}
    assert (await post_bytes(kit, body[:9000], Authorization="Bearer operator-token"))[0] == 403
    assert (await post_bytes(kit, body[:9000], Authorization="", **{"X-Real-IP": "203.0.113.7"}))[0] == 401
    [(kind, severity, state, reports)] = await problems(kit)
    assert (kind, severity, state) == ("alerts_refused", "critical", "open")
    assert 2 <= reports <= 7  # those that came at once may each have been the first
    [row] = await kit.fetch("SELECT details ->> 'network' AS network, summary FROM incidents")
    assert row["network"] == "203.0.113.0/24"
    assert row["summary"] == "Уведомления от alertmanager отклоняются: неверен токен или подпись"
    found = await counted(kit)
    assert (found['looks="genuine",sender="alertmanager"'], found['looks="other",sender="alertmanager"']) == (7, 6)
    assert found['looks="genuine",sender="sentry"'] == 0

    # It ends by itself, once there is nothing left that is refused.
    right = json.dumps(notification(one_alert("A"))).encode()
    elsewhere = {"X-Real-IP": "203.0.113.200"}
    assert (await post_bytes(kit, right, **elsewhere))[0] == 200
    assert (await post_bytes(kit, json.dumps(notification(one_alert("B"), "junk")).encode()))[0] == 200  # not whole
    assert [state for kind, _, state, _ in await problems(kit) if kind == "alerts_refused"] == ["open"]
    assert (await post_bytes(kit, right))[0] == 200
    assert [state for kind, _, state, _ in await problems(kit) if kind == "alerts_refused"] == ["resolved"]
    assert (await post_bytes(kit, right, **wrong))[0] == 401  # at once told again, however lately it was
    assert [state for kind, _, state, _ in await problems(kit) if kind == "alerts_refused"] == ["resolved", "open"]


async def test_alerts_with_a_token_for_something_else_are_a_problem_too(make_kit: MakeKit, tmp_path: Path) -> None:
    tokens = tmp_path / "scoped.json"
    entries = [
        {"name": "vera", "token": "viewer-token", "role": "viewer", "scopes": ["notifier:alerts"]},
        {"name": "refunds", "token": "refunds-token", "role": "internal", "scopes": ["orchestrator:refunds:read"]},
        {"name": "alertmanager", "token": "internal-token", "role": "internal", "scopes": ["notifier:alerts"]},
    ]
    tokens.write_text(json.dumps({"tokens": entries}))
    kit = await make_kit(routes=ONE_CHAT, tokens_file=tokens)
    body = json.dumps(notification(one_alert("A"))).encode()
    status, answer = await post_bytes(kit, body, Authorization="Bearer refunds-token")
    assert (status, answer["code"]) == (403, "out_of_scope")
    assert [(kind, state) for kind, _, state, _ in await problems(kit)] == [("alerts_refused", "open")]
    status, answer = await post_bytes(kit, body, Authorization="Bearer viewer-token")
    assert (status, answer["code"]) == (403, "forbidden")
    assert (await post_bytes(kit, body))[0] == 200
    assert ("alerts_refused", "resolved") in {(kind, state) for kind, _, state, _ in await problems(kit)}


async def test_sentrys_hooks_with_a_wrong_signature_are_a_problem_of_their_own(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, sentry_secret=SecretStr("new-secret"))
    for name in ("issue", "event_alert", "metric_alert", "error"):
        body = json.dumps(sentry(name)).encode()
        signature = hmac.new(b"old-secret", body, hashlib.sha256).hexdigest()
        headers = {"Sentry-Hook-Resource": name, "Sentry-Hook-Signature": signature}
        assert (await post_bytes(kit, body, SENTRYS, **headers))[0] == 401
    assert (await post_bytes(kit, b"{}", SENTRYS, Authorization=""))[0] == 401
    assert await problems(kit) == [("alerts_refused", "critical", "open", 1)]
    assert (await post_bytes(kit, json.dumps(notification(one_alert())).encode(), ALERTS, Authorization=""))[0] == 401
    assert len(await problems(kit)) == 2  # one a sender
    assert (await counted(kit))['looks="genuine",sender="sentry"'] == 4


CALLBACK = "https://suite.example/notifications/v1/twilio"


def call_of(sender: str, *, right: bool) -> tuple[str, bytes, dict[str, str]]:
    """The address, body and headers of a webhook that is signed with our secret, or with last year's."""
    if sender == "telegram":
        update = {"update_id": 7, "message": {"message_id": 1, "text": "hello"}}
        secret = SECRET if right else "last-year"
        return "/telegram/webhook", json.dumps(update).encode(), {"X-Telegram-Bot-Api-Secret-Token": secret}
    if sender == "slack":
        body, at = urlencode({"payload": json.dumps({"type": "view_closed"})}).encode(), str(int(time.time()))
        key = (SIGNING if right else "last-year").encode()
        signature = "v0=" + hmac.new(key, b"v0:" + at.encode() + b":" + body, hashlib.sha256).hexdigest()
        return (
            "/slack/interactions",
            body,
            {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": signature},
        )
    form, query = {"CallSid": "CA1", "CallStatus": "ringing"}, f"?call={new_id()}"
    fields = {name: [value] for name, value in form.items()}
    signature = signature_of(CALLBACK + query, fields, token="token" if right else "last-year")
    return f"/notifications/v1/twilio{query}", urlencode(form).encode(), {"X-Twilio-Signature": signature}


@pytest.mark.parametrize("configured", [True, False])
async def test_a_webhook_with_a_wrong_secret_is_told_until_a_right_one_comes(
    make_kit: MakeKit, tmp_path: Path, configured: bool
) -> None:
    settings = settings_for(
        tmp_path, call_provider="twilio", call_token=SecretStr("token"), call_account="AC1", call_from="+15005550006"
    )
    if not configured:  # they were forgotten here, and the others call all the same
        settings = {"people_file": settings["people_file"]}
    else:
        settings["call_callback_url"] = CALLBACK
    kit = await make_kit(routes=ONE_CHAT, replicas=2, **settings)
    senders = ("telegram", "slack", "twilio")
    for sender in senders:
        path, body, headers = call_of(sender, right=False)
        for junk in (b"", b"[]", b"payload", b"\0" * 100, b"9" * 5000):
            assert (await post_bytes(kit, junk, path, Authorization=""))[0] in (400, 401)
    assert await problems(kit) == []  # strangers are only counted
    for sender in senders:
        path, body, headers = call_of(sender, right=False)
        answers = await asyncio.gather(*(post_bytes(kit, body, path, Authorization="", **headers) for _ in range(5)))
        assert {status for status, _ in answers} == {401}
    rows = await kit.fetch("SELECT kind, severity, fingerprint, summary FROM incidents ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        (
            "problem.webhook_refused",
            "warning",
            f"webhook_refused:{sender}",
            f"Уведомления от {sender} отклоняются: неверен токен или подпись",
        )
        for sender in senders
    ]
    found = await counted(kit)
    assert {sender: found[f'looks="genuine",sender="{sender}"'] for sender in senders} == dict.fromkeys(senders, 5)
    if configured:
        for sender in senders:
            path, body, headers = call_of(sender, right=True)
            assert (await post_bytes(kit, body, path, Authorization="", **headers))[0] == 200, sender
        assert {state for _, _, state, _ in await problems(kit)} == {"resolved"}
        assert len(await problems(kit)) == len(senders)


async def test_a_watchdog_that_stays_away_is_a_problem_until_it_comes_again(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, replicas=2, watchdog_patience=0.01)

    async def stands(state: str) -> bool:
        found = await problems(kit)
        assert {each[:3] for each in found if each[2] == state} == {("alerts_silent", "critical", state)}
        return True

    await eventually(lambda: stands("open"), what="the problem")
    assert len([each for each in await problems(kit) if each[2] == "open"]) == 1
    assert await kit.fetch("SELECT FROM incidents WHERE kind = 'problem.alert'") == []
    watchdog = one_alert("Watchdog", severity="info")
    over = {**watchdog, "status": "resolved", "endsAt": stamp(0)}
    assert await post(kit, notification(over)) == {"incidents": []}
    assert await kit.fetch("SELECT FROM alert_senders") == []  # its end is no sign of life
    assert len((await post(kit, notification(watchdog, one_alert("Beside"))))["incidents"]) == 1
    [seen] = (await kit.call("GET", "/admin/v1/alert-senders", role="viewer"))[1]["items"]
    assert (seen["name"], seen["environment"]) == ("alertmanager.example", None)
    [former] = await kit.fetch("SELECT sender FROM watchdogs")  # which the release before this one looks at
    assert former == {"sender": "alertmanager"}


async def test_each_silent_sender_is_told_by_name_and_may_be_given_up(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, replicas=2, watchdog_patience=8.0)

    def watchdog(environment: str, **labels: str) -> dict[str, Any]:
        return one_alert("Watchdog", severity="none", labels={"environment": environment, **labels})

    heard = {"Prod": "production", "testing": "testing"}

    async def silent_is(*names: str) -> bool:
        for environment in heard:  # it comes all the time, from two Prometheus behind one Alertmanager or two
            assert await post(kit, notification(watchdog(environment, cluster="dc1"))) == {"incidents": []}
        rows = await kit.fetch("SELECT fingerprint FROM incidents WHERE state <> 'resolved'")
        assert sorted(row["fingerprint"] for row in rows) == [f"alerts_silent:{name}" for name in names]
        return True

    assert await post(kit, notification(watchdog("production", cluster="dc2"))) == {"incidents": []}
    assert await post(kit, notification(watchdog("production", cluster="dc3"))) == {"incidents": []}
    await eventually(lambda: silent_is("production/dc2", "production/dc3"), what="two are silent")
    _, coverage = await kit.call("GET", "/admin/v1/coverage", role="viewer")
    assert {hole["detail"] for hole in coverage["missing"] if hole["what"] == "alerts"} == {
        "no alerts come from production/dc2",
        "no alerts come from production/dc3",
    }
    senders = (await kit.call("GET", "/admin/v1/alert-senders", role="viewer"))[1]["items"]
    assert {each["name"]: each["state"] for each in senders} == {
        "production/dc1": "heard",
        "production/dc2": "silent",
        "production/dc3": "silent",
        "testing/dc1": "heard",
    }
    gone = next(each for each in senders if each["name"] == "production/dc2")
    assert await kit.call("GET", f"/admin/v1/alert-senders/{gone['id']}", role="viewer") == (200, gone)
    path, body = f"/admin/v1/alert-senders/{gone['id']}/give-up", {"reason": "that data centre was closed"}
    assert (await kit.call("POST", path, body=body, role="viewer"))[0] == 403
    status, answer = await kit.call("POST", path, body={**body, "dry_run": True})
    assert (status, answer["name"], answer["dry_run"]) == (200, "production/dc2", True)
    over = f"incident.resolved (problem.alerts_silent) of incident:{gone['incident_id']}: all (telegram)"
    assert over in answer["notices"], answer
    assert sorted(status for status, _ in await asyncio.gather(*(kit.call("POST", path, body=body) for _ in "12"))) == [
        200,
        404,
    ]
    await eventually(lambda: silent_is("production/dc3"), what="one is given up")
    [record] = (await kit.call("GET", "/admin/v1/audit?action=alert_sender.give_up"))[1]["items"]
    assert (record["target"], record["before"]["name"]) == (f"alert_sender:{gone['id']}", "production/dc2")
    assert await post(kit, notification(watchdog("production", cluster="dc2"))) == {"incidents": []}
    told = await kit.fetch(
        "SELECT count(*) AS times FROM incidents WHERE fingerprint LIKE '%dc2' OR fingerprint LIKE '%dc3' GROUP BY fingerprint"
    )
    assert {row["times"] for row in told} == {1}  # each once, by whichever replica


async def test_the_only_sender_is_not_given_up(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, watchdog_patience=600.0)
    await post(kit, notification(one_alert("Watchdog", severity="none"), externalURL="http://5d41402abc4b:9093"))
    [only] = (await kit.call("GET", "/admin/v1/alert-senders"))[1]["items"]
    assert only["name"] == "alertmanager"  # a container's name is none
    path = f"/admin/v1/alert-senders/{only['id']}/give-up"
    status, problem = await kit.call("POST", path, body={"reason": "nobody needs it"})
    assert (status, problem["code"]) == (409, "only_sender")


async def test_the_problem_ends_when_the_watchdog_comes_again(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, watchdog_patience=6.0)

    async def stands(state: str) -> bool:
        assert [each[:3] for each in await problems(kit)] == [("alerts_silent", "critical", state)]
        return True

    await eventually(lambda: stands("open"), what="the problem")
    assert await post(kit, notification(one_alert("Watchdog", severity="none"))) == {"incidents": []}
    await eventually(lambda: stands("resolved"), what="its end")


async def test_without_the_setting_the_watchdog_is_an_alert_like_any_other(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    assert (await post(kit, notification(one_alert("Watchdog", severity="none"))))["incidents"] == [1]
    assert await problems(kit) == [("alert", "info", "open", 1)]
