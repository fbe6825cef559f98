"""Whatever is sent, the outside world answers in its own words: no 5xx that nobody ordered."""

import json
import random
from typing import Any

import pytest

from sandbox.faults import FaultMode
from sandbox.testing import running_sandbox

ADDRESSES = [
    ("POST", "/bot1:abc/sendMessage"),
    ("POST", "/bot1:abc/editMessageText"),
    ("POST", "/bot1:abc/answerCallbackQuery"),
    ("POST", "/bot1:abc/setWebhook"),
    ("POST", "/api/chat.postMessage"),
    ("POST", "/api/chat.update"),
    ("GET", "/api/conversations.info"),
    ("POST", "/trust-payments/v2/refunds"),
    ("POST", "/v3/refunds"),
    ("POST", "/v3/issues"),
    ("PATCH", "/v3/issues/AB-1"),
    ("POST", "/v3/issues/AB-1/comments"),
    ("POST", "/v3/issues/AB-1/links"),
    ("POST", "/calls/v1/calls"),
    ("POST", "/sandbox/telegram/press"),
    ("POST", "/sandbox/telegram/say"),
    ("POST", "/sandbox/slack/press"),
    ("PUT", "/sandbox/trust/payments/p"),
    ("PUT", "/sandbox/feedback/orders/x"),
    ("PUT", "/sandbox/slack/channels/x"),
]
HEADERS = {
    "Authorization": "Bearer xoxb-1",
    "X-Org-ID": "1",
    "X-Service-Token": "t",
    "X-Idempotency-Key": "k",
    "Idempotence-Key": "k",
}
NAMES = (
    *("chat_id", "text", "parse_mode", "reply_markup", "entities", "message_id", "channel", "blocks", "ts", "url"),
    *("payment_id", "amount", "currency", "value", "summary", "queue", "unique", "relationship", "issue", "phone"),
    *("captured", "tips", "rating", "type", "user", "callback_data", "action_id", "reply_parameters", "elements"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 10**20, 1.5, "", "x", "1", "-1", "@x", "<b>", "</b>", "&#0;", "\ud800", "HTML", "🍫" * 30),
    *("section", "actions", "button", "RUB", "100.00", "A", '{"', "[[]]"),
)


def value(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.random()
    if depth and kind < 0.25:
        return {rng.choice(NAMES): value(rng, depth - 1) for _ in range(rng.randrange(4))}
    if depth and kind < 0.4:
        return [value(rng, depth - 1) for _ in range(rng.randrange(3))]
    return rng.choice(VALUES)


def body(rng: random.Random) -> tuple[bytes, str]:
    fields = {rng.choice(NAMES): value(rng) for _ in range(rng.randrange(8))}
    match rng.randrange(6):
        case 0:
            return rng.randbytes(rng.randrange(40)), "application/json"
        case 1:
            return json.dumps(value(rng)).encode(), "application/json"
        case 2:
            return rng.randbytes(40), "multipart/form-data; boundary=x"
        case 3:
            return "&".join(f"{name}=%ff{rng.randrange(9)}" for name in fields).encode(), (
                "application/x-www-form-urlencoded"
            )
        case _:
            return json.dumps(fields).encode(), "application/json"


@pytest.mark.parametrize("seed", range(4))
async def test_no_body_makes_the_sandbox_answer_5xx(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - it chooses bodies, not keys
    broken: list[tuple[str, bytes]] = []
    async with running_sandbox(telegram_bot_per_second=10**6, slack_update_per_minute=10**6) as sandbox:
        await sandbox.control("PUT", "/sandbox/tracker/issues/AB-1", {})
        for _ in range(400):
            method, path = rng.choice(ADDRESSES)
            raw, kind = body(rng)
            async with sandbox.session.request(
                method, sandbox.url + path, data=raw, headers=HEADERS | {"Content-Type": kind}
            ) as response:
                if response.status >= 500:
                    broken.append((path, raw))
        for system in sandbox.world.systems:
            await sandbox.log(system)
    assert broken == []


async def test_no_control_that_names_a_system_breaks_whatever_it_says() -> None:
    broken: list[tuple[str, str, int]] = []
    async with running_sandbox() as sandbox:
        asked: list[tuple[str, str, dict[str, object] | None]] = [
            ("GET", f"/log?{name}={number}", None) for name in ("limit", "after") for number in (2**63, "9" * 5000, -1)
        ]
        asked += [("POST", "/faults", {"mode": mode, "count": 1, "match": "never"}) for mode in FaultMode]
        asked += [("POST", "/late", None), ("DELETE", "/faults", None)]
        for system in sandbox.world.systems:
            for method, path, order in asked:
                url = f"{sandbox.url}/sandbox/{system}{path}"
                async with sandbox.session.request(method, url, json=order) as response:
                    if response.status >= 500:
                        broken.append((method, url, response.status))
    assert broken == []


async def test_mail_knows_no_late_message() -> None:
    async with running_sandbox() as sandbox:
        url = f"{sandbox.url}/sandbox/mail/faults"
        async with sandbox.session.post(url, json={"mode": "late", "count": 1}) as response:
            assert response.status == 422
