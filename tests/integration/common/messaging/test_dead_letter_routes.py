"""The operator's view of dead letters, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from common.health import Health
from common.http import HttpServer, TokenBook, build_app
from common.messaging.dead_letters import store_dead_letter
from common.postgres import Database
from common.service import dead_letter_routes


@pytest.fixture
async def url(database: Database, tmp_path: Path) -> AsyncIterator[str]:
    """A server with nothing but these routes."""
    tokens = tmp_path / "tokens.json"
    entries = [
        {"name": f"the-{role}", "token": f"{role}-token-of-this-test", "role": role} for role in ("viewer", "operator")
    ]
    tokens.write_text(json.dumps({"tokens": entries}))
    app = build_app(
        service="test",
        version="1",
        routes=dead_letter_routes(database, service="test"),
        health=Health(),
        registry=CollectorRegistry(),
        tokens=TokenBook.load(tokens),
    )
    server = HttpServer(app, "127.0.0.1", 0)
    await server.start()
    yield server.url
    await server.stop()


async def letters(database: Database, count: int, body: bytes = b"\xff") -> None:
    """Make so many dead letters."""
    async with database.transaction() as connection:
        for number in range(count):
            await store_dead_letter(
                connection,
                queue="orchestrator.journal",
                handler="test.journal",
                service="test",
                reason="undecodable",
                error=f"error {number}",
                body=body,
                envelope=None,
            )


async def call(method: str, url: str, role: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """Ask as somebody with the role."""
    headers["Authorization"] = f"Bearer {role}-token-of-this-test"
    async with aiohttp.ClientSession() as session, session.request(method, url, json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_letters_are_listed_newest_first_and_page_by_page(url: str, database: Database) -> None:
    """Three letters in pages of two; bodies are not shown."""
    await letters(database, 3)
    status, first = await call("GET", f"{url}/admin/v1/dead-letters?limit=2", "viewer")
    _, second = await call("GET", f"{url}/admin/v1/dead-letters?limit=2&cursor={first['next_cursor']}", "viewer")
    shown = [item["error"] for item in first["items"] + second["items"]]
    assert (status, shown, second["next_cursor"]) == (200, ["error 2", "error 1", "error 0"], None)
    assert "body" not in first["items"][0]


@pytest.mark.parametrize("kind", ["alerts.problem.raised.v1", "orders.order.created.v1", "alerts.heartbeat.v1"])
async def test_a_letter_that_nobody_can_read_is_sent_again_and_names_nobody(
    url: str, database: Database, kind: str
) -> None:
    event = {
        "id": "e1",
        "source": "/another",
        "type": kind,
        "time": "2026-11-30T06:00:00Z",
        "specversion": "1.0",
        "data": {},
    }
    await letters(database, 1, json.dumps(event).encode())
    status, said = await call("POST", f"{url}/admin/v1/dead-letters/1/replay", "operator", {"reason": "once more"})
    assert (status, said["notices"]) == (200, ["alerts.problem.resolved.v1: who was told of it"])


async def test_a_replay_is_audited_outgoing_once_and_answered_the_same_for_the_same_key(
    url: str, database: Database
) -> None:
    """Two posts with one key: one event, one audit record, equal answers; without the key 409; a viewer may not."""
    await letters(database, 1)
    address = f"{url}/admin/v1/dead-letters/1/replay"
    reason = {"reason": "the handler was mended"}
    forbidden, _ = await call("POST", address, "viewer", reason)
    tried, _ = await call("POST", address, "operator", {**reason, "dry_run": True})
    first = await call("POST", address, "operator", reason, **{"Idempotency-Key": "k1"})
    again = await call("POST", address, "operator", reason, **{"Idempotency-Key": "k1"})
    other, problem = await call("POST", address, "operator", reason)
    missing, _ = await call("POST", f"{url}/admin/v1/dead-letters/99/replay", "operator", reason)
    async with database.acquire() as connection:
        outgoing = await connection.fetchval("SELECT count(*) FROM outbox WHERE routing_key = 'orchestrator.journal'")
        audited = [dict(row) for row in await connection.fetch("SELECT actor, action, target, reason FROM audit_log")]
    ended = ["alerts.problem.resolved.v1: who was told of it"]
    assert (forbidden, tried, first, again, other, missing) == (
        403,
        200,
        (200, {"id": 1, "queue": "orchestrator.journal", "event_id": None, "replayed": True, "notices": ended}),
        first,
        409,
        404,
    )
    assert problem["code"] == "conflict"
    assert outgoing == 1
    assert audited == [
        {
            "actor": "the-operator",
            "action": "dead_letter.replay",
            "target": "dead_letter:1",
            "reason": "the handler was mended",
        }
    ]
