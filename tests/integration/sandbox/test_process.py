"""The sandbox as a process: started with arguments, ready, stopped at once; and its controls' manners."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from sandbox.testing import running_sandbox


@asynccontextmanager
async def sandbox_process(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def started(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    event: dict[str, Any] = json.loads(line)
    return event


async def test_it_starts_serves_and_stops_at_once_on_sigterm() -> None:
    async with (
        sandbox_process("--port", "0", SANDBOX_SMTP_PORT="0") as process,
        aiohttp.ClientSession() as session,
    ):
        event = await started(process)
        url = f"http://127.0.0.1:{event['port']}"
        async with session.get(f"{url}/livez") as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})
        async with session.get(f"{url}/readyz") as response:
            assert (response.status, await response.json()) == (200, {"status": "ok", "smtp_port": event["smtp_port"]})
        await session.post(f"{url}/sandbox/trust/faults", json={"mode": "timeout"})
        hanging = asyncio.create_task(session.get(f"{url}/trust-payments/v2/payments/x"))
        async with asyncio.timeout(60):
            while not await _logged(session, url):  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        with pytest.raises(aiohttp.ClientError):
            await hanging


async def _logged(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(f"{url}/sandbox/trust/log") as response:
        return bool((await response.json())["items"])


@pytest.mark.parametrize("taken", ["--port", "--smtp-port"])
async def test_a_taken_port_gives_one_clear_line(taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"--port": "0", "--smtp-port": "0", taken: str(other.getsockname()[1])}
        async with sandbox_process(*(part for pair in ports.items() for part in pair)) as process:
            out, err = await asyncio.wait_for(process.communicate(), 60)
            assert (process.returncode, out) == (1, b"")
            assert err.decode().startswith("sandbox: cannot listen:")
            assert len(err.splitlines()) == 1


async def test_a_wrong_setting_gives_one_clear_line() -> None:
    async with sandbox_process(SANDBOX_PORT="many") as process:
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 2
        assert err.decode().startswith("sandbox: wrong settings: port:")
        assert len(err.splitlines()) == 1


async def test_logs_page_by_cursor_and_clear() -> None:
    async with running_sandbox() as sandbox:
        for _ in range(3):
            async with sandbox.session.get(f"{sandbox.url}/feedback/v1/orders/x", headers={"traceparent": "00-a-b-01"}):
                pass
        page = await sandbox.control("GET", "/sandbox/feedback/log?limit=2")
        assert [entry["traceparent"] for entry in page["items"]] == ["00-a-b-01"] * 2
        rest = await sandbox.control("GET", f"/sandbox/feedback/log?after={page['next_cursor']}")
        assert [entry["seq"] for entry in rest["items"]] == [3]
        await sandbox.control("DELETE", "/sandbox/feedback/log")
        assert await sandbox.log("feedback") == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/sandbox/nobody/log", None, 404),
        ("GET", "/sandbox/trust/log?after=x", None, 400),
        ("POST", "/sandbox/trust/faults", {"mode": "melt"}, 422),
        ("PUT", "/sandbox/trust/payments/p", {"captured": -1}, 422),
        ("PUT", "/sandbox/telegram/chats/x", {"state": "active"}, 400),
    ],
)
async def test_controls_refuse_in_json(method: str, path: str, body: Any, status: int) -> None:
    async with (
        running_sandbox() as sandbox,
        sandbox.session.request(method, sandbox.url + path, json=body) as response,
    ):
        assert response.status == status
        assert "error" in await response.json()


async def test_every_system_of_the_contract_has_a_log_and_faults_and_forgets_them() -> None:
    systems = ("telegram", "slack", "mail", "tracker", "trust", "yookassa", "calls", "feedback", "marketplace")
    async with running_sandbox() as sandbox:
        for system in systems:
            await sandbox.fault(system, mode="slow", share=0.5)
            assert len((await sandbox.control("GET", f"/sandbox/{system}/faults"))["items"]) == 1
            assert await sandbox.log(system) == []
        await sandbox.heal("slack")
        assert (await sandbox.control("GET", "/sandbox/slack/faults"))["items"] == []
        await sandbox.control("POST", "/sandbox/reset")
        for system in systems:
            assert (await sandbox.control("GET", f"/sandbox/{system}/faults"))["items"] == []
