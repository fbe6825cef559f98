"""A crashed workflow and a failed refund, from the real orchestrator and the real refunds service to a button and back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

from common.service import Application, running
from notifier.app import build
from orchestrator.app import build as build_orchestrator
from orchestrator.settings import OrchestratorSettings
from refunds.app import build as build_refunds
from refunds.settings import RefundsSettings
from tests.integration.notifier.factories import SUITE_TOKENS, Kit, MakeKit, created_hook
from tests.integration.notifier.people import ORDER, SIGNING, crashed, press, put_roster, settings_for
from tests.support.servers import eventually

ON_CALL = -1001000000901


class Suite:
    """The other two services in process, on the notifier's broker and sandbox."""

    def __init__(self, kit: Kit, orchestrator: Application, refunds: Application, orders_dsn: str) -> None:
        self.kit = kit
        self.orchestrator = orchestrator.url
        self.refunds = refunds.url
        self.orders_dsn = orders_dsn

    async def call(
        self, method: str, url: str, *, token: str = SUITE_TOKENS["tokens"][2]["token"], body: Any = None
    ) -> Any:
        """Call a service; returns the JSON of a success."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.kit.sandbox.session.request(method, url, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json(content_type=None)

    async def timeline(self) -> list[tuple[str, str, str]]:
        """The notifier's lines of the order's timeline: (kind, actor, summary)."""
        page = await self.call("GET", f"{self.orchestrator}/admin/v1/orders/{ORDER}/timeline?limit=200")
        return [
            (item["kind"], item["actor"], item["summary"])
            for item in page["items"]
            if item.get("service") == "notifier"
        ]

    async def crash(self) -> int:
        """Make the order's workflow a crashed one, and say so as the engine does; returns its id."""
        connection = await asyncpg.connect(self.orders_dsn)
        try:

            async def workflow() -> int:
                # At rest: the engine has done with the order's event, and would write nothing over what we put there.
                found = await connection.fetchval(
                    "SELECT min(w.id) FROM workflow AS w WHERE w.order_number = $1 AND w.done_seq = w.last_seq"
                    " AND NOT EXISTS (SELECT FROM workflow_ready AS r WHERE r.workflow_id = w.id)",
                    ORDER,
                )
                assert found is not None
                return int(found)

            workflow_id = await eventually(workflow)
            await connection.execute("UPDATE workflow SET state = 4 WHERE id = $1", workflow_id)
        finally:
            await connection.close()
        await self.kit.publish(crashed(workflow_id), crashed(workflow_id, attempts=6))
        return workflow_id

    async def workflow_state(self, workflow_id: int) -> int:
        """The number of a workflow's state."""
        connection = await asyncpg.connect(self.orders_dsn)
        try:
            return int(await connection.fetchval("SELECT state FROM workflow WHERE id = $1", workflow_id))
        finally:
            await connection.close()


