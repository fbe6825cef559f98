"""Every command of ``ordersctl``, as the documentation lists them, at a real terminal of the running suite."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.every_command import APART, CHAINS, Do, Look, Step, World
from tests.e2e.trouble import GATEWAY, NOTIFIER, ORCHESTRATOR, REFUNDS, Trouble, at_once
from tests.support.real_terminal import ENTER, RealTerminal
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, Client

_PAGE = Path(__file__).parents[2] / "docs" / "console.md"
_PROFILES = {"operator": "local", "admin": "local-admin"}


def listed() -> list[str]:
    """Every command of the table in the documentation."""
    table = _PAGE.read_text(encoding="utf-8").partition("## Commands\n")[2]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    return [command for cell in rows for command in re.findall(r"`([^`]+)`", cell)]


def test_no_command_of_the_list_is_left_out() -> None:
    run = [step.command for chain in CHAINS.values() for step in chain]
    assert sorted({*run, *APART}) == sorted(listed())


@pytest.mark.timeout(600)
async def test_every_command_does_at_a_terminal_what_the_list_says(client: Client, real_terminal: RealTerminal) -> None:
    world = await brought_about(client)
    visit = Visit(real_terminal, world)
    roster = {each["id"] for each in (await client.get(NOTIFIER, "/admin/v1/roster"))["overrides"]}
    await oleg_is_off_duty(client)
    try:
        async with asyncio.TaskGroup() as group:
            for chain in CHAINS.values():
                group.create_task(visit.walk(chain))
    finally:
        await taken_back(client, roster)
    await visit.audit()
    assert visit.wrong == [], "\n\n".join(visit.wrong)


class Visit:
    """Somebody who goes through all commands. ``wrong``: what was not as it should be."""

    def __init__(self, terminal: RealTerminal, world: World) -> None:
        self._terminal, self._world = terminal, world
        self._reasons: dict[str, str] = {}
        self.wrong: list[str] = []

    async def walk(self, chain: Sequence[Step]) -> None:
        """Take the steps one after the other."""
        for step in chain:
            try:
                await (self._look(step) if isinstance(step, Look) else self._do(step))
            except AssertionError as error:
                self.wrong.append(f"{step.command}: {error}")

    async def _look(self, step: Look) -> None:
        for _ in range(step.times - 1):
            with contextlib.suppress(AssertionError):
                return await self._look_once(step)
            await asyncio.sleep(1)
        return await self._look_once(step)

    async def _look_once(self, step: Look) -> None:
        words = [*step.command.split(), *self._filled(*step.words)]
        shown, told = await asyncio.gather(self._terminal(*words, columns=240), self._as_json(step, words))
        missing = [said for said in self._filled(*step.shown) if said not in shown.text]
        assert missing == [], f"{missing} is not in\n{shown.text}"
        assert "Traceback" not in shown.text
        assert step.code in (None, shown.code), f"{shown.code}\n{shown.text}"
        if told is not None:
            assert step.code in (None, told.code), f"{told.code}\n{told.remarks}"
            read = [json.loads(line) for line in told.out.splitlines()] if step.form == "lines" else told.json
            assert step.holds(read, self._world), told.out[:2000]

    async def _as_json(self, step: Look, words: Sequence[str]) -> Any:
        return None if step.form is None else await self._terminal.piped(*words, "-o", "json")

    async def _do(self, step: Do) -> None:
        reason = f"at a terminal {secrets.token_hex(6)}"
        target = self._filled(step.target) if step.target else []
        words = [*step.command.split(), *target, *self._filled(*step.words), "-p", _PROFILES[step.role]]
        told = await self._terminal.piped(*words, "-r", reason, "--dry-run", "-o", "json")
        assert told.code == 0, told.remarks + told.out
        plans = told.json if isinstance(told.json, list) else [told.json]
        for plan in plans:
            assert (plan["ordersctl_plan"], plan["wish"]["reason"]) == (1, reason)
            assert [item["id"] for item in plan["items"]] == target or not target
        watch = ["--wait"] if step.watched else []
        async with self._terminal.opened(*words, *watch, columns=240) as session:
            await session.shows("Reason")
            session.types(reason + ENTER)
            await session.shows("Do it? [y/N]")
            session.types("y" + ENTER)
            shown = await session.ended()
        assert shown.code == step.code, shown.text
        after = shown.text.partition("Do it?")[2]
        missing = [said for said in (step.done, *(["seen: "] if step.watched else [])) if said not in after]
        assert missing == [], f"{missing} is not in\n{after}"
        self._reasons[reason] = step.command

    async def audit(self) -> None:
        """See each change in the audit log, and apply a kept plan twice."""
        reasons = set(self._reasons)

        async def there() -> bool:
            told = await self._terminal.piped("audit", "-n", "1000", "-o", "json")
            seen = [item["reason"] for item in told.json if item["reason"] in reasons]
            missing = reasons - set(seen)
            assert told.code == 0, told.remarks
            return not missing

        await eventually(there, what="each change in the audit log")
        shown = await self._terminal("audit", "--actor", "oleg", columns=240)
        assert (shown.code, "oleg" in shown.text) == (0, True), shown.text
        words = ["incident", "comment", self._world["incident"], "-r", "a plan that is kept"]
        kept = await self._terminal.piped(*words, "--dry-run", "-o", "json")
        async with self._terminal.opened("apply", "-", "--yes") as session:
            session.types(kept.out + "\n\x04")
            applied = await session.ended()
        again = await self._terminal.piped("apply", "-", "--yes", "-o", "json", typed=kept.out)
        assert (applied.code, again.code, again.json["already_applied"]) == (0, 0, True), applied.text

    def _filled(self, *words: str) -> list[str]:
        return [word.format_map(self._world) for word in words]


async def brought_about(client: Client) -> World:
    """Bring about, all at once, what the commands are run on."""
    trouble = Trouble(client)
    makers: dict[str, Callable[[], Awaitable[str]]] = {
        "order": trouble.order,
        "told_order": trouble.order,
        "new_order": trouble.new_order,
        "crashed": trouble.crashed,
        "running": trouble.running,
        "done_event": trouble.done_event,
        "failed_event": trouble.failed_event,
        "mended_event": trouble.failed_event,
        "parked": trouble.parked,
        "refund": trouble.failed_refund,
        "other_refund": trouble.failed_refund,
        "difference": trouble.strange_refund,
        "other_difference": trouble.strange_refund,
        "quarantined": trouble.quarantined,
        "other_quarantined": trouble.quarantined,
        "countdown": trouble.countdown,
        "delivery": trouble.delivery,
        "limit": trouble.banned_phone,
        "letter": lambda: trouble.dead_letter(NOTIFIER),
        "other_letter": lambda: trouble.dead_letter(ORCHESTRATOR),
        "third_letter": lambda: trouble.dead_letter(GATEWAY),
        "endangered": trouble.endangered,
        "other_endangered": trouble.endangered,
        "incident": trouble.incident,
        "crash_told": trouble.crash_told,
        "ticket": trouble.ticket,
        "other_ticket": trouble.ticket,
        "silence": trouble.silence,
        "known_defect": trouble.known_defect,
        "sender": trouble.alert_sender,
        "override": trouble.override,
    }
    made = await at_once(makers)
    [limit] = [
        item
        for item in (await client.get(GATEWAY, "/admin/v1/order-limits", role="operator", limit=200))["items"]
        if item["id"] == made["limit"]
    ]
    event = made["mended_event"].partition("-")[0]
    events = await client.get(ORCHESTRATOR, "/admin/v1/workflow-events", workflow_id=event)
    delivery = await client.get(GATEWAY, f"/admin/v1/deliveries/{made['other_quarantined']}", role="operator")
    shifts = (await client.get(NOTIFIER, "/admin/v1/roster"))["shifts"]
    now = datetime.now(UTC).isoformat()
    changed = {"originalOrderId": events["items"][0]["attributes"]["external_id"], "positions": POSITIONS}
    created = {"originalOrderId": delivery["external_id"], "positions": POSITIONS}
    entered = {"originalOrderId": f"entered-{secrets.token_hex(4)}", "positions": POSITIONS}
    countdowns = (await client.get(GATEWAY, "/admin/v1/countdowns", limit=200))["items"]
    note = {"service": "support", "kind": "note", "actor": "anna", "summary": "she called", "occurred_at": now}
    return {
        **made,
        "console": client.suite.url("console").rstrip("/"),
        "message": await trouble.found(NOTIFIER, "/admin/v1/notifications", key="notice_id", order=made["order"]),
        "phone": limit["value"],
        "number": next(each["number"] for each in countdowns if each["external_id"] == made["countdown"]),
        "payment": str((await client.get(REFUNDS, "/admin/v1/refunds", limit=1))["items"][0]["payment_id"]),
        "alert": f"Silent{secrets.token_hex(4)}",
        "readable": json.dumps(changed),
        "body": json.dumps({"event_type": "order.created", "timestamp": now, "payload": created}),
        "payload": json.dumps(entered),
        "note": json.dumps({"order_number": made["order"], **note}),
        "basket": json.dumps(trouble.basket()),
        "monday": _day(shifts[-2]),
        "next_monday": _day(shifts[-1]),
    }


def _day(shift: dict[str, Any]) -> str:
    return str((datetime.fromisoformat(shift["starts_at"]) + timedelta(hours=12)).date())


async def oleg_is_off_duty(client: Client) -> None:
    """Have somebody else on duty, whosever week it is by the plan: who is on duty takes nothing over."""
    if (await client.get(NOTIFIER, "/admin/v1/on-call"))["on_duty"]["id"] == "oleg":
        now = datetime.now(UTC)
        body = {"person": "anna", "starts_at": now.isoformat(), "ends_at": (now + timedelta(hours=3)).isoformat()}
        url = client.suite.url(NOTIFIER) + "/admin/v1/roster/overrides"
        status, made = await client.post(url, {**body, "reason": "for a test"}, role="operator")
        assert status == 200, made


async def taken_back(client: Client, before: set[Any]) -> None:
    """Take back what was put over the roster meanwhile: other tests rely on who is on duty."""
    url = client.suite.url(NOTIFIER) + "/admin/v1/roster/overrides"
    for each in (await client.get(NOTIFIER, "/admin/v1/roster"))["overrides"]:
        if each["id"] not in before:
            await client.delete(f"{url}/{each['id']}", role="operator")
