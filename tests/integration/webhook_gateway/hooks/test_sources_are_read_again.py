"""The sources file is read again while the gateway runs; a broken one leaves the sources of before in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import parse
from common.messaging import topology
from tests.integration.webhook_gateway.conftest import SOURCES, TOKEN, Gateway, Start, hook_body, watched
from tests.support.servers import eventually

BROKEN = 'configuration_file_broken{file="sources"}'


def accepts(*tokens: str) -> dict[str, Any]:
    """A source whose hooks come with one of these tokens."""
    return {"auth": {"kind": "client_token", "tokens": list(tokens)}}


async def status_of(gateway: Gateway, source: str, token: str) -> int:
    """How a hook of a source is answered."""
    status, _, _ = await gateway.send(hook_body(), path=f"/hooks/v1/{source}", headers={"Client-token": token})
    return status


async def test_a_changed_sources_file_is_in_force_without_a_restart(start: Start, tmp_path: Path) -> None:
    async with start() as gateway:
        assert await status_of(gateway, "market", "first") == 404
        assert await status_of(gateway, "strict", "strict-token") == 200
        changed = {
            **SOURCES,
            "sbermarket": accepts("rotated"),
            "market": {**accepts("first"), "answer_within": 5, "repeats": [60]},
        }
        (tmp_path / "sources.json").write_text(json.dumps({n: s for n, s in changed.items() if n != "strict"}))

        async def known() -> bool:
            return await status_of(gateway, "market", "first") == 200

        await eventually(known, what="the new source")
        assert await status_of(gateway, "sbermarket", "rotated") == 200
        assert await status_of(gateway, "sbermarket", TOKEN["Client-token"]) == 403
        assert await status_of(gateway, "strict", "strict-token") == 404
        assert await gateway.metric('gateway_requests_total{event="order.created",outcome="confirmed",source="market"}')

        async def scheduled() -> bool:
            return await gateway.metric('gateway_countdown_length_seconds{source="market"}') == 65.0

        await eventually(scheduled, what="the new source's countdown")


async def test_a_source_that_was_taken_out_and_still_sends_is_told(start: Start, tmp_path: Path, amqp_url: str) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        assert await status_of(gateway, "strict", "strict-token") == 200
        await gateway.deliveries(1)
        (tmp_path / "sources.json").write_text(json.dumps({"sbermarket": SOURCES["sbermarket"]}))

        async def unknown() -> bool:
            return await status_of(gateway, "strict", "strict-token") == 404

        await eventually(unknown, what="that it is gone")
        problem = parse((await alerts(1))[0], ProblemRaisedV1)
        assert (problem.kind, problem.source, problem.details["status"]) == ("source.refused", "strict", "404")


async def test_a_broken_sources_file_keeps_the_sources_of_before_and_is_shown(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "sources.json"
    async with start() as gateway:
        sound = file.read_text()
        for broken in (sound[: len(sound) // 2], "{}", json.dumps({"market": {"auth": {"kind": "magic"}}})):
            file.write_text(broken)
            await eventually(lambda: _shows(gateway, 1.0), what=f"that {broken[:20]} is broken")
            assert await status_of(gateway, "sbermarket", "new-token") == 200
            file.write_text(sound)
            await eventually(lambda: _shows(gateway, 0.0), what="that it is sound again")
        file.unlink()
        await eventually(lambda: _shows(gateway, 1.0), what="that it is gone")
        assert await status_of(gateway, "sbermarket", "new-token") == 200


async def _shows(gateway: Gateway, value: float) -> bool:
    return await gateway.metric(BROKEN) == value
