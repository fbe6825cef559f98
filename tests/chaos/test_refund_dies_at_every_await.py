"""A refund's process dies at each await in turn; the next one carries it on, and the gateway's log shows one payout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from refunds.refunds.states import RefundState
from sandbox.faults import FaultMode, FaultOrder
from tests.support.refund_world import Instance, World, in_world

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

ONE_LIFE = 3  # rounds of work: sent, polled, polled again
_MOST_POINTS = 400


def _life(world: World, instance: Instance) -> bool:
    """Carry on what is due, as one process would over a few minutes; False when it died."""
    for _ in range(ONE_LIFE):
        if not world.run(world.work(instance)):
            return False
        world.pass_time(61.0)
    return True


def _swept(world: World, *, beginning: str, prepare: Callable[[str], None]) -> int:
    """Let one refund after another die one await further on; return at how many awaits."""
    system = "yookassa" if beginning.startswith("yk-") else "trust"
    for point in range(1, _MOST_POINTS):
        world.run(world.fresh())
        payment_id = f"{beginning}{point}"
        world.run(world.sandbox.control("PUT", f"/sandbox/{system}/payments/{payment_id}", {"captured": 100}))
        refund_id = world.run(world.want(payment_id, amount=60, key="only"))
        assert refund_id is not None
        world.run(world.deliver())
        prepare(refund_id)
        instance = world.instance(dies_at=point)
        survived = _life(world, instance)
        world.sandbox.world.systems[system].faults.heal()
        rows = world.run(world.until_terminal([payment_id]))
        (ledger,) = world.ledgers().values()
        assert [RefundState(row["state"]).name for row in rows] == ["SUCCESS"], f"died at {point}"
        assert sum(refund["payouts"] for refund in ledger["refunds"]) == 1, f"died at {point}"
        assert sum(refund["alive"] for refund in ledger["refunds"]) == 1, f"died at {point}"
        if survived:
            return point - 1
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("beginning", ["pay-", "yk-"])
async def test_it_dies_at_every_await_of_an_undisturbed_life(
    database_for: Callable[[str], Awaitable[str]], beginning: str
) -> None:
    def story(world: World) -> None:
        points = _swept(world, beginning=beginning, prepare=lambda _: None)
        print(f"{beginning}: died at each of {points} points")  # noqa: T201 - how far it came, with -s
        assert points > 40

    await in_world(await database_for("refunds"), story)


@pytest.mark.parametrize(("beginning", "operation"), [("pay-", "start_refund"), ("yk-", "create_refund")])
async def test_it_dies_at_every_await_after_an_answer_was_lost(
    database_for: Callable[[str], Awaitable[str]], beginning: str, operation: str
) -> None:
    def story(world: World) -> None:
        system = world.sandbox.world.systems["yookassa" if beginning == "yk-" else "trust"]

        def lose(_: str) -> None:
            system.faults.add(FaultOrder(mode=FaultMode.ERROR, count=1, match=operation, effect=True))
            assert world.run(world.work(world.instance()))
            world.pass_time(301.0)

        assert _swept(world, beginning=beginning, prepare=lose) > 20

    await in_world(await database_for("refunds"), story)
