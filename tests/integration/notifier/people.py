"""People for tests: a directory, what they press, and what the outside world heard of it."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.orders import WorkflowCrashedV1
from common.ids import order_number
from tests.integration.notifier.factories import NOW, Kit
from tests.support.servers import eventually

SECRET = "hook-secret"
SIGNING = "signing-secret"
OVERRIDES = "/admin/v1/roster/overrides"
ORDER = order_number("sbermarket", "H123")
REFUND = "0190b5f0-0000-7000-8000-000000000001"


def telegram_id(name: str) -> int:
    """The account of somebody at the sandbox's Telegram."""
    return zlib.crc32(name.encode())


def slack_id(name: str) -> str:
    """The account of somebody at the sandbox's Slack."""
    return f"U{zlib.crc32(name.encode()):08X}"


def a_person(name: str, *, phone: str | None, role: str = "operator", **more: Any) -> dict[str, Any]:
    """An entry of the directory."""
    return {
        "id": name,
        "name": name.capitalize(),
        "role": role,
        "telegram": telegram_id(name),
        "slack": slack_id(name),
        "tracker": name,
        "mention": f"@{name}",
        "phone": phone,
        "token": f"{name}-token",
        **more,
    }


DIRECTORY: dict[str, Any] = {
    "people": [
        a_person("oleg", phone="+79990000001"),
        a_person("anna", phone="+79990000002"),
        a_person("boris", phone="+79990000003", role="admin"),
        a_person("vera", phone=None, role="viewer"),
    ],
    "owners": {"refunds": ["boris"], "default": ["boris"]},
    "seniors": ["anna"],
}
FAST_CHAIN = [
    {"after": 0.2, "act": "remind", "whom": "on_duty"},
    {"after": 0.2, "act": "call", "whom": "on_duty"},
    {"after": 0.2, "act": "call", "whom": "backup"},
    {"after": 0.2, "act": "call", "whom": "owners"},
]
SLOW_CHAIN = [{"after": 3600, "act": "call", "whom": "on_duty"}]


def settings_for(directory: Path, **changes: Any) -> dict[str, Any]:
    """Settings of a notifier that knows the people; the chain is slow unless changed."""
    file = directory / "people.json"
    file.write_text(json.dumps(DIRECTORY))
    return {
        "people_file": file,
        "telegram_webhook_secret": SecretStr(SECRET),
        "slack_signing_secret": SecretStr(SIGNING),
        "escalation": SLOW_CHAIN,
        "call_pause": 0.0,
        "call_url": lambda sandbox: f"{sandbox.url}/calls/v1/calls",
        **changes,
    }


def monday() -> datetime:
    """The Monday of the running week, as a date of Moscow's calendar."""
    today = datetime.now(UTC) + timedelta(hours=3)
    return today - timedelta(days=today.weekday() + (7 if today.weekday() == 0 and today.hour < 10 else 0))


async def put_roster(kit: Kit, *rotation: str, **more: Any) -> Any:
    """Make a roster whose first week is the running one."""
    body = {"first_week": monday().date().isoformat(), "rotation": list(rotation), "reason": "for a test", **more}
    status, answer = await kit.call("PUT", "/admin/v1/roster", body=body)
    assert status == 200, answer
    return answer


async def override(kit: Kit, person: str | None, starts: timedelta, ends: timedelta, **more: Any) -> tuple[int, Any]:
    """Put somebody over the plan from so long to so long after now."""
    now = datetime.now(UTC)
    body = {
        "person": person,
        "starts_at": (now + starts).isoformat(),
        "ends_at": (now + ends).isoformat(),
        "reason": "for a test",
        **more,
    }
    return await kit.call("POST", OVERRIDES, body=body)


def crashed(workflow_id: int = 77, **changes: Any) -> WorkflowCrashedV1:
    """The event that a workflow crashed."""
    values: dict[str, Any] = {
        "workflow_id": workflow_id,
        "kind": "order",
        "order_number": ORDER,
        "event_type": "order.paid",
        "error": "KeyError: price",
        "attempts": 5,
        "occurred_at": NOW,
    }
    return WorkflowCrashedV1(**{**values, **changes})


