"""What a channel does not take about a problem is sent by the next one; and the dead-man's switch says whether any of it works."""

from __future__ import annotations

from aiohttp import web

from tests.integration.notifier.factories import PICKERS, STORE, Kit, MakeKit, a_problem, ended
from tests.support.servers import eventually

CHAIN = {
    "destinations": {
        "team": {"channel": "slack", "address": "#orders-notifications", "fallback": "chat"},
        "chat": {"channel": "telegram", "address": str(PICKERS), "fallback": "owner"},
        "owner": {"channel": "mail", "address": "owner@example.org"},
    },
    "routes": [{"name": "everything", "match": {"kind": ["problem.order_conflict"]}, "to": ["team"]}],
}


async def receipts(kit: Kit) -> list[str]:
    """What the incident's history says of other channels."""
    rows = await kit.fetch("SELECT text FROM incident_history WHERE act = 'failover' ORDER BY id")
    return [row["text"] for row in rows]


async def test_slack_down_then_telegram_blocked_then_mail_has_it_and_the_history_says_so(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=CHAIN)
    await kit.sandbox.control("PUT", "/sandbox/slack/channels/orders-notifications", {"state": "archived"})
    await kit.sandbox.control("PUT", f"/sandbox/telegram/chats/{PICKERS}", {"state": "blocked"})
    await kit.publish(a_problem())
    rows = await ended(kit, 3)
    assert [(row["destination"], row["state"], row["route"]) for row in rows] == [
        ("team", "failed", "everything"),
        ("chat", "failed", "fallback of team"),
        ("owner", "sent", "fallback of chat"),
    ]
    first, second, receipt = await receipts(kit)
    assert first == "team: Slack: is_archived → chat"
    assert second.startswith("chat: Telegram server says - Forbidden: bot was blocked") or "blocked" in second
    assert receipt.startswith("сообщено другим каналом: owner, <")


async def test_a_critical_problem_does_not_wait_for_a_channel_that_is_down(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=CHAIN, failover_after=1.0, replicas=2)
    await kit.sandbox.fault("slack", mode="error")
    await kit.open_in_turn(a_problem(severity="critical"), a_problem("p:2"))

    async def notified() -> bool:
        rows = await kit.fetch("SELECT destination, state, subject FROM deliveries ORDER BY destination, id")
        assert [(row["destination"], row["subject"]) for row in rows] == [
            ("chat", "incident:1"),  # once, though two replicas look; a warning waits
            ("team", "incident:1"),
            ("team", "incident:2"),
        ]
        return bool(rows[0]["state"] == "sent")

    await eventually(notified)
    await kit.sandbox.heal("slack")
    rows = await ended(kit, 3)  # and it stands where people look for it
    assert {row["state"] for row in rows} == {"sent"}


async def test_a_refusal_of_the_last_in_the_chain_is_left_alone(make_kit: MakeKit) -> None:
    kit = await make_kit(
        routes={
            **CHAIN,
            "routes": [{"name": "r", "match": {"kind": ["problem.order_conflict"]}, "to": ["owner", "team"]}],
        }
    )
    await kit.sandbox.control("PUT", "/sandbox/slack/channels/orders-notifications", {"state": "archived"})
    await kit.sandbox.control("PUT", f"/sandbox/telegram/chats/{PICKERS}", {"state": "kicked"})
    await kit.publish(a_problem())
    rows = await ended(kit, 3)
    assert [(row["destination"], row["state"]) for row in rows] == [
        ("owner", "sent"),
        ("team", "failed"),
        ("chat", "failed"),
    ]

    async def looked_at() -> bool:
        return not await kit.fetch("SELECT 1 FROM deliveries WHERE state = 'failed' AND failed_over_at IS NULL")

    await eventually(looked_at)
    assert len(await kit.fetch("SELECT 1 FROM deliveries")) == 3


async def test_the_heartbeat_shows_only_what_the_provider_took_while_nothing_is_overdue(
    make_kit: MakeKit,
) -> None:
    pinged: list[str] = []

    async def take(request: web.Request) -> web.Response:
        """A watcher outside."""
        pinged.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_get("/ping", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    routes = {
        "destinations": {
            "hidden": {"channel": "telegram", "address": str(STORE)},
            "team": {"channel": "slack", "address": "#orders-notifications"},
        },
        "routes": [
            {"name": "switch", "match": {"kind": ["heartbeat"]}, "to": ["hidden"]},
            {"name": "problems", "match": {"kind": ["problem.*"]}, "to": ["team"]},
        ],
    }
    try:
        kit = await make_kit(
            routes=routes,
            replicas=2,
            heartbeat_every=1.0,
            heartbeat_patience=1.0,
            heartbeat_url=f"http://127.0.0.1:{port}/ping",
        )

        async def beating() -> bool:
            return len(pinged) >= 2

        await eventually(beating)
        [first, *_] = await kit.texts(STORE)
        assert first.startswith("💓 [production] Контроль: уведомления доходят, ")
        turns = await kit.fetch("SELECT event_id FROM notices WHERE kind = 'heartbeat'")
        assert len(turns) == len({row["event_id"] for row in turns})

        await kit.sandbox.fault("slack", mode="error")
        await kit.publish(a_problem(severity="critical"))

        async def withheld() -> bool:
            async with kit.sandbox.session.get(kit.url + "/metrics") as answer:
                return "notifier_heartbeat_withheld 1.0" in await answer.text()

        await eventually(withheld)
        await kit.sandbox.heal("slack")

        async def again() -> bool:
            async with kit.sandbox.session.get(kit.url + "/metrics") as answer:
                text = await answer.text()
                beats = "notifier_heartbeat_timestamp_seconds 0.0" not in text
                return beats and "notifier_heartbeat_withheld 0.0" in text

        await eventually(again)
    finally:
        await runner.cleanup()
