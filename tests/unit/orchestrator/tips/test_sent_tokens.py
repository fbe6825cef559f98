"""The token that is sent to the tips service: the file's, also when that changes while the orchestrator runs."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from common.errors import ConfigurationError
from common.http.sent_token import SentToken
from common.service import Lifecycle, watch_files
from common.telemetry.tips_figures import TipsFigures
from orchestrator.tips.metrics import TipsMetrics
from orchestrator.tips.service import TipsClient
from tests.support.servers import eventually


async def test_a_rotated_token_is_sent_without_a_restart_and_a_broken_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "internal"
    path.write_bytes(b"\xef\xbb\xbffirst\r\n")  # as Notepad writes it
    token, registry, lifecycle = SentToken(path), CollectorRegistry(), Lifecycle()
    watcher = watch_files(lifecycle, registry, {"internal_token": (path, token.read)})
    sent: list[str] = []

    async def tips(request: web.Request) -> web.Response:
        sent.append(request.headers["Authorization"])
        return web.json_response({"need_hold_tips": False})

    app = web.Application()
    app.router.add_get("/tips/v1/need-hold-tips", tips)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    figures = TipsFigures(registry, zones=frozenset(), tariffs=frozenset(), currencies=frozenset())
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        metrics = TipsMetrics(registry, figures)
        client = TipsClient(session, url=url, token=token, explain_token=None, deadline=60, metrics=metrics)

        async def sends(expected: str, *, broken: int) -> None:
            async def asked() -> bool:
                watcher.wake()
                await client.need_hold("ORDER1")
                found = registry.get_sample_value("configuration_file_broken", {"file": "internal_token"})
                return (sent[-1], found) == (f"Bearer {expected}", broken)

            await eventually(asked, what=f"{expected} is sent")

        await sends("first", broken=0)
        for content in ("", " \n", "two\nlines", "токен"):
            path.write_text(content)
            await sends("first", broken=1)
        path.write_text("second\n")
        await sends("second", broken=0)
    await runner.cleanup()
    await lifecycle.drain()


@pytest.mark.parametrize("content", [None, "", "two\nlines"])
def test_a_file_without_a_token_is_refused_at_the_start_in_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "internal"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="the token file") as refused:
        SentToken(path)
    assert "two" not in refused.value.detail
