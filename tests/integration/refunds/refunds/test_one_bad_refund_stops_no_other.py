"""Poison among refunds: the others are paid and reconciled, a person is told of the bad one, and once mended it is paid once."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from refunds.reconciliation.reconcile import Reconcile
from refunds.refunds.advance import AdvanceRefund
from tests.integration.refunds.factories import InWorld, Start
from tests.support.poisoned import Fault, Poisoned, every_job_fails
from tests.support.refund_world import World
from tests.support.servers import eventually


async def test_a_refund_that_cannot_be_carried_on_keeps_no_other_unpaid(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, bad = Fault(), set[str]()
    monkeypatch.setattr(AdvanceRefund, "__call__", fault.over(AdvanceRefund.__call__, lambda _self, one: one in bad))
    service = await start(lease=1.2, gateway_deadline=0.3)
    refunds = []
    for number in range(3):
        await service.sandbox.put_payment(f"pay-{number}", captured=10_000)
    for number in range(3):
        _, accepted = await service.request(payment_id=f"pay-{number}", business_key=f"7Q3M0V9XK2TDW8RC:{number}")
        refunds.append(accepted["id"])
        bad.add(refunds[0])
    for refund in refunds[1:]:
        await service.reaches(refund, "SUCCESS")
    told = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="task.failing")
    assert (told["details"]["task"], told["details"]["item"]) == ("worker", f"refund {refunds[0]}")
    assert (await service.ledger("pay-0"))["refunds"] == []
    fault.mended = True
    await service.reaches(refunds[0], "SUCCESS")
    assert [refund["payouts"] for refund in (await service.ledger("pay-0"))["refunds"]] == [1]


async def test_a_line_of_the_register_that_no_table_holds_keeps_no_other_unreconciled(
    in_world: InWorld,
) -> None:
    """What somebody refunded by hand stands in the register only; one of them is of a payment with a NUL in its name."""

    def story(world: World) -> None:
        money = world.sandbox.world.trust.money
        made = []
        for number in range(3):
            order: dict[str, Any] = {"captured": 100, "polls": 0}
            world.run(world.sandbox.control("PUT", f"/sandbox/trust/payments/pay-{number}", order))
            body = {"payment_id": f"pay-{number}", "amount": 40, "currency": "RUB"}
            made.append(money.create(key=f"theirs-{number}", body=body, declined=False, now=world.time.now()))
            made[-1].status = "success"
        made[0].payment.id = "pay\x00"
        item = f"trust refund {made[0].id}"

        async def round_of(task: Poisoned, instance: Any) -> None:
            task.its_time_comes()
            await task.run(instance.daily)

        async def told(task: Poisoned) -> bool:
            return await task.told() == [item]

        def days() -> list[bool]:
            rows = world.run(world.fetch("SELECT finished_at FROM reconciliation_days ORDER BY day"))
            return [row["finished_at"] is not None for row in rows]

        def raised() -> list[str]:
            world.run(world.deliver())
            return sorted(name for name in world.problems if name.startswith("refund-difference:"))

        world.pass_time(60)
        instance = world.instance()
        owner = world.run(asyncpg.connect(world.dsn))
        task = Poisoned(world.database, owner)
        for _ in range(4):
            world.run(round_of(task, instance))
            assert task.apart() == [item]
        world.run(eventually(lambda: told(task)))
        others = [f"refund-difference:trust:{one.id}:unknown_to_us" for one in made[1:]]
        assert (days(), raised()) == ([False], sorted(others))
        made[0].payment.id = "pay-0"  # the same line, as it is read by the next run
        world.pass_time(31 * 60)
        for _ in range(2):
            world.run(round_of(task, instance))
        assert (task.apart(), days()) == ([], [True])
        assert raised() == sorted([*others, f"refund-difference:trust:{made[0].id}:unknown_to_us"])
        assert set(world.problems.values()) == {1}
        world.run(task.failures.close())
        world.run(owner.close())

    await in_world(story)


async def test_a_reconciliation_that_fails_as_a_whole_is_begun_again_until_it_ends(
    in_world: InWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round fails, so that the third is told: none in between passes because there is nothing to claim."""
    fault = Fault()
    monkeypatch.setattr(Reconcile, "_walk_register", fault.over(Reconcile._walk_register, lambda *_: True))

    def story(world: World) -> None:
        instance = world.instance()
        for _ in range(3):
            with pytest.raises(KeyError):
                world.run(instance.daily())
        fault.mended = True
        world.run(instance.daily())
        [day] = world.run(world.fetch("SELECT finished_at FROM reconciliation_days"))
        assert day["finished_at"] is not None

    await in_world(story)


async def test_no_job_that_fails_as_a_whole_stops_refunds_and_each_is_told(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    names = every_job_fails(monkeypatch, fault)
    service = await start()
    told = {(await service.event("notifier.alerts", "alerts.problem.raised.v1"))["details"]["task"] for _ in names}
    assert told == names
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")
    async with service.http.get("/readyz") as answer:
        assert (answer.status, "failing, tried again" in await answer.text()) == (200, True)
    fault.mended = True
    over = {(await service.event("notifier.alerts", "alerts.problem.resolved.v1"))["fingerprint"] for _ in names}
    assert over == {f"task:refunds:{name}:" for name in names}
