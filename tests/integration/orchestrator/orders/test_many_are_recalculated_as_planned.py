"""Many orders' states are derived again by a filter with a plan: those that have changed since are left alone and said to be."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from console.client.change import Wish, apply, rehearse_all
from console.client.suite import Suite
from tests.integration.orchestrator.conftest import TOKENS
from tests.integration.orchestrator.factories import all_taken
from tests.support.big_database import filled
from tests.support.bulk import MANY
from tests.support.order_hooks import append_hooks

GOODS = [{"id": "a", "quantity": 1, "price": "10.00"}]
PATH = "/admin/v1/orders/recalculate"
WHY = {"reason": "the rule was mended"}
MORE = 1050


async def happened(gateway: Any, database: Any, kind: str, numbers: range, *, minute: int) -> None:
    """Have the same happen to so many orders."""
    for first in range(numbers.start, numbers.stop, 100):
        some = range(first, min(first + 100, numbers.stop))
        hooks = [gateway.hook(f"R{number}", kind, minute=minute, positions=GOODS) for number in some]
        async with database.transaction():
            await append_hooks(database, hooks)


async def test_a_plan_derives_what_it_showed_and_leaves_alone_what_has_changed(
    start: Any, gateway: Any, database: Any
) -> None:
    api = await start()
    await happened(gateway, database, "order.created", range(MANY), minute=1)
    await all_taken(database, MANY)
    wanted = {"filter": {"source": "sbermarket", "status": "created"}, "limit": MANY}
    status, plan = await api.call("POST", PATH, {**WHY, **wanted, "dry_run": True}, role="operator")
    assert (status, plan["matched"], plan["more"]) == (200, MANY, False)
    assert Counter(item["outcome"] for item in plan["items"]) == {"recalculated": MANY}

    await happened(gateway, database, "order.paid", range(MANY // 2), minute=2)
    await all_taken(database, MANY + MANY // 2)
    answers = await asyncio.gather(
        *(api.call("POST", PATH, {**WHY, "plan": plan["plan"]}, role="operator") for _ in range(2))
    )
    paid = {gateway.number(f"R{number}") for number in range(MANY // 2)}
    for status, answer in answers:
        outcomes = {item["id"]: item["outcome"] for item in answer["items"]}
        assert (status, outcomes) == (
            200,
            {number: "changed_since" if number in paid else "recalculated" for number in outcomes},
        )
    assert len(paid & {item["id"] for item in answers[0][1]["items"]}) == MANY // 2
    assert sorted(answer["already_applied"] for _, answer in answers) == [False, True]
    status, page = await api.call("GET", "/admin/v1/audit?action=order.recalculate&count=true&limit=1")
    assert (status, page["count"]) == (200, MANY // 2)


async def test_more_than_one_plan_takes_are_gone_through_once_by_the_tools(start: Any, dsn: str) -> None:
    await filled(dsn, MORE)  # all of which match for ever, whatever is done to them
    api = await start()
    suite = Suite(api.session, {"orchestrator": api.url}, TOKENS["operator"])
    chosen = {"source": "sbermarket"}
    wish = Wish(act="order recalculate", service="orchestrator", filter=chosen, reason=WHY["reason"])
    plans = await rehearse_all(suite, wish)
    assert [(plan.matched, len(plan.items), plan.more) for plan in plans] == [(MORE, 1000, True), (50, 50, False)]
    done = [await apply(suite, plan) for plan in plans]
    numbers = [item.id for each in done for item in each.items if item.outcome == "recalculated"]
    assert sorted(numbers) == sorted(f"N{n}" for n in range(1, MORE + 1))
    status, page = await api.call("GET", "/admin/v1/audit?action=order.recalculate&count=true&limit=1")
    assert (status, page["count"]) == (200, MORE)