async def test_a_crash_and_a_failed_refund_open_a_ticket_each_and_a_button_repairs_them(
    make_kit: MakeKit, database_for: Callable[[str], Awaitable[str]], amqp_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        orders_dsn = await database_for("orchestrator")
        tokens = tmp_path / "suite-tokens.json"
        tokens.write_text(json.dumps(SUITE_TOKENS))
        shared: dict[str, Any] = {"port": 0, "amqp_url": amqp_url, "tokens_file": tokens}
        orchestrator = await stack.enter_async_context(
            running(build_orchestrator, OrchestratorSettings(postgres_dsn=SecretStr(orders_dsn), poll=0.1, **shared))
        )
        refunds_dsn = await database_for("refunds")
        # The refunds service needs the kit's sandbox, and the notifier its address: so the notifiers start last.
        kit = await make_kit(replicas=0, **settings_for(tmp_path))
        refunds = await stack.enter_async_context(
            running(
                build_refunds,
                RefundsSettings(
                    postgres_dsn=SecretStr(refunds_dsn),
                    trust_url=kit.sandbox.trust_url,
                    trust_service_token=SecretStr("trust-token"),
                    poll=0.05,
                    poll_base=0.05,
                    poll_cap=0.2,
                    retry_base=0.05,
                    retry_cap=0.2,
                    declines=1,
                    **shared,
                ),
            )
        )
        settings = kit.settings.model_copy(update={"orchestrator_url": orchestrator.url, "refunds_url": refunds.url})
        for _ in range(2):
            kit.applications.append(await stack.enter_async_context(running(build, settings)))
        suite = Suite(kit, orchestrator, refunds, orders_dsn)
        await put_roster(kit, "oleg", "anna")
        await kit.broker.publisher.publish(created_hook().to_envelope(), deadline=15.0)

        workflow_id = await suite.crash()
        await notified(kit, "Workflow упал")
        await retried(suite, workflow_id)
        await refunded(suite)
        await seen_in_the_timeline(suite)


async def notified(kit: Kit, words: str) -> None:
    """Wait until Telegram and Slack were notified."""

    async def both() -> bool:
        telegram = any(words in text for text in await kit.texts(ON_CALL))
        slack = any(words in entry["request"].get("text", "") for entry in await kit.sandbox.log("slack"))
        return telegram and slack

    await eventually(both)


async def retried(suite: Suite, workflow_id: int) -> None:
    """Press, be asked back, say yes: the orchestrator carries the retry out in Oleg's name, once."""
    kit = suite.kit
    await press(kit, "🔁", user="oleg", twice=True)
    await notified_telegram(kit, f"Oleg (@oleg), точно повторить workflow {workflow_id}?")
    assert await suite.workflow_state(workflow_id) == 4  # nothing is done before it was asked back
    await press(kit, "Да, выполнить", user="boris")
    await press(kit, "Да, выполнить", user="oleg", twice=True)

    async def over() -> bool:
        rows = await kit.fetch("SELECT state, occurrences, resolved_by FROM incidents WHERE kind = 'workflow.crashed'")
        assert rows == [{"state": "resolved", "occurrences": 2, "resolved_by": "orchestrator"}]
        return True

    await eventually(over)
    assert await suite.workflow_state(workflow_id) != 4
    audit = await suite.call("GET", f"{suite.orchestrator}/admin/v1/audit?target=workflow:{workflow_id}")
    assert [(item["actor"], item["role"], item["action"]) for item in audit["items"]] == [
        ("oleg", "operator", "workflow.retry")
    ]
    [ticket] = (await kit.call("GET", "/admin/v1/tickets?incident=1"))[1]["items"]
    assert ticket["queue"] == "TRAVELORDERSUP"
    assert ticket["description"].splitlines()[1].startswith("Клиенту пока ничего не сообщать.")
    assert "Позвоните дежурному: Oleg, +79990000001" in ticket["description"]


async def refunded(suite: Suite) -> None:
    """Trust declines a refund for good; the button in Slack restarts it, and it is paid once."""
    kit = suite.kit
    await kit.sandbox.put_payment("pay-1", captured=10_000)
    await kit.sandbox.fault("trust", mode="declined", match="start_refund")
    wish = {
        "order_number": ORDER,
        "payment_id": "pay-1",
        "amount": 6_000,
        "currency": "RUB",
        "reason": "cancelled by the customer",
        "business_key": f"{ORDER}:cancel",
    }
    await suite.call("POST", f"{suite.refunds}/refunds/v1/refunds", token="internal-token", body=wish)
    await notified(kit, "RS_ERROR")
    await kit.sandbox.heal("trust")
    await press_slack(kit, "restart_refund")
    await notified_slack(kit, "точно перезапустить возврат")
    await press_slack(kit, "yes")

    async def paid() -> bool:
        page = await kit.sandbox.control("GET", "/sandbox/trust/ledger")
        return [item["refunded"] for item in page["items"]] == [6_000]

    await eventually(paid)

    async def over() -> bool:
        rows = await kit.fetch("SELECT state FROM incidents WHERE kind = 'problem.refund.error'")
        return rows == [{"state": "resolved"}]

    await eventually(over)

    async def instructed() -> bool:
        tickets = (await kit.call("GET", "/admin/v1/tickets?state=closed"))[1]["items"]
        return any("Деньги клиенту ещё не возвращены" in ticket["description"].splitlines()[1] for ticket in tickets)

    await eventually(instructed)


async def seen_in_the_timeline(suite: Suite) -> None:
    """Everything that people and machines did about the order stands in its timeline."""
    wanted = {
        "chat_message.sent",
        "incident.opened",
        "ticket.opened",
        "incident.recipe_asked",
        "incident.ack",
        "incident.recipe_done",
        "incident.resolved",
    }

    async def complete() -> list[tuple[str, str, str]]:
        lines = await suite.timeline()
        assert wanted <= {kind for kind, _, _ in lines}, lines
        assert [sum(kind == each for kind, _, _ in lines) for each in ("ticket.opened", "incident.recipe_done")] == [
            2,
            2,
        ]
        return lines

    lines = await eventually(complete)
    done = [(actor, summary) for kind, actor, summary in lines if kind == "incident.recipe_done"]
    assert [actor for actor, _ in done] == ["oleg", "oleg"]
    assert all(summary.startswith("Oleg: started a recipe: ") for _, summary in done)


async def notified_telegram(kit: Kit, words: str) -> None:
    """Wait for words in the on-call chat."""

    async def there() -> bool:
        return any(words in text for text in await kit.texts(ON_CALL))

    await eventually(there)


async def notified_slack(kit: Kit, words: str) -> None:
    """Wait for words in Slack."""

    async def there() -> bool:
        page = await kit.sandbox.control("GET", "/sandbox/slack/messages")
        return any(words in item["text"] for item in page["items"])

    await eventually(there)


async def press_slack(kit: Kit, what: str) -> None:
    """Press the newest button of that sort in Slack as Oleg."""
    letter = {"restart_refund": "n1:w:", "yes": "n1:y:"}[what]
    page = await kit.sandbox.control("GET", "/sandbox/slack/messages")
    for post in reversed(page["items"]):
        for block in post.get("blocks", []):
            for element in block.get("elements", []):
                if str(element.get("action_id", "")).startswith(letter):
                    order = {
                        "channel": post["channel"],
                        "ts": post["ts"],
                        "action_id": element["action_id"],
                        "user": "oleg",
                        "url": f"{kit.url}/slack/interactions",
                        "signing_secret": SIGNING,
                    }
                    report = await kit.sandbox.control("POST", "/sandbox/slack/press", order)
                    assert [each["status"] for each in report["deliveries"]] == [200]
                    return
    raise AssertionError(f"there is no button {what}")
