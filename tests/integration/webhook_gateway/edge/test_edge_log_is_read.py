"""The edge's log is read once, whatever happens to the file and to the gateways that read it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.clock import SystemClock
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import parse
from common.messaging import topology
from common.postgres import Connection, Database
from common.telemetry.metrics import new_registry
from tests.integration.webhook_gateway.conftest import Gateway, Start, edge_line, hook_body, watched
from tests.support.servers import eventually
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.record import RecordDeliveries
from webhook_gateway.edge import store
from webhook_gateway.edge.metrics import EdgeMetrics
from webhook_gateway.edge.read_log import ReadEdgeLog
from webhook_gateway.website.sites import Sites


async def refused(gateway: Gateway) -> tuple[int, int]:
    """What the ledger has of nginx, and by how much it differs."""
    found = await gateway.get("/admin/v1/ledger")
    mine = [line["refused"] for line in found["by_replica"] if line["replica"] == "edge"]
    return sum(mine), found["difference"]


async def endangered(gateway: Gateway) -> list[dict[str, Any]]:
    """All endangered orders."""
    items: list[dict[str, Any]] = (await gateway.get("/admin/v1/endangered-orders?limit=200"))["items"]
    return items


async def test_orders_that_ended_at_nginx_are_endangered_and_everything_is_counted(
    start: Start, tmp_path: Path, amqp_url: str
) -> None:
    (tmp_path / "edge").mkdir()
    log = tmp_path / "edge" / "intake-1.log"
    log.write_text(
        edge_line(status=413, request_id="r-1")
        + edge_line(path="/hooks/v1/sbermarket", upstream_status="504, 504")
        + edge_line(method="GET", path="/api/v1/orders/", status=400)
        + edge_line(path="/hooks/v1/nobody", status=499)
        + "not a line\n"
    )
    async with (
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
        start(edge_log_dir=tmp_path / "edge", edge_log_every=0.1) as gateway,
    ):
        problem = parse((await alerts(1))[0], ProblemRaisedV1)
        assert problem.kind == "website_order.endangered"
        (order,) = await endangered(gateway)
        assert (order["status"], order["replica"]) == (413, "edge")
        kept = await gateway.get(f"/admin/v1/deliveries/{order['id']}")
        assert (kept["size"], kept["headers"]["x-request-id"], kept["headers"]["path"], kept["headers"]["seen-by"]) == (
            0,
            "r-1",
            "/api/v1/orders/",
            "nginx",
        )
        await eventually(lambda: _is(refused(gateway), (4, 0)), what="four in the ledger")
        assert await gateway.metric('gateway_edge_refused_total{source="sbermarket",status="503"}') == 1.0
        assert await gateway.metric("gateway_edge_lines_unreadable_total") == 1.0


async def test_a_line_that_cannot_be_recorded_is_passed_over_once_another_one_can_be(
    start: Start, tmp_path: Path, amqp_url: str
) -> None:
    (tmp_path / "edge").mkdir()
    log = tmp_path / "edge" / "intake-1.log"
    log.write_text(edge_line(id="odd", status=10**12))
    async with (
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
        start(edge_log_dir=tmp_path / "edge", edge_log_every=0.1) as gateway,
    ):
        # It may be us, not the line: nothing is passed over, and a person is told.
        problem = parse((await alerts(1))[0], ProblemRaisedV1)
        assert (problem.kind, problem.details["task"], problem.details["item"]) == (
            "task.failing",
            "edge-log",
            "line odd",
        )
        assert await refused(gateway) == (0, 0)
        assert await gateway.metric("gateway_edge_lines_unreadable_total") == 0.0
        more = edge_line(id="nul\0") + edge_line(id="odd-2", status=10**12) + edge_line(path="/hooks/v1/sbermarket")
        (tmp_path / "edge" / "intake-2.log").write_text(more + edge_line(status=413))  # of the next hour
        await eventually(lambda: _is(refused(gateway), (3, 0)), what="all but the odd ones")
        assert sorted(order["status"] for order in await endangered(gateway)) == [413, 503]
        await eventually(lambda: _is(gateway.metric("gateway_edge_lines_unreadable_total"), 2.0), what="both odd ones")
        assert await refused(gateway) == (3, 0)


async def test_what_nginx_refuses_of_other_callers_is_told_once_an_address_and_hour(
    start: Start, tmp_path: Path, amqp_url: str
) -> None:
    (tmp_path / "edge").mkdir()
    at = time.time() // 3600 * 3600 + 1
    refusals = [
        *(
            edge_line(at=at + second, path="/alerts/v1/alertmanager/", status=413, upstream_status="")
            for second in range(50)
        ),
        edge_line(at=at + 3600, path="/alerts/v1/alertmanager", status=499, upstream_status="", client="198.51.100.7"),
        edge_line(at=at, path="/alerts/v1/alertmanager", status=502, upstream_status="502"),  # its caller tries again
        edge_line(at=at, path="/notifications/v1/yookassa", status=408, upstream_status=""),
    ]
    more = [edge_line(at=at, path="/telegram/webhook", status=400, upstream_status=""), *refusals[:2]]
    async with watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        # Another replica, or the same one after its death, tells nothing twice.
        for name, lines, count in (("intake-1.log", refusals, 3), ("intake-2.log", more, 4)):
            async with start(edge_log_dir=tmp_path / "edge", edge_log_every=0.1) as gateway:
                (tmp_path / "edge" / name).write_text("".join(lines))
                problems = [parse(event, ProblemRaisedV1) for event in await alerts(count)]
                assert await refused(gateway) == (0, 0)  # the ledger is of the gateways alone
    hours = [datetime.fromtimestamp(each - 1, UTC).isoformat(timespec="minutes") for each in (at, at + 3600)]
    assert sorted((each.kind, each.fingerprint, each.severity, each.source) for each in problems) == [
        ("edge.refused", f"edge_refused:{path}:{hour}", "warning", source)
        for path, hour, source in (
            ("/alerts/v1/alertmanager", hours[0], "alertmanager"),
            ("/alerts/v1/alertmanager", hours[1], "alertmanager"),
            ("/notifications/v1/yookassa", hours[0], "yookassa"),
            ("/telegram/webhook", hours[0], "telegram"),
        )
    ]


async def _is(found: Awaitable[object], wanted: object) -> bool:
    return await found == wanted


async def test_an_order_that_a_gateway_has_all_the_same_is_not_endangered(start: Start, tmp_path: Path) -> None:
    (tmp_path / "edge").mkdir()
    log = tmp_path / "edge" / "intake-1.log"
    log.touch()
    async with start(edge_log_dir=tmp_path / "edge", edge_log_every=0.1) as gateway:
        payload = hook_body()["payload"]
        # The caller's own id says nothing: a site may send one for all that it does.
        headers = {"Authorization": "Bearer website-token", "X-Request-Id": "always", "X-Edge-Request": "late"}
        assert (await gateway.send(payload, path="/api/v1/orders/", headers=headers))[0] == 201
        await gateway.deliveries(1)
        log.write_text(
            "".join(
                edge_line(id=f"{name}-1-1", request_id="always", upstream_status="504") for name in ("late", "lost")
            )
        )
        await eventually(lambda: _is(refused(gateway), (2, 0)), what="both counted")
        assert len(await endangered(gateway)) == 1


async def test_an_order_that_is_recorded_after_the_log_was_read_is_settled_then(
    start: Start, tmp_path: Path, amqp_url: str
) -> None:
    (tmp_path / "edge").mkdir()
    soon = (
        time.time() + 10
    )  # however slow the machine is, the orders come within the time that nginx waits for an answer
    log = "".join(
        edge_line(id=f"{name}-1-1", at=soon, request_id="always", idempotency_key="", upstream_status="504")
        for name in ("late", "refused", "lost")
    )
    (tmp_path / "edge" / "intake-1.log").write_text(log)
    async with (
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
        start(edge_log_dir=tmp_path / "edge", edge_log_every=0.1) as gateway,
    ):
        problems = {parse(event, ProblemRaisedV1).fingerprint for event in await alerts(3)}
        payload = hook_body()["payload"]
        headers = {"Authorization": "Bearer website-token", "X-Request-Id": "always"}
        path = "/api/v1/orders/"
        status, taken, _ = await gateway.send(payload, path=path, headers={**headers, "X-Edge-Request": "late"})
        assert status == 201
        refused = {**headers, "X-Edge-Request": "refused"}
        assert (await gateway.send({**payload, "positions": []}, path=path, headers=refused))[0] == 422

        async def settled() -> dict[str, tuple[str, str | None]]:
            found = {}
            for order in await endangered(gateway):
                delivery = await gateway.get(f"/admin/v1/deliveries/{order['id']}")
                found[f"{delivery['headers']['x-edge-request']} {order['replica']}"] = (order["state"], order["number"])
            assert found["late edge"][0] != "new"
            assert found["refused edge"][0] != "new"
            return found

        assert await eventually(settled, what="the late ones settled") == {
            "late edge": ("resubmitted", taken["number"]),
            "refused edge": ("closed", None),
            "lost edge": ("new", None),
            "refused gw-1": ("new", None),
        }

        async def over() -> set[str]:
            resolved = [event for event in await alerts(6) if event.type == ProblemResolvedV1.TYPE]
            ends = {parse(event, ProblemResolvedV1).fingerprint for event in resolved}
            assert len(ends) == 2
            return ends

        ends = await eventually(over, what="two problems over, whatever else was told meanwhile")
        assert ends < problems


async def test_an_order_from_a_shops_own_server_is_of_its_site(start: Start, tmp_path: Path) -> None:
    (tmp_path / "edge").mkdir()
    shared = "192.0.2.99"
    websites = tmp_path / "websites.json"
    sites = {
        "website": {"tokens": {"shop_server": {"forwarders": ["192.0.2.80", shared]}}},
        "website:kz": {"currency": "KZT", "forwarders": ["192.0.2.128/28", shared]},
    }
    websites.write_text(json.dumps(sites))
    clients = {"site": "192.0.2.130", "token": "192.0.2.80", "both": shared, "none": "203.0.113.9"}
    log = "".join(edge_line(client=client, request_id=name) for name, client in clients.items())
    (tmp_path / "edge" / "intake-1.log").write_text(log)
    async with start(edge_log_dir=tmp_path / "edge", edge_log_every=0.1, websites_file=websites) as gateway:
        await eventually(lambda: _is(refused(gateway), (4, 0)), what="all four in the ledger")
        orders = await endangered(gateway)
        kept = [await gateway.get(f"/admin/v1/deliveries/{order['id']}") for order in orders]
        assert {delivery["headers"]["x-request-id"]: delivery["source"] for delivery in kept} == {
            "site": "website:kz",
            "token": "website",
            "both": "website",
            "none": "website",
        }
        assert await gateway.metric('gateway_edge_refused_total{source="website:kz",status="503"}') == 1.0


async def test_a_flood_from_one_network_is_counted_and_fifty_of_it_are_kept(start: Start, tmp_path: Path) -> None:
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "intake-1.log").write_text(
        "".join(edge_line(status=413, client="203.0.113.9") for _ in range(400))
    )
    async with start(edge_log_dir=tmp_path / "edge", edge_log_every=0.1) as gateway:
        await eventually(lambda: _is(refused(gateway), (400, 0)), what="all of it in the ledger")
        assert len(await endangered(gateway)) == 50
        assert await gateway.metric("gateway_edge_orders_not_kept_total") == 350.0


async def test_replicas_rotation_and_torn_lines_lose_and_double_nothing(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    folder.mkdir()
    log = folder / "intake.log"
    total = 300

    async def write() -> None:
        for number in range(total):
            whole = edge_line()
            with log.open("a") as stream:
                stream.write(whole[:37])
                stream.flush()
                await asyncio.sleep(0.002)
                stream.write(whole[37:])
            if number % 60 == 59:  # rotated by renaming: nginx opens a new one
                log.rename(folder / f"intake.log.{number}")

    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(start(f"gw-{n}", edge_log_dir=folder, edge_log_every=0.02))
            for n in (1, 2, 3)
        ]
        await write()
        await eventually(lambda: _is(refused(gateways[0]), (total, 0)), what="every line once")
        await asyncio.gather(*(gateway.metric("gateway_edge_log_looked_at_seconds") for gateway in gateways))
        assert await refused(gateways[0]) == (total, 0)


async def test_gateways_with_an_nginx_each_read_their_own_logs(start: Start, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        gateways = []
        for number in (1, 2, 3):
            folder = tmp_path / f"edge-{number}"
            folder.mkdir()
            (folder / "intake-1.log").write_text("".join(edge_line() for _ in range(10)))
            gateways.append(
                await stack.enter_async_context(start(f"gw-{number}", edge_log_dir=folder, edge_log_every=0.1))
            )
        await eventually(lambda: _is(refused(gateways[0]), (30, 0)), what="every line of all three")


class Crash(BaseException):
    """Stands for the death of the process: nothing behind it runs."""


@pytest.mark.parametrize("place", ["count", "known_requests", "save_position", "record"])
async def test_a_reader_that_dies_between_reading_and_recording_reads_again(
    place: str, tmp_path: Path, database_for: Callable[[str], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "intake-1.log").write_text("".join(edge_line() for _ in range(5)))
    database = Database(await database_for("webhook_gateway"), application_name="test")
    await database.open()

    def reader() -> ReadEdgeLog:
        return ReadEdgeLog(
            database,
            RecordDeliveries(digests=PeopleDigests([b"key"])),
            directory=tmp_path,
            sources=("sbermarket",),
            sites=Sites(currency="RUB"),
            clock=SystemClock(),
            metrics=EdgeMetrics(new_registry(), sources=("sbermarket", "website"), reads=True),
            committed=lambda: None,
        )

    async def dies(*_: object, **__: object) -> None:
        raise Crash

    async def counts(connection: Connection) -> tuple[int, int, int]:
        return (
            await connection.fetchval("SELECT coalesce(sum(count), 0)::int FROM refusals"),
            await connection.fetchval("SELECT count(*) FROM endangered_orders"),
            await connection.fetchval("SELECT count(*) FROM edge_log_files"),
        )

    try:
        with monkeypatch.context() as broken:
            if place == "record":
                broken.setattr(RecordDeliveries, "__call__", dies)
            else:
                broken.setattr(store, place, dies)
            with pytest.raises(Crash):
                await reader().step()
        async with database.acquire() as connection:
            assert await counts(connection) == (0, 0, 0)
            await reader().step()
            await reader().step()
            assert await counts(connection) == (5, 5, 1)
    finally:
        await database.close()
