"""Requests without a valid token: kept, grouped by network and hour, never a critical problem, dismissed in bulk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import parse
from common.messaging import topology
from common.postgres import Database
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, watched
from tests.support.servers import eventually
from webhook_gateway.website.known_tokens import KnownTokens

ORDERS = "/api/v1/orders/"
PATH = "/admin/v1/endangered-orders"
WARNING = "website_order.anonymous"


async def kept(gateway: Gateway, count: int, query: str = "") -> dict[str, Any]:
    """Wait until so many requests are kept; return the first page."""

    async def enough() -> dict[str, Any]:
        page: dict[str, Any] = await gateway.get(f"{PATH}?count=true&limit=200{query}")
        return page if page["count"] == count else {}

    return await eventually(enough, what=f"{count} kept requests")


async def test_six_hundred_strangers_requests_are_one_warning_and_go_in_one_act(start: Start, amqp_url: str) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        for _ in range(20):
            sent = (gateway.send({}, path=ORDERS, headers={"X-Manager-Id": "olga"}) for _ in range(30))
            assert {status for status, _, _ in await asyncio.gather(*sent)} == {401}
        page = await kept(gateway, 600)
        assert {(item["anonymous"], item["network"]) for item in page["items"]} == {(True, "127.0.0.0/24")}
        hours = {item["received_at"][:13] for item in page["items"]}
        raised = [parse(event, ProblemRaisedV1) for event in await alerts(1)]
        assert {(problem.kind, problem.severity) for problem in raised} == {(WARNING, "warning")}
        assert await gateway.metric('gateway_endangered_orders_total{category="anonymous"}') == 600
        assert await gateway.metric('gateway_endangered_orders_total{category="manager_bypass_broken"}') == 0
        assert await gateway.metric("gateway_endangered_oldest_seconds") == 0

        asked = {"reason": "чужой робот", "filter": {"anonymous": True, "network": "127.0.0.0/24"}, "limit": 1000}
        status, plan = await gateway.change(PATH + "/close", {**asked, "dry_run": True})
        assert (status, plan["matched"], {item["outcome"] for item in plan["items"]}) == (200, 600, {"closed"})
        status, done = await gateway.change(
            PATH + "/close", {"reason": "чужой робот", "plan": plan["plan"], "limit": 1000}
        )
        assert (status, len(done["items"]), {item["outcome"] for item in done["items"]}) == (200, 600, {"closed"})
        await kept(gateway, 0, "&state=open")
        events = await alerts(2 if len(hours) == 1 else 3)
        over = [event for event in events if event.type == ProblemResolvedV1.TYPE]
        ended = {parse(event, ProblemResolvedV1).fingerprint for event in over}
        assert ended <= {problem.fingerprint for problem in raised}


async def test_a_revoked_token_of_a_website_is_a_strangers(start: Start, tmp_path: Path) -> None:
    async with start("gw-1"):
        pass  # it remembers the tokens of its time
    tokens = tmp_path / "revoked.json"
    entries = [{"name": name, "token": f"{name}-token", "role": name} for name in ("viewer", "operator")]
    leaked = {"name": "website", "token": "website-token", "role": "website", "revoked": True}
    tokens.write_text(json.dumps({"tokens": [*entries, leaked]}))
    async with start("gw-2", tokens_file=tokens) as gateway:
        assert (await gateway.send({}, path=ORDERS, headers=bearer("website")))[0] == 401
        page = await kept(gateway, 1)
        assert [item["anonymous"] for item in page["items"]] == [True]
        assert await gateway.metric('gateway_endangered_orders_total{category="front_end"}') == 0


async def test_a_rotated_token_counts_as_ours_for_a_time(database_for: Callable[[str], Awaitable[str]]) -> None:
    database = Database(await database_for("webhook_gateway"), application_name="test")
    await database.open()
    today = {"website": frozenset({b"old", b"new"}), "website_manager": frozenset({b"boss"})}
    revoked: set[bytes] = set()
    known, short = (
        KnownTokens(database, today.__getitem__, revoked=lambda: frozenset(revoked), ours_for=timedelta(days=days))
        for days in (30, 0)
    )
    await known.refresh()
    today["website"] = frozenset({b"new"})
    await known.refresh()
    assert [known.role_of(one) for one in (b"old", b"new", b"boss", b"x")] == [
        "website",
        "website",
        "website_manager",
        None,
    ]
    await short.refresh()
    assert [short.role_of(one) for one in (b"old", b"new")] == [None, "website"]
    await known.refresh()
    revoked.add(b"boss")
    assert known.role_of(b"boss") is None
    today["website_manager"] = frozenset()
    await known.refresh()
    revoked.clear()
    await known.refresh()
    assert known.role_of(b"boss") is None
    await database.close()


async def test_a_rotated_token_of_a_website_is_no_strangers(start: Start, amqp_url: str, tmp_path: Path) -> None:
    async with start("gw-1"):
        pass  # it remembers the tokens of its time
    tokens = tmp_path / "rotated.json"
    entries = [{"name": name, "token": f"{name}-token", "role": name} for name in ("viewer", "operator")]
    tokens.write_text(json.dumps({"tokens": [*entries, {"name": "website", "token": "fresh", "role": "website"}]}))
    async with start("gw-2", tokens_file=tokens) as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:

        async def recognised() -> bool:
            assert (await gateway.send({}, path=ORDERS, headers=bearer("website")))[0] == 401
            return await gateway.metric('gateway_endangered_orders_total{category="front_end"}') >= 1

        await eventually(recognised, what="a known token")

        async def raised() -> bool:
            problems = [parse(event, ProblemRaisedV1) for event in await alerts(1)]
            return ("website_order.endangered", "critical") in {(one.kind, one.severity) for one in problems}

        await eventually(raised, what="a critical problem")
