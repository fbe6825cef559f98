"""The sandbox as a process: started with arguments, ready, stopped at once; and its controls' manners."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.testing import running_sandbox

YOO = aiohttp.encode_basic_auth("shop", "key")
Call = Callable[..., Awaitable[Any]]


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


async def test_a_file_that_is_not_the_sandboxs_gives_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("other people's words, which are no database of anybody " * 100)
    async with sandbox_process("--port", "0", "--keep-file", str(tmp_path / "kept")) as process:
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 1
        assert err.decode().startswith(f"sandbox: cannot read {tmp_path / 'kept'}: ")
        assert len(err.splitlines()) == 1


@asynccontextmanager
async def keeping_sandbox(file: Path) -> AsyncIterator[Call]:
    """A sandbox that keeps what it knows in a file and is killed at the end, in whatever it is; gives what calls it."""
    bursts = {"SANDBOX_TELEGRAM_CHAT_BURST": "50", "SANDBOX_SLACK_CHANNEL_BURST": "50"}
    keeping = sandbox_process("--port", "0", SANDBOX_SMTP_PORT="0", SANDBOX_KEEP_FILE=str(file), **bursts)
    async with keeping as process, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{(await started(process))['port']}"

        async def call(method: str, path: str, body: Any = None, *, key: str = "") -> Any:
            headers = {"X-Service-Token": "t", "X-Idempotency-Key": key, "Idempotence-Key": key, "Authorization": YOO}
            async with session.request(method, url + path, json=body, headers=headers) as response:
                return await response.json() if response.content_type == "application/json" else None

        yield call
        process.kill()
        await process.wait()


async def ledgers(call: Call) -> list[Any]:
    return [await call("GET", f"/sandbox/{system}/ledger") for system in ("trust", "yookassa")]


async def test_payment_systems_know_their_money_again_after_they_were_killed(tmp_path: Path) -> None:
    trust, yoo = "/trust-payments/v2/refunds", "/v3/refunds"
    wanted = {"payment_id": "p", "amount": 300, "currency": "RUB"}
    yoo_wanted = {"payment_id": "y", "amount": {"value": "3.00", "currency": "RUB"}}
    async with keeping_sandbox(tmp_path / "kept") as call:
        await call("PUT", "/sandbox/trust/payments/p", {"captured": 1000, "polls": 0})
        await call("PUT", "/sandbox/yookassa/payments/y", {"captured": 1000, "polls": 1})
        made = (await call("POST", trust, wanted, key="k1"))["trust_refund_id"]
        yoo_made = await call("POST", yoo, yoo_wanted, key="k1")
        created = await ledgers(call)
    async with keeping_sandbox(tmp_path / "kept") as call:
        assert await ledgers(call) == created
        assert (await call("POST", trust, wanted, key="k1"))["trust_refund_id"] == made
        assert await call("POST", yoo, yoo_wanted, key="k1") == yoo_made
        await call("POST", f"{trust}/{made}/start")
        assert (await call("GET", f"{trust}/{made}"))["status"] == "success"
        assert (await call("GET", f"{yoo}/{yoo_made['id']}"))["status"] == "succeeded"
        paid = await ledgers(call)
    assert [page["items"][0]["refunds"][0]["payouts"] for page in paid] == [1, 1]
    async with keeping_sandbox(tmp_path / "kept") as call:
        assert await ledgers(call) == paid
        assert (await call("GET", f"{trust}/{made}"))["status"] == "success"  # asked again, it pays no second time
        assert await ledgers(call) == paid
        await call("POST", "/sandbox/trust/forget-keys")
        await call("POST", "/sandbox/yookassa/forget-keys")
    async with keeping_sandbox(tmp_path / "kept") as call:
        assert (await call("POST", trust, wanted, key="k1"))["trust_refund_id"] != made
        assert (await call("POST", yoo, yoo_wanted, key="k1"))["id"] != yoo_made["id"]
        known = {item["trust_refund_id"] for item in (await ledgers(call))[0]["items"][0]["refunds"]}
        await call("POST", "/sandbox/reset")
    async with keeping_sandbox(tmp_path / "kept") as call:
        assert [page["items"] for page in await ledgers(call)] == [[], []]
        await call("PUT", "/sandbox/trust/payments/p", {"captured": 1000})
        assert (await call("POST", trust, wanted, key="k1"))["trust_refund_id"] not in known


async def said(call: Call) -> list[Any]:
    """What the chats and the tracker show."""
    shown = ("telegram/messages", "slack/messages", "tracker/issues")
    return [(await call("GET", f"/sandbox/{path}"))["items"] for path in shown]


async def test_chats_and_the_tracker_know_what_was_said_after_they_were_killed(tmp_path: Path) -> None:
    bot, slack, issue = "/bot1:abc", {"token": "xoxb-1"}, "/sandbox/tracker/issues/SUP-7"
    button = {"inline_keyboard": [[{"text": "Take it", "callback_data": "take:1"}]]}
    async with keeping_sandbox(tmp_path / "kept") as call:
        texts = [{"chat_id": -100, "text": text, "reply_markup": button} for text in ("one", "two")]
        one, two = [(await call("POST", f"{bot}/sendMessage", text))["result"]["message_id"] for text in texts]
        edit = {"chat_id": -100, "message_id": one}
        assert (await call("POST", f"{bot}/editMessageText", {**edit, "text": "one, mended"}))["ok"]
        assert (await call("POST", f"{bot}/deleteMessage", {**edit, "message_id": two}))["ok"]
        posts = [await call("POST", "/api/chat.postMessage", {**slack, "channel": "#c", "text": text}) for text in "ab"]
        post = {**slack, "channel": posts[0]["channel"], "ts": posts[0]["ts"]}
        assert (await call("POST", "/api/chat.update", {**post, "text": "a, mended"}))["ok"]
        assert (await call("POST", "/api/chat.delete", {**post, "ts": posts[1]["ts"]}))["ok"]
        await call("PUT", issue, {"summary": "A refund"})
        await call("PATCH", issue, {"comment": "paid", "transition": "close"})
        before = await said(call)
    async with keeping_sandbox(tmp_path / "kept") as call:
        assert await said(call) == before
        assert [[message["text"] for message in before[0]], [item["deleted"] for item in before[1]]] == [
            ["one, mended", "two"],
            [False, True],
        ]
        # What was said before is edited as ever, and nothing new has its number.
        assert (await call("POST", f"{bot}/editMessageText", {**edit, "text": "one, mended again"}))["ok"]
        assert (await call("POST", "/api/chat.update", {**post, "text": "a, mended again"}))["ok"]
        assert (await call("POST", f"{bot}/sendMessage", texts[0]))["result"]["message_id"] > max(one, two)
        await call("PATCH", issue, {"comment": "thanks"})
        telegram, _, [there] = await said(call)
        assert [message["text"] for message in telegram] == ["one, mended again", "two", "one"]
        assert [comment["text"] for comment in there["comments"]] == ["paid", "thanks"]
        assert len({comment["id"] for comment in there["comments"]}) == 2
        assert there["status"]["key"] == before[2][0]["status"]["key"] != "open"
        await call("POST", "/sandbox/reset")
    async with keeping_sandbox(tmp_path / "kept") as call:
        assert await said(call) == [[], [], []]


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
