"""Poison among good orders, in each sweep: the good ones are done, it is left alone for a while, a person is told of it once, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.postgres import Connection, Database
from common.telemetry.metrics import new_registry
from orchestrator.erasures.forget import ForgetCustomers
from orchestrator.erasures.places import erase_orders
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders import aggregate, parked
from orchestrator.orders.aggregate import Drift, derive_aggregates
from orchestrator.orders.parked import raise_overdue
from tests.integration.orchestrator.conftest import Gateway, Listener, Start
from tests.integration.orchestrator.factories import all_taken, write_orders
from tests.support.clocks import ManualClock
from tests.support.poisoned import Fault, Poisoned, every_job_fails, poisoned
from tests.support.servers import eventually

NOW = datetime.now(UTC)
GOOD, BAD = ("A1", "B2", "D4", "E5"), "C3"
# Stands for an error that nobody foresaw in what is written about one order.
STUMBLE = """
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'nobody foresaw this'; END $$;
CREATE TRIGGER stumble BEFORE UPDATE ON orders FOR EACH ROW WHEN (NEW.{column} = '{value}') EXECUTE FUNCTION stumble();
"""


@pytest.fixture
async def task(pool: Database, database: Any) -> AsyncIterator[Poisoned]:
    """A task of a service."""
    async with poisoned(pool, database) as made:
        yield made


async def test_aggregate_states_are_derived_of_the_others(task: Poisoned, pool: Database, database: Any) -> None:
    await write_orders(database, *GOOD, BAD, state="crashed")
    for number in (*GOOD, BAD):
        await database.execute(
            "INSERT INTO order_aggregate_change (order_number) SELECT $1 FROM generate_series(1, 3)", number
        )
    await database.execute(STUMBLE.format(column="number", value=BAD))

    async def derive() -> int:
        return await derive_aggregates(pool)

    assert await task.run(derive) == len(GOOD)
    assert task.apart() == [BAD]
    wrong = [
        row["number"] for row in await database.fetch("SELECT number FROM orders WHERE aggregate_state = 'crashed'")
    ]
    assert wrong == [BAD]
    await write_orders(database, "F6", state="crashed")
    await database.execute("INSERT INTO order_aggregate_change (order_number) VALUES ('F6')")
    assert await task.run(derive) == 1, "what comes later does not wait for it"
    await task.until_told(derive, BAD)
    await database.execute("DROP TRIGGER stumble ON orders")  # it was mended
    task.its_time_comes()
    assert await task.run(derive) == 1
    assert task.apart() == []
    assert await database.fetchval("SELECT count(*) FROM order_aggregate_change") == 0


async def test_overdue_orders_are_told_of_without_the_one_that_cannot_be(
    task: Poisoned, pool: Database, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, number in enumerate((BAD, *GOOD)):
        await database.execute(
            "INSERT INTO parked_order VALUES ($1, $2, 'sbermarket', 'order.paid', $3)",
            place,
            number,
            NOW - timedelta(days=2),
        )
    whole = parked._alert

    def stumbling(item: Any, *rest: Any, **more: Any) -> Any:
        """Stumble over one order."""
        if item.order_number == BAD:
            raise KeyError(item.order_number)
        return whole(item, *rest, **more)

    monkeypatch.setattr(parked, "_alert", stumbling)

    async def overdue() -> int:
        return await raise_overdue(pool, ManualClock(NOW), limit=timedelta(hours=1), notify=lambda: None)

    assert await task.run(overdue) == len(GOOD)
    assert await task.run(overdue) == 0
    left = [
        row["order_number"]
        for row in await database.fetch("SELECT order_number FROM parked_order WHERE alerted_at IS NULL")
    ]
    assert left == [BAD]
    await task.until_told(overdue, BAD)


async def test_customers_are_forgotten_but_for_the_order_that_cannot_be(
    task: Poisoned, pool: Database, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (*GOOD, BAD):
        await database.execute(
            "INSERT INTO order_contact (number, digest, created_at, phone, grams) VALUES ($1, 'd', $2, '79161234567', '{}')",
            number,
            NOW - timedelta(days=99),
        )

    async def stumbling(connection: Connection, numbers: Sequence[str]) -> dict[str, int]:
        """Erase, then stumble over one order: what was done in vain is rolled back."""
        done = await erase_orders(connection, numbers)
        if BAD in numbers:
            raise KeyError(BAD)
        return done

    monkeypatch.setattr("orchestrator.erasures.forget.erase_orders", stumbling)
    forget = ForgetCustomers(database=pool, keep=timedelta(days=30), clock=ManualClock(NOW))
    assert await task.run(forget) == len(GOOD)
    assert [row["number"] for row in await database.fetch("SELECT number FROM order_contact")] == [BAD]
    await task.until_told(forget, BAD)


async def test_all_orders_are_looked_at_for_drift_but_the_one_that_cannot_be(
    task: Poisoned, pool: Database, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_orders(database, *GOOD, BAD, state="finished", document={"positions": []})
    await database.execute("UPDATE orders SET aggregate_state = 'crashed' WHERE number = 'E5'")
    filled: list[str] = []

    async def stumbling(_connection: Connection, numbers: Sequence[str]) -> None:
        """Stumble over one order."""
        if BAD in numbers:
            raise KeyError(BAD)
        filled.extend(numbers)

    monkeypatch.setattr(aggregate, "fill_in", stumbling)
    drift = Drift(pool, OrchestratorMetrics(new_registry()), window=3)
    assert [await task.run(drift) for _ in range(2)] == [0, 1]
    assert filled == list(GOOD)
    assert task.apart() == [BAD]
    await task.until_told(Drift(pool, OrchestratorMetrics(new_registry())), BAD)


async def test_a_running_orchestrator_goes_on_and_tells_of_the_order_once(
    start: Start, gateway: Gateway, listener: Listener, database: Any
) -> None:
    await database.execute(STUMBLE.format(column="external_id", value="BAD"))
    await database.execute("ALTER TABLE orders DISABLE TRIGGER stumble")
    api = await start()
    goods = [gateway.position("milk")]
    await gateway.send(*(gateway.hook(name, "order.created", positions=goods) for name in ("BAD", "GOOD")))
    await all_taken(database, 2)
    bad, good = gateway.number("BAD"), gateway.number("GOOD")
    async with database.transaction():
        await database.execute("UPDATE orders SET aggregate_state = 'crashed'")
        await database.execute("ALTER TABLE orders ENABLE TRIGGER stumble")

    async def derived(*numbers: str) -> bool:
        rows = await database.fetch("SELECT number FROM orders WHERE aggregate_state <> 'crashed'")
        return {row["number"] for row in rows} == set(numbers)

    async def failed_often() -> bool:
        return bool(await database.fetchval("SELECT attempts > 3 FROM delivery_failures WHERE event_id = $1", bad))

    await eventually(lambda: derived(good), what="the good order")
    await eventually(failed_often, what="four failures")
    ready = await api.get("/readyz")
    assert (ready["ready"], "tasks" in ready["checks"]) == (True, False), "the others go on"
    [problem] = [each for each in await problems(listener) if each["fingerprint"].endswith(bad)]
    assert (problem["kind"], problem["details"]["task"], problem["order_number"]) == (
        "task.failing",
        "derive-aggregates",
        bad,
    )
    await database.execute("DROP TRIGGER stumble ON orders")
    await eventually(lambda: derived(bad, good), what="both orders")
    over: list[Any] = []

    async def ended() -> bool:
        over.extend(await problems(listener))
        return [each["fingerprint"] for each in over] == [problem["fingerprint"]]

    await eventually(ended, what="the end of the problem")


async def problems(listener: Listener) -> list[Any]:
    """What has come of problems of tasks since the last time."""
    found = [envelope.data or {} for envelope in await listener.take("notifier.alerts")]
    return [each for each in found if str(each.get("fingerprint")).startswith("task:")]


async def test_no_sweep_that_fails_as_a_whole_stops_orders_and_each_is_told(
    start: Start, gateway: Gateway, listener: Listener, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    names = every_job_fails(monkeypatch, fault)
    api = await start()
    seen: list[str] = []

    async def told(kind: str, text: str) -> bool:
        events = await listener.take("notifier.alerts")
        seen.extend(str(event.data) for event in events if event.type == f"alerts.problem.{kind}.v1")
        assert [name for name in names if not any(text.format(name) in event for event in seen)] == []
        return True

    await eventually(lambda: told("raised", "'task': '{}'"))
    await gateway.send(gateway.hook("A", "order.created", positions=[gateway.position("a")]))
    await all_taken(database, 1)
    async with api.session.get(api.url + "/readyz") as answer:
        assert (answer.status, "failing, tried again" in await answer.text()) == (200, True)
    fault.mended = True
    await eventually(lambda: told("resolved", "task:orchestrator:{}:"))
