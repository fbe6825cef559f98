"""A real Alertmanager whose process ends is told; when it is back, the problem is over. The rule and the route are the shipped ones."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.testing import running_sandbox
from tests.support.monitoring import monitoring
from tests.support.processes import stand
from tests.support.servers import eventually

ON_CALL = -1001000000901
PATIENCE = {"WATCHDOG_PATIENCE": "15"}  # a slow machine must not be told as silent


@pytest.mark.chaos  # a Watchdog that stays away is told in every run: notifier/inputs/test_refusals_and_silence_are_told.py
async def test_an_alertmanager_that_ends_is_told_until_it_is_back(
    tmp_path: Path, amqp_url: str, database_for: Callable[[str], Awaitable[str]]
) -> None:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(stand(tmp_path))
        outside = await stack.enter_async_context(running_sandbox())
        telegram = {"TELEGRAM_API_URL": outside.telegram_url, "TELEGRAM_TOKEN": "4242:test-token"}
        notifier = servers.notifier(dsn=await database_for("notifier"), amqp_url=amqp_url, **telegram, **PATIENCE)
        await notifier.start()
        directory = tmp_path / "monitoring"
        directory.mkdir()
        alertmanager = await stack.enter_async_context(
            monitoring(
                directory,
                targets={"notifier:8085": notifier.url.removeprefix("http://")},
                notifier_url=notifier.url,
                token_file=servers.internal,
                watchdog_every="1s",
            )
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def silent() -> list[tuple[str, str]]:
            """Severity and state of the problem, oldest first."""
            url = f"{notifier.url}/admin/v1/incidents?limit=200"
            async with session.get(url, headers={"Authorization": "Bearer viewer-token"}) as answer:
                items: list[Any] = (await answer.json())["items"]
            found = [each for each in items if each["kind"] == "problem.alerts_silent"]
            return [(each["severity"], each["state"]) for each in reversed(found)]

        async def chat() -> str:
            page = await outside.control("GET", f"/sandbox/telegram/messages?chat_id={ON_CALL}")
            return "\n".join(message["text"] for message in page["items"])

        async def held_back() -> bool:
            return await notifier.metric("notifier_heartbeat_withheld") == 1.0

        async def heard() -> bool:
            """Whether Alertmanager has sent something, and whatever was said of its silence until then is over."""
            async with session.get(f"http://{alertmanager.address}/metrics") as answer:
                sent = re.findall(
                    r'^alertmanager_notifications_total\{integration="webhook"\} (\S+)',
                    await answer.text(),
                    re.MULTILINE,
                )
            return sum(map(float, sent)) > 0 and await over()

        async def over() -> bool:
            return all(state == "resolved" for _, state in await silent())

        await eventually(heard, what="Alertmanager is heard")
        await alertmanager.stop()

        async def open_again() -> bool:
            return (await silent())[-1:] == [("critical", "open")]

        await eventually(open_again, what="its silence is a critical problem")
        await eventually(held_back, what="the heartbeat is withheld")

        async def told() -> bool:
            return "ничего не приходит: контрольное оповещение Watchdog" in await chat()

        await eventually(told, what="the person on duty reads it")
        await alertmanager.start()
        await eventually(over, what="it is over by itself")
