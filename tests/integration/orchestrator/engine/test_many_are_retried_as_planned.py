"""Many crashed workflows are retried by a filter with a plan: those that have changed since are left alone and said to be."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.integration.orchestrator.factories import all_taken
from tests.support.bulk import MANY
from tests.support.order_hooks import append_hooks

RETRY, SKIP = "/admin/v1/workflows/retry", "/admin/v1/workflow-events/skip"


async def all_crashed(gateway: Any, database: Any, many: int) -> None:
    """Have so many orders whose `created` cannot be read, each followed by a payment."""
    bad = [{"id": "a", "quantity": "a few"}]
    for first in range(0, many, 100):
        hooks = []
        for index in range(first, min(first + 100, many)):
            hooks.append(gateway.hook(f"T{index}", "order.created", minute=1, positions=bad))
            hooks.append(gateway.hook(f"T{index}", "order.paid", minute=2))
        async with database.transaction():
            await append_hooks(database, hooks)
    await all_taken(database, 2 * many)


def tally(answer: Any) -> Counter[str]:
    """How many came out how."""
    return Counter(item["outcome"] for item in answer["items"])


async def test_a_plan_retries_what_it_showed_and_leaves_alone_what_has_changed(
    start: Any, gateway: Any, database: Any, listener: Any
) -> None:
    api = await start()
    await all_crashed(gateway, database, MANY)
    wanted = {"filter": {"code": "unreadable_hook", "event_type": "order.created"}, "limit": MANY}
    said = {"reason": "the reader knows it now"}
    status, plan = await api.call("POST", RETRY, {**wanted, **said, "dry_run": True}, role="operator")
    assert (status, plan["matched"], plan["more"], tally(plan)) == (200, MANY, False, {"retried": MANY})
    assert plan["items"][0]["workflow"]["state_name"] == "running"
    crashed = await api.all("/admin/v1/workflows?state=crashed")
    assert (len(crashed), {item["failed_events"] for item in crashed}) == (MANY, {1})

    half = [f"{item['id']}-1" for item in crashed[: MANY // 2]]
    status, skipped = await api.call("POST", SKIP, {"ids": half, "reason": "half of them are tests"}, role="operator")
    assert (status, tally(skipped)) == (200, {"skipped": MANY // 2})
    status, done = await api.call("POST", RETRY, {"plan": plan["plan"], **said}, role="operator")
    assert (status, tally(done)) == (200, {"retried": MANY // 2, "changed_since": MANY // 2})
    assert {item["id"] for item in done["items"] if item["outcome"] == "changed_since"} == {
        item["id"] for item in crashed[: MANY // 2]
    }
    await all_taken(database, 2 * MANY)
    again = await api.call("POST", RETRY, {"plan": plan["plan"], **said}, role="operator")
    assert (again[0], again[1]["already_applied"], tally(again[1])) == (200, True, tally(done))
    await all_taken(database, 2 * MANY)

    failed = await api.all("/admin/v1/workflow-events?state=failed")
    assert (len(failed), {item["failure"]["attempts"] for item in failed}) == (MANY // 2, {2})
    audit = await api.all("/admin/v1/audit?action=workflow.retry")
    assert len(audit) == MANY // 2
    assert len(await api.all("/admin/v1/workflow-events?state=skipped")) == MANY // 2


async def test_filters_choose_by_kind_number_source_time_type_and_code(start: Any, gateway: Any, database: Any) -> None:
    api = await start()
    await all_crashed(gateway, database, 3)
    number = gateway.number("T1")
    matches: list[tuple[dict[str, Any], int]] = [
        ({"order_numbers": [number, "NOPE"]}, 1),
        ({"order_number": number, "state": "crashed"}, 1),
        ({"source": "sbermarket"}, 3),
        ({"source": "another"}, 0),
        ({"store_id": "17"}, 0),  # their orders do not exist yet
        ({"kind": "order_life", "code": "unreadable_hook"}, 3),
        ({"kind": "order_document"}, 0),
        ({"event_type": "order.paid"}, 0),
        ({"created_before": "2026-01-01T00:00:00Z"}, 0),
        ({"created_after": "2026-01-01T00:00:00Z", "state": "4"}, 3),
    ]
    for wanted, many in matches:
        body = {"filter": wanted, "reason": "who is that", "dry_run": True}
        status, answer = await api.call("POST", RETRY, body, role="operator")
        assert (status, answer["matched"]) == (200, many), wanted
        query = "&".join(f"{name}={value}" for name, value in wanted.items() if name != "order_numbers")
        if query and "order_numbers" not in wanted:
            assert len(await api.all(f"/admin/v1/workflows?{query}")) == many, wanted
    events: list[tuple[dict[str, Any], int]] = [
        ({"code": "unreadable_hook"}, 3), ({"event_type": "order.paid"}, 0), ({"source": "sbermarket", "kind": "order_life"}, 3),
        ({"order_numbers": [number]}, 1), ({"failed_before": "2026-01-01T00:00:00Z"}, 0),
    ]  # fmt: skip
    for wanted, many in events:
        body = {"filter": wanted, "reason": "who is that", "dry_run": True}
        status, answer = await api.call("POST", SKIP, body, role="operator")
        assert (status, answer["matched"]) == (200, many), wanted
    wrongs: list[dict[str, Any]] = [{}, {"filter": {}}, {"ids": ["nonsense"]}, {"filter": {"what": 1}}]
    for wrong in wrongs:
        assert (await api.call("POST", SKIP, {"reason": "wrong", **wrong}))[0] == 422, wrong
    assert (await api.call("POST", RETRY, {"ids": [1], "reason": "not mine"}, role="viewer"))[0] == 403
