"""The tips caller with the real tips service behind a door that can be slow, fail or lie: the order's tips are right each time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from common.service import running
from orchestrator.engine.model import UPDATE_TRANSACTIONS
from orchestrator.tips.feedback import FeedbackClient
from sandbox.testing import RunningSandbox, running_sandbox
from tests.support.poisoned import Fault
from tests.support.servers import TestDatabases, eventually
from tests.support.tips_world import Door, Rows, World
from tips.app import build as build_tips
from tips.settings import TipsSettings

FLAG, EXPERIMENT, SHADOW = "tips_service", "tips_service_experiment", "tips_service_shadow"
TOKENS = {"internal": "tips-internal-token", "viewer": "tips-viewer-token"}
PATIENT = {
    "tips_deadline": 10.0,
    "tips_breaker_failures": 1000,
    "deferred_delay": 0.1,
    "feedback_deadline": 10.0,
    "flags_every": 0.1,
}
ALWAYS = 364 * 24 * 3600.0


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """The outside world."""
    async with running_sandbox() as world:
        yield world


@pytest.fixture
async def tips_dsn(databases: TestDatabases, dsn: str, database: Any) -> AsyncIterator[str]:
    """The orders database for the tips service: a login with the rights of the role `tips`."""
    login = f"tips_{uuid4().hex[:12]}"
    await database.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'tips' IN ROLE tips")
    yield databases.dsn_of(dsn.rpartition("/")[2], user=login, password="tips")
    await database.execute(f"DROP ROLE {login}")


@pytest.fixture
async def make_world(
    tips_dsn: str,
    sandbox: RunningSandbox,
    start: Any,
    gateway: Any,
    database: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Any]:
    """A function that starts the orchestrator, the tips service and the door between them."""
    monkeypatch.setattr(Rows, "made", [])
    monkeypatch.setattr("orchestrator.app.FlagRows", Rows)
    tokens = tmp_path / "tips-tokens.json"
    entries = [{"name": role, "token": token, "role": role} for role, token in TOKENS.items()]
    tokens.write_text(json.dumps({"tokens": entries}))
    for role, token in TOKENS.items():
        (tmp_path / role).write_text(token)
    values: dict[str, Any] = {"postgres_dsn": tips_dsn, "feedback_url": sandbox.feedback_url, "tokens_file": tokens}
    settings = TipsSettings(port=0, hold_until=ALWAYS, **values)
    async with running(build_tips, settings) as tips:
        door = Door(tips.url)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", door.pass_on)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        door.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

        async def make(**changes: Any) -> World:
            api = await start(
                tips_url=door.url,
                internal_token_file=tmp_path / "internal",
                shadow_token_file=tmp_path / "viewer",
                feedback_url=sandbox.feedback_url,
                **(PATIENT | {"tips_hold_until": ALWAYS} | changes),
            )
            return World(api, gateway, door, sandbox, database)

        yield make
        door.closing.set()
        await runner.cleanup()


async def holds_announced(listener: Any, count: int) -> list[int]:
    """Wait until so many holds were announced; return their sums in order."""
    found: list[int] = []

    async def announced() -> bool:
        events = await listener.take("notifier.orders")
        found.extend(event.data["amount"] for event in events if event.type == "orders.tips.hold_wanted.v1")
        return len(found) >= count

    await eventually(announced, what=f"{count} holds are announced")
    return found


async def test_the_tips_are_right_whether_the_service_is_off_on_slow_failing_or_lying(make_world: Any) -> None:
    world = await make_world(tips_deadline=3.0, flags_max_age=60.0)
    found = {}
    (number,) = await world.finish("off")
    found["off"] = await world.iterated(number)
    await world.set_flag(FLAG, enabled=True)
    (number,) = await world.finish("left out")
    found["left out"] = await world.iterated(number)
    assert world.door.calls == {}
    await world.set_flag(EXPERIMENT, enabled=True)
    for mode in ("slow", "failing", "lying", "garbled"):
        world.door.mode = mode
        (number,) = await world.finish(mode)
        found[mode] = await world.iterated(number)
    world.door.mode = "open"
    await world.database.execute("ALTER TABLE flag RENAME TO flag_away")

    async def too_old_to_be_believed() -> bool:
        Rows.made[0].older += 61.0
        await asyncio.sleep(0.3)  # what was read before the table was away may arrive
        return Rows.made[0].fresh() is None

    await eventually(too_old_to_be_believed)
    (number,) = await world.finish("experiment")
    found["experiment"] = await world.iterated(number)
    await world.database.execute("ALTER TABLE flag_away RENAME TO flag")
    assert found == {
        "off": (1000, "old", None, 10000),
        "left out": (1000, "old", None, 10000),
        "slow": (1000, "old", "timeout", 10000),
        "failing": (1000, "old", "status", 10000),
        "lying": (1000, "old", "not_set", 10000),
        "garbled": (1000, "old", "answer", 10000),
        "experiment": (1000, "old", "experiment", 10000),
    }
    counted = [
        await world.metric(f'tips_fallback_total{{reason="{reason}"}}')
        for reason in ("timeout", "status", "not_set", "answer", "experiment", "connection")
    ]
    assert counted == [1, 1, 1, 1, 1, 0]
    assert await world.metric('tips_exposures_total{arm="service"}') == 4
    # The product's figures count each order once, whoever decided it: the service may have written the slow one.
    old, service = await world.tipped(world.api.url), await world.tipped(world.door.behind)
    assert (old + service, old >= len(found) - 1) == (len(found), True)


async def test_tips_that_cannot_be_decided_keep_no_other_order_waiting(
    make_world: Any, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, bad = Fault(), set[str]()
    monkeypatch.setattr(FeedbackClient, "find", fault.over(FeedbackClient.find, lambda _self, number: number in bad))
    world = await make_world()
    bad.add(world.gateway.number("bad"))
    good, number, better = await world.finish("good", "bad", "better")
    assert [(await world.iterated(each))[0] for each in (good, better)] == [1000, 1000]
    path = "/admin/v1/workflows"

    async def crashed() -> Any:
        items = await world.api.all(f"{path}?order_number={number}&kind={UPDATE_TRANSACTIONS}")
        return [item["id"] for item in items if item["state_name"] == "crashed"]

    (workflow,) = await eventually(crashed)
    told: list[Any] = []

    async def was_told() -> bool:
        events = await listener.take("notifier.orders")
        told.extend(event.data for event in events if event.type == "orders.workflow.crashed.v1")
        return [(each["order_number"], each["kind"]) for each in told] == [(number, UPDATE_TRANSACTIONS)]

    await eventually(was_told)
    fault.mended = True
    assert (await world.api.call("POST", f"{path}/{workflow}/retry", {"reason": "it was mended"}))[0] == 200
    assert (await world.iterated(number))[0] == 1000


async def test_the_service_decides_where_the_switches_say_so_and_tips_are_held_once(
    make_world: Any, listener: Any
) -> None:
    world = await make_world()
    await world.set_flag(FLAG, enabled=True)
    await world.set_flag(EXPERIMENT, enabled=True)
    (number,) = await world.finish("on")
    assert await world.iterated(number) == (1000, "service", None, 10000)
    path = f"/orders/v1/orders/{number}/feedback-changed"
    assert await world.api.call("POST", path, role="internal") == (200, {"number": number, "started": True})
    await world.iterated(number, 2)
    await world.feedback(number, "20")
    assert (await world.api.call("POST", path, role="internal"))[0] == 200
    assert await world.iterated(number, 3) == (2000, "service", None, 10000)

    # A lie about what the customer has just said is found out, although the order has been seen before.
    world.door.mode = "lying"
    await world.feedback(number, "30")
    assert (await world.api.call("POST", path, role="internal"))[0] == 200
    assert await world.iterated(number, 4) == (3000, "old", "not_set", 10000)
    assert await holds_announced(listener, 3) == [1000, 2000, 3000]
    row = await world.database.fetchrow("SELECT tips_held_amount, tips_amount FROM orders WHERE number = $1", number)
    assert tuple(row) == (3000, 3000)
    held = await world.database.fetchval("SELECT count(*) FROM timeline WHERE kind = 'tips.hold_wanted'")
    assert held == 3
    # Nothing is left to check: the workflow has ended by itself.
    assert await world.database.fetchval("SELECT next_check_at FROM order_transactions") is None
    assert await world.database.fetchval("SELECT state FROM workflow WHERE kind = 'update_transactions'") == 3


@pytest.mark.parametrize(("service", "decided_by"), [(True, "service"), (False, "old")])
async def test_tips_that_a_customer_takes_back_after_the_hold_undo_it(
    make_world: Any, listener: Any, service: bool, decided_by: str
) -> None:
    world = await make_world()
    await world.set_flag(FLAG, enabled=service)
    await world.set_flag(EXPERIMENT, enabled=service)
    (number,) = await world.finish("taken-back")
    await world.iterated(number)
    assert await holds_announced(listener, 1) == [1000]
    await world.feedback(number, "0")
    path = f"/orders/v1/orders/{number}/feedback-changed"
    for times in (2, 3):
        assert (await world.api.call("POST", path, role="internal"))[0] == 200
        assert await world.iterated(number, times) == (0, decided_by, None, 10000)
    assert await holds_announced(listener, 1) == [0]
    held = await world.database.fetchval("SELECT count(*) FROM timeline WHERE kind = 'tips.hold_wanted'")
    assert held == 2


async def test_the_kill_switch_works_within_a_second_during_load_and_no_iteration_is_lost(
    make_world: Any,
) -> None:
    world, other = [await make_world(replica=name, flags_every=0.5) for name in ("one", "two")]
    await world.set_flag(FLAG, enabled=True)
    await world.set_flag(EXPERIMENT, enabled=True)
    numbers: list[str] = []
    enough = asyncio.Event()

    async def load() -> None:
        while not enough.is_set():
            numbers.extend(await world.finish(f"load-{len(numbers)}"))

    loading = asyncio.create_task(load())

    async def under_way() -> bool:
        decided = "SELECT EXISTS (SELECT FROM order_transactions WHERE decided_by = 'service')"
        return bool(await world.database.fetchval(decided))

    await eventually(under_way, every=0.01)
    world.door.mode = "failing"

    async def failed() -> bool:
        return bool(world.door.calls["failing"] > 3)

    await eventually(failed)
    await world.set_flag(FLAG, enabled=False)  # both replicas look twice a second
    enough.set()
    await loading
    tips = [(await world.iterated(number))[0] for number in numbers]
    assert tips == [1000] * len(numbers)
    calls = world.door.calls.total()  # what was decided before the switch has been asked by now
    later = await world.finish(*(f"later-{index}" for index in range(10)))
    assert [(await world.iterated(number))[:3] for number in later] == [(1000, "old", None)] * 10
    assert world.door.calls.total() == calls  # not one call since the switch held
    deciders = await world.database.fetch(
        "SELECT decided_by, fallback, count(*) AS n FROM order_transactions GROUP BY 1, 2"
    )
    counted = {(row["decided_by"], row["fallback"]): row["n"] for row in deciders}
    assert sum(counted.values()) == len(numbers) + 10
    fallbacks = [await each.metric('tips_fallback_total{reason="status"}') for each in (world, other)]
    assert counted.get(("old", "status"), 0) == sum(fallbacks)
    assert counted[("old", "status")] > 0 and counted[("service", None)] > 0  # noqa: PT018 - one sentence


async def test_a_silent_feedback_service_defers_an_iteration_and_never_loses_it(make_world: Any) -> None:
    world = await make_world()
    await world.sandbox.fault("feedback", mode="error", count=4)
    (number,) = await world.finish("deferred")
    assert await world.iterated(number) == (1000, "old", None, 10000)
    assert await world.metric('update_transactions_iterations_total{decided_by="deferred"}') >= 1
    crashed = await world.database.fetchval("SELECT count(*) FROM workflow WHERE state = 4")
    assert crashed == 0


async def test_shadow_mode_compares_both_and_the_own_rules_win_a_quarrel(make_world: Any) -> None:
    world = await make_world()
    await world.set_flag(SHADOW, enabled=True)
    (number,) = await world.finish("agreed")
    assert await world.iterated(number) == (1000, "old", None, 10000)
    await world.set_flag(FLAG, enabled=True)
    await world.set_flag(EXPERIMENT, enabled=True)
    world.door.mode = "other sums"
    (number,) = await world.finish("quarrel")
    assert await world.iterated(number) == (1000, "old", "mismatch", 10000)
    results = [await world.metric(f'tips_shadow_total{{result="{name}"}}') for name in ("match", "mismatch", "error")]
    assert results == [1, 1, 0]
    status, said = await world.api.call("GET", "/admin/v1/tips/shadow", role="viewer")
    assert (status, [said[name] for name in ("compared", "agreed", "differed", "failed")]) == (200, [2, 1, 1, 0])
    assert [(each["decision"], each["rule"], each["orders"]) for each in said["rules"]] == [("tips", "sum", 1)]
    [found] = said["differences"]
    assert (found["order_number"], found["rule"]) == (number, "sum")
    assert (found["own_amount"], found["service_amount"], found["currency"]) == (1000, 1001, "RUB")
    later = await world.api.call("GET", "/admin/v1/tips/shadow?since=2099-01-01T00:00:00Z", role="viewer")
    assert [later[1][name] for name in ("compared", "rules", "differences")] == [0, [], []]


async def test_tips_are_zeroed_for_good_wherever_an_order_is_paid_in_cash(make_world: Any, listener: Any) -> None:
    world = await make_world()
    places = ["close-with-cash", "mark-paid-in-cash", "move-back-to-cash", "courier-not-accepted"]
    numbers = dict(zip(places, await world.finish(*places), strict=True))
    for place, number in numbers.items():
        assert (await world.iterated(number))[0] == 1000
        path = f"/orders/v1/orders/{number}/{place}"
        reason = place.replace("-", "_")
        first = await world.api.call("POST", path, role="internal")
        again = await world.api.call("POST", path, role="internal")
        assert [first, again] == [
            (200, {"number": number, "reason": reason, "changed": True}),
            (200, {"number": number, "reason": reason, "changed": False}),
        ]
        await world.feedback(number, "50")
        await world.api.call("POST", f"/orders/v1/orders/{number}/feedback-changed", role="internal")

    async def ended() -> Any:
        rows = await world.database.fetch(
            "SELECT number, tips_zeroed_reason, tips_amount, tips_held_amount FROM orders"
        )
        assert {row["number"]: tuple(row)[1:] for row in rows} == {
            number: (place.replace("-", "_"), 0, 0) for place, number in numbers.items()
        }
        left = await world.database.fetchval(
            "SELECT count(*) FROM order_transactions WHERE tips <> 0 OR next_check_at IS NOT NULL"
        )
        pending = await world.database.fetchval("SELECT count(*) FROM workflow WHERE done_seq <> last_seq")
        assert (left, pending) == (0, 0)
        return True

    await eventually(ended)
    _, audited = await world.api.call("GET", "/admin/v1/audit?action=order.zero_tips", role="viewer")
    assert {(each["target"], each["reason"], each["role"]) for each in audited["items"]} == {
        (f"order:{number}", place.replace("-", "_"), "internal") for place, number in numbers.items()
    }
    assert len(audited["items"]) == 4
    kinds = await world.database.fetch(
        "SELECT kind, count(*) AS n FROM timeline WHERE kind LIKE 'tips.%' GROUP BY kind"
    )
    assert {row["kind"]: row["n"] for row in kinds} == {"tips.zeroed": 4, "tips.hold_wanted": 8}
    assert sorted(await holds_announced(listener, 8)) == [0] * 4 + [1000] * 4
    wrong = [
        (await world.api.call("POST", "/orders/v1/orders/NOPE/close-with-cash", role="internal"))[0],
        (await world.api.call("POST", "/orders/v1/orders/NOPE/feedback-changed", role="internal"))[0],
        (await world.api.call("POST", f"/orders/v1/orders/{number}/close-with-cash", role="operator"))[0],
    ]
    assert wrong == [404, 404, 403]