def refund_failed(**changes: Any) -> ProblemRaisedV1:
    """The problem that the refunds service raises for a refund in RS_ERROR."""
    values: dict[str, Any] = {
        "kind": "refund.error",
        "severity": "critical",
        "fingerprint": f"refund:{REFUND}:1",
        "summary": f"Refund {REFUND} is in RS_ERROR after attempt 1",
        "details": {"refund_id": REFUND, "version": "4", "attempt": "1", "error": "trust says no"},
        "service": "refunds",
        "order_number": ORDER,
        "occurred_at": NOW,
    }
    return ProblemRaisedV1(**{**values, **changes})


Found = dict[str, Any]
"""A button as somebody saw it: its message and what it sends."""


async def button(kit: Kit, label: str, *, chat: int | None = None) -> Found:
    """Wait for a button in Telegram whose label begins so, and return the newest."""

    async def probe() -> Found:
        page = await kit.sandbox.control("GET", "/sandbox/telegram/messages")
        for message in reversed(page["items"]):
            if chat is not None and message["chat"]["id"] != chat:
                continue
            for row in (message.get("reply_markup") or {}).get("inline_keyboard", []):
                for each in row:
                    if each["text"].startswith(label):
                        return {"message_id": message["message_id"], "callback_data": each["callback_data"]}
        raise AssertionError(f"there is no button {label}")

    return await eventually(probe)


async def press(
    kit: Kit,
    label: str | Found,
    *,
    user: str,
    chat: int | None = None,
    twice: bool = False,
    replica: int = 0,
) -> list[dict[str, Any]]:
    """Press the newest button whose label begins so, in Telegram; returns what the presser was answered later on.

    A button that was found before is pressed as whoever still sees it does: its message may have been edited since.
    """
    order = {
        **(await button(kit, label, chat=chat) if isinstance(label, str) else label),
        "user": user,
        "twice": twice,
        "url": kit.applications[replica].url + "/telegram/webhook",
        "secret": SECRET,
    }
    report = await kit.sandbox.control("POST", "/sandbox/telegram/press", order)
    assert all(each["delivered"] for each in report["deliveries"]), report
    return list(report["deliveries"])


async def answers(kit: Kit) -> list[str]:
    """What pressers were answered in Telegram, in order."""
    return [
        entry["request"]["text"]
        for entry in await kit.sandbox.log("telegram")
        if entry["operation"].lower() == "answercallbackquery" and entry["effect"]
    ]


async def phoned(kit: Kit) -> list[str]:
    """Who was really phoned, in order."""
    return [entry["request"]["phone"] for entry in await kit.sandbox.log("calls") if entry["effect"]]


TOLD = """
SELECT i.fingerprint, t.queue FROM incidents AS i JOIN tickets AS t ON t.incident_id = i.id WHERE i.kind = 'problem.task.failing'
"""


async def told_once(kit: Kit, *items: str) -> None:
    """The notifier tells of its own faults as of any other problem: one incident for each "task:item", with a ticket. It lives."""

    async def told() -> bool:
        rows = await kit.fetch(TOLD)
        assert sorted(map(tuple, (row.values() for row in rows))) == sorted(
            (f"task:notifier:{item}", "TRAVELBACK") for item in items
        )
        return True

    await eventually(told, what="one incident of each item")
    assert kit.applications[0].lifecycle.failure is None


YANDEX: dict[str, Any] = {
    "tracker": "yandex",
    "tracker_url": lambda sandbox: sandbox.tracker_url,
    "tracker_token": SecretStr("tracker-token"),
    "tracker_org_id": "42",
    "tracker_poll": 0.05,
}


async def there(kit: Kit, key: str, **act: Any) -> None:
    """Do something in the tracker."""
    await kit.sandbox.control("PATCH", f"/sandbox/tracker/issues/{key}", act)


async def issue_of(kit: Kit, key: str) -> dict[str, Any]:
    """An issue as the tracker has it."""
    page = await kit.sandbox.control("GET", "/sandbox/tracker/issues")
    return next(dict(item) for item in page["items"] if item["key"] == key)
