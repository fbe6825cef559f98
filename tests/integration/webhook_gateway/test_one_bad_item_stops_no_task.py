"""Poison among what the gateway's tasks do: the others are done, a person is told of the bad one, and once mended it is done once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import Envelope, parse
from common.ids import order_number
from common.messaging import topology
from sandbox.testing import running_sandbox
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, edge_line, hook_body, watched
from tests.support.poisoned import Fault, every_job_fails
from tests.support.servers import eventually
from webhook_gateway.countdowns.store import CountdownStore
from webhook_gateway.rescue import send_reports
from webhook_gateway.rescue.alerts import taken_late
from webhook_gateway.rescue.letter import letter_of
from webhook_gateway.source_watch import refused as refused_sources

Told = Callable[[int], Awaitable[list[Envelope]]]
GOOD, BAD = "мы обновляли приём заказов", "о чём никто не подумал"
PATH = "/admin/v1/endangered-orders"


async def told_once(alerts: Told, task: str, item: str) -> None:
    """A person is told, once, of this item of this task."""

    async def told() -> list[tuple[str, str]]:
        problems = [parse(event, ProblemRaisedV1) for event in await alerts(0) if event.type == ProblemRaisedV1.TYPE]
        return [(one.details["task"], one.details["item"]) for one in problems if one.kind == "task.failing"]

    assert await eventually(told) == [(task, item)]


async def stays_ready(gateway: Gateway) -> None:
    """Whatever failed, hooks are taken."""
    async with gateway.session.get(gateway.url + "/readyz") as answer:
        assert answer.status == 200


async def lost(gateway: Gateway, state: str) -> list[dict[str, Any]]:
    """The endangered orders in a state."""
    items: list[dict[str, Any]] = (await gateway.get(f"/admin/v1/endangered-orders?state={state}"))["items"]
    return items


async def test_a_late_order_that_cannot_be_settled_keeps_no_other_endangered(
    start: Start, tmp_path: Path, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, bad = Fault(), set[str]()
    whole = fault.over(taken_late, lambda order, *_, **__: order in bad)
    monkeypatch.setattr("webhook_gateway.edge.settle_late.taken_late", whole)
    (tmp_path / "edge").mkdir()
    soon = time.time() + 10  # the orders come within the time that nginx waits for an answer
    names = ("one", "two", "three")
    log = "".join(edge_line(id=f"{name}-1-1", at=soon, idempotency_key="", upstream_status="504") for name in names)
    (tmp_path / "edge" / "intake-1.log").write_text(log)
    async with (
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
        start(edge_log_dir=tmp_path / "edge", edge_log_every=0.1) as gateway,
    ):

        async def all_lost() -> list[dict[str, Any]]:
            found = await lost(gateway, "new")
            return found if len(found) == len(names) else []

        poisoned = (await eventually(all_lost))[0]["id"]
        bad.add(poisoned)
        for number, name in enumerate(names):
            headers = {"Authorization": "Bearer website-token", "X-Edge-Request": name}
            body = hook_body(order=f"late-{number}")["payload"]
            assert (await gateway.send(body, path="/api/v1/orders/", headers=headers))[0] == 201

        async def settled() -> set[str]:
            found = {item["id"] for item in await lost(gateway, "resubmitted")}
            return found if len(found) == len(names) - (not fault.mended) else set()

        assert poisoned not in await eventually(settled)
        await told_once(alerts, "late-orders", f"endangered order {poisoned}")
        await stays_ready(gateway)
        fault.mended = True
        assert poisoned in await eventually(settled)


async def test_a_countdown_that_cannot_be_written_keeps_no_other_unwritten(
    start: Start, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, bad = Fault(), order_number("strict", "H0")
    whole = fault.over(CountdownStore.save, lambda _self, misses: any(miss.number == bad for miss in misses))
    monkeypatch.setattr(CountdownStore, "save", whole)
    async with watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts, start() as gateway:
        for order in ("H0", "H1", "H2"):
            body = hook_body(order=order)
            del body["payload"]["positions"]
            headers = {"Client-token": "strict-token"}
            assert (await gateway.send(body, path="/hooks/v1/strict", headers=headers))[0] == 422

        async def written() -> set[str]:
            items = (await gateway.get("/admin/v1/countdowns?state=running"))["items"]
            found = {item["external_id"] for item in items}
            return found if len(found) == 2 + fault.mended else set()

        assert await eventually(written) == {"H1", "H2"}
        await told_once(alerts, "watch", bad)
        await stays_ready(gateway)
        fault.mended = True
        assert "H0" in await eventually(written)


async def test_a_refused_source_that_cannot_be_told_keeps_no_other_silent(
    start: Start, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    whole = fault.over(refused_sources._raised, lambda source, *_: source == "sbermarket")
    monkeypatch.setattr(refused_sources, "_raised", whole)
    right = {
        "sbermarket": {"Client-token": "new-token"},
        "strict": {"Client-token": "strict-token"},
        "shop": {"Authorization": "Basic c2hvcDpzZWNyZXQ="},
    }
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        for source, headers in right.items():
            path = f"/hooks/v1/{source}"
            assert (await gateway.send(hook_body(order=f"A-{source}"), path=path, headers=headers))[0] == 200
        await gateway.deliveries(len(right))
        for source in right:
            await gateway.send(hook_body(order=f"B-{source}"), path=f"/hooks/v1/{source}", headers={})

        async def told() -> list[str]:
            problems = [
                parse(event, ProblemRaisedV1) for event in await alerts(0) if event.type == ProblemRaisedV1.TYPE
            ]
            return sorted(str(one.source) for one in problems if one.kind == "source.refused")

        async def others() -> bool:
            return await told() == ["shop", "strict"]

        await eventually(others)
        await told_once(alerts, "refused-sources", "source sbermarket")
        await stays_ready(gateway)
        fault.mended = True

        async def everyone() -> bool:
            return await told() == ["sbermarket", "shop", "strict"]

        await eventually(everyone)


@pytest.mark.parametrize("step", ["letter", "mail"])
async def test_a_report_that_cannot_be_written_keeps_no_other_from_being_sent(
    start: Start, amqp_url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fault = Fault()
    monkeypatch.setattr(send_reports, "_LEASE_MARGIN", timedelta(0))
    if step == "letter":
        whole = fault.over(letter_of, lambda _orders, *, cause, remedy: cause == BAD)
        monkeypatch.setattr("webhook_gateway.rescue.report_store.letter_of", whole)
    else:
        monkeypatch.setattr(
            send_reports, "compose", fault.over(send_reports.compose, lambda report: report.cause == BAD)
        )
    async with (
        running_sandbox() as sandbox,
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
        start(
            smtp_host=sandbox.smtp_host,
            smtp_port=sandbox.smtp_port,
            smtp_deadline=0.5,
            report_to="arsen@shop.example",
            report_retry=0.05,
        ) as gateway,
    ):
        for number in range(4):
            body = hook_body(order=f"W-{number}")["payload"]
            assert (await gateway.send(body, path="/api/v1/orders/", headers=bearer("viewer")))[0] == 403

        async def all_lost() -> list[dict[str, Any]]:
            found = await lost(gateway, "new")
            return found if len(found) == 4 else []

        orders = await eventually(all_lost)
        for cause, pair in ((BAD, orders[:2]), (GOOD, orders[2:])):
            ids = [item["id"] for item in pair]
            asked = {"reason": "разобран", "cause": cause, "remedy": "починили приём заказов", "ids": ids}
            status, done = await gateway.change(PATH + "/report", asked)
            assert (status, [item["outcome"] for item in done["items"]]) == (200, ["reported"] * 2)

        async def mails() -> list[int]:
            texts = [entry["request"]["text"] for entry in await sandbox.log("mail")]
            return [sum(GOOD in text for text in texts), sum(BAD in text for text in texts)]

        async def others() -> bool:
            return await mails() == [1, 0]

        await eventually(others)
        [report] = (await gateway.get(f"{PATH}/{orders[0]['id']}/report", role="operator"))["reports"]
        await told_once(alerts, "endangered-reports", f"report {report['id']}")
        await stays_ready(gateway)
        fault.mended = True

        async def everyone() -> bool:
            return await mails() == [1, 1]

        await eventually(everyone)


async def test_no_task_that_fails_as_a_whole_stops_hooks_and_each_is_told(
    start: Start, tmp_path: Path, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    names = every_job_fails(monkeypatch, fault)
    (tmp_path / "edge").mkdir()
    async with (
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
        start(edge_log_dir=tmp_path / "edge", edge_log_every=0.1) as gateway,
    ):

        async def told(kind: str, text: str) -> bool:
            events = [str(event.data) for event in await alerts(0) if event.type == f"alerts.problem.{kind}.v1"]
            left = [name for name in names if not any(text.format(name) in event for event in events)]
            assert left == []
            return True

        await eventually(lambda: told("raised", "'task': '{}'"))
        assert {"edge-log", "silent-sources", "endangered-gauges", "late-orders", "ledger"} <= names
        assert (await gateway.send(hook_body()))[0] == 200
        await stays_ready(gateway)
        fault.mended = True
        await eventually(lambda: told("resolved", "task:webhook-gateway:{}:"))
