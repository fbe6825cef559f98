"""A wrong token, a wrong signature and a way that is closed are told; strangers phone nobody."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json

from pydantic import SecretStr

from common.testing import eventually
from tests.integration.notifier.factories import ALERTS, ONE_CHAT, SENTRYS, Kit, MakeKit, post, post_bytes
from tests.support.alert_samples import notification, one_alert, sentry, stamp


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


async def test_a_watchdog_that_stays_away_is_a_problem_until_it_comes_again(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, replicas=2, watchdog_patience=0.01)

    async def stands(state: str) -> bool:
        found = await problems(kit)
        assert {each[:3] for each in found if each[2] == state} == {("alerts_silent", "critical", state)}
        return True

    await eventually(lambda: stands("open"), within=30, what="the problem")
    assert len([each for each in await problems(kit) if each[2] == "open"]) == 1
    assert await kit.fetch("SELECT FROM incidents WHERE kind = 'problem.alert'") == []
    watchdog = one_alert("Watchdog", severity="info")
    over = {**watchdog, "status": "resolved", "endsAt": stamp(0)}
    assert await post(kit, notification(over)) == {"incidents": []}
    assert await kit.fetch("SELECT FROM watchdogs") == []  # its end is no sign of life
    assert len((await post(kit, notification(watchdog, one_alert("Beside"))))["incidents"]) == 1
    [seen] = await kit.fetch("SELECT sender, seen_at > now() - interval '1 minute' AS lately FROM watchdogs")
    assert seen == {"sender": "alertmanager", "lately": True}


async def test_the_problem_ends_when_the_watchdog_comes_again(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, watchdog_patience=6.0)

    async def stands(state: str) -> bool:
        assert [each[:3] for each in await problems(kit)] == [("alerts_silent", "critical", state)]
        return True

    await eventually(lambda: stands("open"), within=60, what="the problem")
    assert await post(kit, notification(one_alert("Watchdog", severity="none"))) == {"incidents": []}
    await eventually(lambda: stands("resolved"), within=30, what="its end")


async def test_without_the_setting_the_watchdog_is_an_alert_like_any_other(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    assert (await post(kit, notification(one_alert("Watchdog", severity="none"))))["incidents"] == [1]
    assert await problems(kit) == [("alert", "info", "open", 1)]
