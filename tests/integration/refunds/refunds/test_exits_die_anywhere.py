"""An operator's process dies at each await of closing, checking and adopting; pressed again, it comes to the same, and money moved once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from refunds.refunds.model import Settled
from refunds.refunds.states import RefundState
from sandbox.faults import FaultMode, FaultOrder
from tests.integration.refunds.factories import InWorld
from tests.support.refund_world import Instance, World

Press = Callable[[World, Instance, str], Coroutine[Any, Any, Any]]
_MOST_POINTS = 120


async def _close(world: World, instance: Instance, refund_id: str) -> Any:
    return await world.press_close(instance, refund_id, Settled.OUTSIDE)


async def _check(world: World, instance: Instance, refund_id: str) -> Any:
    return await world.press_check(instance, refund_id)


async def _adopt(world: World, instance: Instance, refund_id: str) -> Any:
    (row,) = await world.fetch("SELECT id FROM refund_differences WHERE subject = $1", refund_id)
    return await world.press_settle(instance, row["id"], order="N-1")


def _in_error(world: World, payment_id: str, *, paid: bool) -> str:
    """A refund in RS_ERROR at YooKassa, which has paid it or never saw it; what it is called there is not known."""
    world.run(world.fresh())
    world.run(world.sandbox.control("PUT", f"/sandbox/yookassa/payments/{payment_id}", {"captured": 100, "polls": 0}))
    system = world.sandbox.world.systems["yookassa"]
    system.faults.add(FaultOrder(mode=FaultMode.ERROR, match="create_refund", effect=paid))
    system.faults.add(FaultOrder(mode=FaultMode.ERROR, match="list_refunds"))
    refund_id = world.run(world.want(payment_id, amount=60, key="only"))
    assert refund_id is not None
    world.run(world.deliver())
    for _ in range(3):
        assert world.run(world.work(world.instance()))
        world.pass_time(4 * 86400.0)
    return str(refund_id)


def _state(world: World, refund_id: str) -> tuple[str, int, int]:
    (row,) = world.run(world.fetch("SELECT * FROM refunds WHERE id = $1::uuid", refund_id))
    (sums,) = world.run(world.fetch("SELECT reserved FROM payments WHERE payment_id = $1", row["payment_id"]))
    return RefundState(row["state"]).name, row["reserved"], sums["reserved"]


def _paid(world: World) -> int:
    (ledger,) = world.ledgers().values()
    return sum(one["payouts"] for one in ledger["refunds"])


def _swept(world: World, press: Press, prepare: Callable[[str], str], ends: tuple[str, int, int]) -> int:
    """Let one press after another die one await further on; return at how many awaits."""
    for point in range(1, _MOST_POINTS):
        refund_id = prepare(f"yk-{press.__name__}-{point}")
        survived = world.run(press(world, world.instance(dies_at=point), refund_id)) is not None
        world.run(press(world, world.instance(), refund_id))  # pressed again
        world.run(world.deliver())
        assert _state(world, refund_id) == ends, f"died at {point}"
        assert _paid(world) == 1, f"died at {point}"
        told = [name for name, times in world.problems.items() if name.startswith("refund-difference") and times > 1]
        assert not told, f"told twice, died at {point}"
        if survived:
            return point - 1
    raise AssertionError("it never came to its end")


async def test_closing_what_was_paid_dies_at_every_await_and_is_told_and_counted_once(in_world: InWorld) -> None:
    def story(world: World) -> None:
        def prepare(payment_id: str) -> str:
            refund_id = _in_error(world, payment_id, paid=True)
            world.sandbox.world.systems["yookassa"].faults.heal()
            return refund_id

        points = _swept(world, _close, prepare, ("SUCCESS", 60, 60))
        assert points > 10
        assert len([name for name in world.problems if name.startswith("refund-difference")]) == 1

    await in_world(story)


async def test_checking_a_closed_refund_dies_at_every_await_and_finds_that_it_was_paid(in_world: InWorld) -> None:
    def story(world: World) -> None:
        def prepare(payment_id: str) -> str:
            refund_id = _in_error(world, payment_id, paid=True)
            assert world.run(_close(world, world.instance(), refund_id)) == "closed"  # the gateway says nothing
            world.sandbox.world.systems["yookassa"].faults.heal()
            return refund_id

        assert _swept(world, _check, prepare, ("SUCCESS", 60, 60)) > 10

    await in_world(story)


async def test_adopting_dies_at_every_await_and_is_done_once(in_world: InWorld) -> None:
    def story(world: World) -> None:
        def prepare(payment_id: str) -> str:
            refund_id = _in_error(world, payment_id, paid=True)
            assert world.run(_close(world, world.instance(), refund_id)) == "closed"
            world.sandbox.world.systems["yookassa"].faults.heal()
            assert world.run(world.reconcile_all(world.instance())) is not None  # finds it by our key
            return refund_id

        assert _swept(world, _adopt, prepare, ("SUCCESS", 60, 60)) > 10

    await in_world(story)


async def test_what_was_closed_while_it_may_be_on_its_way_is_never_sent_again(in_world: InWorld) -> None:
    def story(world: World) -> None:
        lost = _in_error(world, "yk-lost", paid=False)
        assert world.run(_close(world, world.instance(), lost)) == "closed"
        world.sandbox.world.systems["yookassa"].faults.heal()
        assert world.run(world.press_restart(world.instance(), lost)) == "not_in_error"
        for _ in range(5):
            assert world.run(world.work(world.instance()))
            assert world.run(world.press_check(world.instance(), lost)) == "CLOSED"
            world.run(world.reconcile_all(world.instance()))
            world.pass_time(2 * 86400.0)
        assert (_state(world, lost), _paid(world)) == (("CLOSED", 60, 60), 0)
        # Given up now, past the time for which the gateway knows the key: that it was never there is proven, and releases the sum.
        assert world.run(world.press_close(world.instance(), lost, Settled.GIVEN_UP)) == "closed"
        assert _state(world, lost) == ("CLOSED", 0, 0)

    await in_world(story)


async def test_a_payout_that_is_made_and_then_fails_leaves_a_closed_refund_closed(in_world: InWorld) -> None:
    def story(world: World) -> None:
        world.run(world.fresh())
        world.run(world.sandbox.control("PUT", "/sandbox/trust/payments/pay-1", {"captured": 100, "polls": 9}))
        trust = world.sandbox.world.systems["trust"]
        for operation in ("start_refund", "get_refund"):
            trust.faults.add(FaultOrder(mode=FaultMode.ERROR, match=operation, effect=True))
        refund_id = str(world.run(world.want("pay-1", amount=60, key="only")))
        world.run(world.deliver())
        for _ in range(3):
            assert world.run(world.work(world.instance()))
            world.pass_time(4 * 86400.0)
        assert world.run(_close(world, world.instance(), refund_id)) == "closed"
        trust.faults.heal()
        name = next(iter(world.sandbox.world.trust.money.refunds))
        world.run(world.notify(world.instance(), "trust", name))
        assert _state(world, refund_id) == ("PENDING", 60, 60)  # it is being paid after all
        world.run(world.sandbox.control("PUT", f"/sandbox/trust/refunds/{name}", {"status": "failed"}))
        world.pass_time(3600.0)
        for _ in range(4):
            assert world.run(world.work(world.instance()))
            world.pass_time(3600.0)
        assert _state(world, refund_id) == ("CLOSED", 60, 60)
        assert len(world.sandbox.world.trust.money.refunds) == 1  # nothing was sent again
        world.run(world.reconcile_all(world.instance()))
        world.run(world.deliver())
        (told,) = [one for one in world.problems if one.startswith("refund-difference")]
        assert world.resolved[told] == 1

    await in_world(story)
