"""Slack as slack-sdk's own client meets it: posts, limits, refusals, signed interactions."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from sandbox.testing import RunningSandbox, running_sandbox
from tests.support.clocks import SandboxClock

TOKEN = "xoxb-sandbox"
CHANNEL = "#orders-notifications"


@pytest.fixture
async def clock() -> SandboxClock:
    return SandboxClock()


@pytest.fixture
async def sandbox(clock: SandboxClock) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(clock=clock, slack_tokens=[TOKEN], slack_signing_secret="signing") as running:
        yield running


@pytest.fixture
async def slack(sandbox: RunningSandbox) -> AsyncWebClient:
    return AsyncWebClient(token=TOKEN, base_url=sandbox.slack_url, timeout=1, retry_handlers=[])


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def buttons(*values: str) -> dict[str, Any]:
    return {
        "type": "actions",
        "block_id": "acts",
        "elements": [
            {"type": "button", "action_id": value, "value": value, "text": {"type": "plain_text", "text": value}}
            for value in values
        ],
    }


async def refusal(call: Any) -> Any:
    with pytest.raises(SlackApiError) as refused:
        await call
    return refused.value.response


async def test_a_post_has_a_time_stamp_of_its_own_and_is_kept(sandbox: RunningSandbox, slack: AsyncWebClient) -> None:
    first = await slack.chat_postMessage(channel=CHANNEL, text="a", blocks=[section("*a*")])
    second = await slack.chat_postMessage(channel=CHANNEL, text="b", thread_ts=first["ts"])
    assert first["ts"] < second["ts"]
    assert first["channel"] == second["channel"]
    assert first["channel"].startswith("C")
    entries = await sandbox.log("slack")
    assert [(entry["operation"], entry["request"]["text"]) for entry in entries] == [
        ("chat.postMessage", "a"),
        ("chat.postMessage", "b"),
    ]


async def test_auth_test_and_channel_info_answer(slack: AsyncWebClient) -> None:
    assert (await slack.auth_test())["team_id"] == "T0SANDBOX"
    channel = (await slack.chat_postMessage(channel=CHANNEL, text="a"))["channel"]
    info = await slack.conversations_info(channel=channel)
    assert (info["channel"]["id"], info["channel"]["name"]) == (channel, "orders-notifications")


async def test_wrong_and_missing_tokens_are_refused(sandbox: RunningSandbox) -> None:
    for token, error in (("xoxb-other", "invalid_auth"), ("nonsense", "invalid_auth"), (None, "not_authed")):
        stranger = AsyncWebClient(token=token, base_url=sandbox.slack_url)
        assert (await refusal(stranger.auth_test()))["error"] == error


async def test_one_channel_takes_one_post_a_second_after_a_small_burst(
    slack: AsyncWebClient, clock: SandboxClock
) -> None:
    await slack.chat_postMessage(channel=CHANNEL, text="1")
    await slack.chat_postMessage(channel=CHANNEL, text="2")
    refused = await refusal(slack.chat_postMessage(channel=CHANNEL, text="3"))
    assert (refused.status_code, refused["error"], refused.headers["Retry-After"]) == (429, "ratelimited", "1")
    await slack.chat_postMessage(channel="#other", text="free")
    clock.advance(1)
    await slack.chat_postMessage(channel=CHANNEL, text="3")


async def test_updates_have_a_limit_of_their_own(slack: AsyncWebClient, clock: SandboxClock) -> None:
    post = await slack.chat_postMessage(channel=CHANNEL, text="0")
    for index in range(50):
        await slack.chat_update(channel=post["channel"], ts=post["ts"], text=str(index))
    refused = await refusal(slack.chat_update(channel=post["channel"], ts=post["ts"], text="x"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")


async def test_too_much_content_is_refused_with_its_place(slack: AsyncWebClient, clock: SandboxClock) -> None:
    def post(**content: Any) -> Any:
        clock.advance(2)
        return slack.chat_postMessage(channel=CHANNEL, text=content.pop("text", "x"), **content)

    await post(blocks=[section("x" * 3000)] * 4)
    refused = await refusal(post(blocks=[section("x" * 3001)]))
    assert (refused["error"], refused["response_metadata"]) == (
        "invalid_blocks",
        {"messages": ["[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"]},
    )
    assert (await refusal(post(blocks=[section("x")] * 51)))["error"] == "invalid_blocks"
    assert (await refusal(post(blocks=[buttons(*map(str, range(26)))])))["error"] == "invalid_blocks"
    assert (await refusal(post(blocks=[section("x" * 2700)] * 5)))["error"] == "msg_blocks_too_long"
    empty = slack.api_call("chat.postMessage", json={"channel": "#empty"})
    assert (await refusal(empty))["error"] == "no_text"
    assert (await refusal(post(text="x" * 40_001)))["error"] == "msg_too_long"


async def test_channels_can_be_gone(sandbox: RunningSandbox, slack: AsyncWebClient) -> None:
    errors = []
    for state in ("archived", "missing", "not_in_channel", "open"):
        await sandbox.control("PUT", "/sandbox/slack/channels/c-1", {"state": state})
        sandbox.world.clock.advance(2)  # type: ignore[attr-defined] # the fixture's clock is the manual one
        try:
            await slack.chat_postMessage(channel="c-1", text="x")
        except SlackApiError as refused:
            errors.append(refused.response["error"])
    assert errors == ["is_archived", "channel_not_found", "not_in_channel"]


async def test_an_update_keeps_blocks_it_does_not_name_and_an_empty_list_clears_them(
    sandbox: RunningSandbox, slack: AsyncWebClient
) -> None:
    post = await slack.chat_postMessage(channel=CHANNEL, text="a", blocks=[section("a"), buttons("ack")])
    where = {"channel": post["channel"], "ts": post["ts"]}
    kept = await slack.chat_update(**where, text="b")
    assert len(kept["message"]["blocks"]) == 2
    cleared = await slack.chat_update(**where, text="c", blocks=[])
    assert "blocks" not in cleared["message"]
    assert (await refusal(slack.chat_update(channel=CHANNEL, ts=post["ts"], text="x")))["error"] == "channel_not_found"
    await slack.chat_delete(**where)
    assert (await refusal(slack.chat_update(**where, text="x")))["error"] == "message_not_found"


class StoppedClock(SlackClock):
    """slack-sdk's verifier at the sandbox's time."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now().timestamp()


