"""Histories of refunds as Hypothesis makes them up: requests, faults of every kind, deaths and standstills at every await, time."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from itertools import count

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from refunds.refunds.model import Settled
from sandbox.faults import FaultMode, FaultOrder
from tests.support.refund_books import CAPTURED, RefundBooks
from tests.support.refund_world import Instance, World, open_world

STEPS = 25
OPERATIONS = (*(("create_refund", "start_refund", "get_refund") * 2), "get_payment", "list_refunds", "cancel", "unhold")
FAULTS = (
    FaultOrder(mode=FaultMode.LOST_RESPONSE, count=1),
    FaultOrder(mode=FaultMode.ERROR, count=2),
    FaultOrder(mode=FaultMode.ERROR, count=1, effect=True),
    FaultOrder(mode=FaultMode.RESET, count=1),
    FaultOrder(mode=FaultMode.RATE_LIMIT, count=1),
    FaultOrder(mode=FaultMode.LATE, count=1),
    FaultOrder(mode=FaultMode.DECLINED, count=1),
    FaultOrder(mode=FaultMode.ERROR),
)
LASTING = (
    FaultOrder(mode=FaultMode.DECLINED),
    FaultOrder(mode=FaultMode.ERROR),
    FaultOrder(mode=FaultMode.ERROR, effect=True),
)
REQUESTS = st.tuples(st.sampled_from((0, 0, 1, 1, 2)), st.sampled_from((60, 60, 40, 10, CAPTURED, None)))
TROUBLES = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.sampled_from(FAULTS)), min_size=1, max_size=3)
DEATHS = st.one_of(st.none(), st.integers(min_value=1, max_value=60))
_numbers = count()


class RefundHistories(RefundBooks):
    """One history. At its end everything heals, and every refund has to come to its end, paid at most once."""

    def __init__(self) -> None:
        super().__init__()
        self.history = next(_numbers)
        self.payments = [f"{beginning}{self.history}" for beginning in ("pay-", "yk-", "held-")]
        self.requests = 0
        self.zombies: list[tuple[Instance, asyncio.Task[bool]]] = []

    @initialize(requests=st.lists(REQUESTS, min_size=1, max_size=3))
    def begin(self, requests: list[tuple[int, int | None]]) -> None:
        """Three payments: at Trust, at YooKassa, and one that was not captured; and something that is wanted of them."""
        self.run(self.world.fresh())
        trust, yookassa, held = self.payments

        async def make() -> None:
            control = self.world.sandbox.control
            await control("PUT", f"/sandbox/trust/payments/{trust}", {"captured": CAPTURED})
            await control("PUT", f"/sandbox/yookassa/payments/{yookassa}", {"captured": CAPTURED})
            await control("PUT", f"/sandbox/trust/payments/{held}", {"captured": 0, "held": CAPTURED})

        self.run(make())
        for payment, amount in requests:
            self._want(payment, amount)

    @rule(request=REQUESTS)
    def want(self, request: tuple[int, int | None]) -> None:
        """Somebody wants money back."""
        self._want(*request)

    def _want(self, payment: int, amount: int | None) -> None:
        self.requests += 1
        if self.requests <= 5:
            self.run(self.world.want(self.payments[payment], amount=amount, key=str(self.requests)))
            self.run(self.world.deliver())

    @rule(faults=TROUBLES, point=DEATHS)
    def work(self, faults: list[tuple[str, FaultOrder]], point: int | None) -> None:
        """A process carries on what is due, with something going wrong on its way; it may die at this await."""
        self._disturb(faults)
        survived = self.run(self.world.work(self.world.instance(dies_at=point)))
        assert survived or point is not None
        self.run(self.world.deliver())

    @rule(faults=TROUBLES, seconds=st.sampled_from((61.0, 400.0, 4000.0)))
    def work_later(self, faults: list[tuple[str, FaultOrder]], seconds: float) -> None:
        """The same after some time, when leases are up and what waited is due."""
        self.pass_time(seconds)
        self.work(faults, None)

    def _disturb(self, faults: list[tuple[str, FaultOrder]]) -> None:
        for where, fault in faults:
            order = fault.model_copy(update={"match": where})
            for system in ("trust", "yookassa"):
                self.world.sandbox.world.systems[system].faults.add(order)

    @rule(faults=TROUBLES, point=st.integers(min_value=1, max_value=45))
    def hang(self, faults: list[tuple[str, FaultOrder]], point: int) -> None:
        """A process stands still from this await on; others take over when its lease is up."""
        self._disturb(faults)
        instance = self.world.instance(hangs_at=point)

        async def until_it_hangs() -> asyncio.Task[bool]:
            task = asyncio.create_task(self.world.work(instance))
            hangs = asyncio.create_task(instance.crash_point.hangs.wait())
            await asyncio.wait({task, hangs}, return_when=asyncio.FIRST_COMPLETED)
            hangs.cancel()
            return task

        self.zombies.append((instance, self.run(until_it_hangs())))

    @precondition(lambda self: self.zombies)
    @rule()
    def wake(self) -> None:
        """One that stood still goes on as if nothing had happened."""
        self.run(self._wake_all())

    async def _wake_all(self) -> None:
        while self.zombies:
            instance, task = self.zombies.pop(0)
            instance.crash_point.wake()
            await task

    @rule(payment=st.sampled_from((0, 1)), amount=st.sampled_from((10, 40, CAPTURED)))
    def refund_by_a_stranger(self, payment: int, amount: int) -> None:
        """Somebody gives money back at a gateway, without us."""
        self.run(self.pay_as_a_stranger(self.payments[payment], amount))

    @rule()
    def heal(self) -> None:
        """The gateways are well again, and what was long on its way to them takes effect."""
        self.run(self._heal())

    async def _heal(self) -> None:
        for system in ("trust", "yookassa"):
            self.world.sandbox.world.systems[system].faults.heal()
            await self.world.sandbox.world.systems[system].let_go()

    async def _let_go(self) -> None:
        for system in ("trust", "yookassa"):
            await self.world.sandbox.world.systems[system].let_go()

    @rule(seconds=st.sampled_from((1.0, 61.0, 400.0, 4000.0, 86400.0, 9 * 86400.0)))
    def pass_time(self, seconds: float) -> None:
        """Time passes; past an hour nothing is on its way to YooKassa any more, where a key lives for a day."""
        if seconds > 1000.0:
            self.run(self._wake_all())
            self.run(self._let_go())
        self.world.pass_time(seconds)

    @rule(index=st.integers(min_value=0, max_value=9))
    def reverse(self, index: int) -> None:
        """A gateway takes a refund back that is finished for us, too: one that it only says to have failed may be paid again."""

        async def take_back() -> None:
            done = await self.world.fetch(
                "SELECT a.gateway, a.gateway_refund_id FROM refunds AS r"
                " JOIN refund_attempts AS a ON (a.refund_id, a.attempt) = (r.id, r.attempt)"
                " WHERE r.payment_id = ANY($1) AND r.state = 5 ORDER BY r.id",
                self.payments,
            )
            if done:
                gateway, name = done[index % len(done)]
                status = "canceled" if gateway == "yookassa" else "failed"
                await self.world.sandbox.control("PUT", f"/sandbox/{gateway}/refunds/{name}", {"status": status})

        self.run(take_back())

    @rule(index=st.integers(min_value=0, max_value=9), point=st.one_of(st.none(), st.integers(1, 30)))
    def notify(self, index: int, point: int | None) -> None:
        """A gateway notifies about a refund, twice at once, early, late or out of order."""

        async def tell() -> None:
            known = [
                ("yookassa" if item["payment_id"].startswith("yk-") else "trust", refund)
                for item in self.world.ledgers().values()
                for refund in item["refunds"]
            ]
            if known:
                gateway, refund = known[index % len(known)]
                name = refund["id"] if gateway == "yookassa" else refund["trust_refund_id"]
                await self.world.notify(self.world.instance(dies_at=point), gateway, name)

        self.run(tell())

    @rule(index=st.integers(min_value=0, max_value=9), point=st.one_of(st.none(), st.integers(1, 40)))
    def restart(self, index: int, point: int | None) -> None:
        """An operator restarts something, in RS_ERROR or not."""

        async def press() -> None:
            rows = await self.world.fetch(
                "SELECT id FROM refunds WHERE payment_id = ANY($1) ORDER BY state = 7 DESC, id", self.payments
            )
            if rows:
                await self.world.press_restart(
                    self.world.instance(dies_at=point), str(rows[index % min(len(rows), 2)]["id"])
                )

        self.run(press())
        self.run(self.world.deliver())

    @rule(fault=st.sampled_from(LASTING), healed=st.booleans())
    def come_to_error(self, fault: FaultOrder, healed: bool) -> None:
        """What is asked of the gateways goes wrong for so long that the service gives up."""
        self.run(self._wake_all())
        self._disturb([(where, fault) for where in ("create_refund", "start_refund", "get_refund", "list_refunds")])
        for _ in range(3):
            self.run(self.world.work(self.world.instance()))
            self.run(self.world.deliver())
            self.pass_time(4 * 86400.0 if fault.mode is FaultMode.ERROR else 400.0)
        if healed:
            self.run(self._heal())

    @rule(
        index=st.integers(min_value=0, max_value=9),
        settled=st.sampled_from(Settled),
        point=st.one_of(st.none(), st.integers(1, 40)),
    )
    def close(self, index: int, settled: Settled, point: int | None) -> None:
        """People settle something that is in RS_ERROR, or was closed before; outside means that the customer has the money from them."""

        async def press() -> None:
            rows = await self.world.fetch(
                "SELECT id FROM refunds WHERE payment_id = ANY($1) ORDER BY state = 7 DESC, state = 12 DESC, id",
                self.payments,
            )
            if rows:
                refund_id = str(rows[index % min(len(rows), 2)]["id"])
                await self.world.press_close(self.world.instance(dies_at=point), refund_id, settled)

        self.run(press())
        self.run(self.world.deliver())

    @rule(index=st.integers(min_value=0, max_value=9), point=st.one_of(st.none(), st.integers(1, 40)))
    def check(self, index: int, point: int | None) -> None:
        """An operator has a gateway asked about a refund, closed ones first, in whatever state."""

        async def press() -> None:
            rows = await self.world.fetch(
                "SELECT id FROM refunds WHERE payment_id = ANY($1) ORDER BY state = 12 DESC, id", self.payments
            )
            if rows:
                await self.world.press_check(self.world.instance(dies_at=point), str(rows[index % len(rows)]["id"]))

        self.run(press())
        self.run(self.world.deliver())

    @rule(
        index=st.integers(min_value=0, max_value=9),
        adopted=st.booleans(),
        point=st.one_of(st.none(), st.integers(1, 40)),
    )
    def settle(self, index: int, adopted: bool, point: int | None) -> None:
        """Somebody takes the gateway's side of a difference, or says that people have settled it; twice."""

        async def press() -> None:
            rows = await self.world.fetch(
                "SELECT d.id FROM refund_differences AS d LEFT JOIN refunds AS r ON r.id::text = d.subject"
                " WHERE d.over_at IS NULL AND coalesce(r.payment_id, d.payment_id) = ANY($1) ORDER BY d.id",
                self.payments,
            )
            for dies_at in (point, None) if rows else ():
                instance, difference = self.world.instance(dies_at=dies_at), rows[index % len(rows)]["id"]
                await self.world.press_settle(instance, difference, order="N-1" if adopted else None)

        self.run(press())
        self.run(self.world.deliver())

    @rule(point=st.one_of(st.none(), st.integers(1, 60)))
    def reconcile(self, point: int | None) -> None:
        """Everything is reconciled, finished refunds too."""
        self.run(self.world.reconcile_all(self.world.instance(dies_at=point)))

    @invariant()
    def no_more_than_captured(self) -> None:
        """What is not proven failed is never more than what was captured, by our books and by the gateways' logs."""
        self.run(self.check_sums())

    def teardown(self) -> None:
        """Everything heals, and everything ends."""
        self.run(self._heal())
        self.run(self._wake_all())
        self.run(self.finish())


def histories_over(world: World) -> type[RefundHistories]:
    """Return the machine on this world."""
    return type("RefundHistoriesOnWorld", (RefundHistories,), {"world": world})


def run_histories(dsn: str, *, histories: int) -> Counter[str]:
    """Make up so many histories and run them; return how their refunds ended. Raises what the first that fails raises.

    With ``REFUND_SHRINK`` in the environment in its shortest form, which can take an hour.
    """
    world = open_world(dsn)
    phases = [Phase.generate, Phase.shrink] if os.environ.get("REFUND_SHRINK") else [Phase.generate]
    try:
        run_state_machine_as_test(
            histories_over(world),
            settings=settings(
                max_examples=histories,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
                report_multiple_bugs=False,
            ),
        )
    finally:
        world.close()
    return world.ended