async def test_a_press_is_signed_so_that_slacks_verifier_accepts_it(
    sandbox: RunningSandbox, slack: AsyncWebClient, clock: SandboxClock
) -> None:
    taken: list[tuple[bytes, dict[str, str]]] = []

    async def interactions(request: web.Request) -> web.Response:
        taken.append((await request.read(), dict(request.headers)))
        return web.Response()

    app = web.Application()
    app.router.add_post("/slack/interactions", interactions)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/interactions"
        post = await slack.chat_postMessage(channel=CHANNEL, text="alarm", blocks=[buttons("ack", "resolve")])
        press = {"channel": CHANNEL, "ts": post["ts"], "action_id": "ack", "user": "anna", "url": url}
        for order in (press, press | {"skew_s": -301}, press | {"bad_signature": True}):
            report = await sandbox.control("POST", "/sandbox/slack/press", order)
            assert [delivery["status"] for delivery in report["deliveries"]] == [200]
        with pytest.raises(AssertionError, match="409"):
            await sandbox.control("POST", "/sandbox/slack/press", press | {"action_id": "other"})
    finally:
        await runner.cleanup()
    verifier = SignatureVerifier("signing", clock=StoppedClock(clock))
    assert [verifier.is_valid_request(body.decode(), headers) for body, headers in taken] == [True, False, False]
    payload = json.loads(parse_qs(taken[0][0].decode())["payload"][0])
    assert (payload["type"], payload["actions"][0]["action_id"], payload["actions"][0]["value"]) == (
        "block_actions",
        "ack",
        "ack",
    )
    assert (payload["channel"]["id"], payload["message"]["ts"]) == (post["channel"], post["ts"])


async def test_every_fault_looks_to_slack_sdk_as_in_real_life(sandbox: RunningSandbox, slack: AsyncWebClient) -> None:
    await sandbox.fault("slack", mode="rate_limit", count=1, delay_s=9)
    assert (await refusal(slack.chat_postMessage(channel="#1", text="a"))).headers["Retry-After"] == "9"
    await sandbox.fault("slack", mode="error", count=1)
    assert (await refusal(slack.chat_postMessage(channel="#1", text="b"))).status_code == 500
    for mode in ("reset", "lost_response"):
        await sandbox.fault("slack", mode=mode, count=1)
        with pytest.raises(aiohttp.ClientError):
            await slack.chat_postMessage(channel="#1", text=mode)
    await sandbox.fault("slack", mode="timeout", count=1)
    with pytest.raises(asyncio.TimeoutError):
        await slack.chat_postMessage(channel="#1", text="timeout")
    shown = (await sandbox.control("GET", "/sandbox/slack/messages"))["items"]
    assert [message["text"] for message in shown] == ["lost_response"]
