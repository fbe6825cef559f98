"""A state machine of one order on a real database. Hooks come in any order, late and repeated, some cannot be carried out; workers die
and wake up too late; operators stop, resume, retry, skip, mend, reprocess and recalculate; and at the end state, stock and money are what a
plain reference says of the hooks that took effect.

The reference knows nothing of the service: it reads docs/requirements.md#what-each-hook-does as a person would.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.clock import SystemClock
from common.contracts.envelope import Envelope
from common.errors import Conflict, SuiteError
from common.messaging import inbox
from common.postgres import Database
from common.telemetry.metrics import new_registry
from orchestrator.engine.mend import Mender, mend_event
from orchestrator.engine.model import ORDER_LIFE, NewEvent, Outcome
from orchestrator.engine.reprocess import append_copy
from orchestrator.engine.skip import skip_event
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.views import shown_state
from orchestrator.engine.worker import Worker, WorkerLimits
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.aggregate import derive_aggregates
from orchestrator.orders.foretell import ForetellLife
from orchestrator.orders.life import OrderLife, Placement
from orchestrator.orders.mend_hook import mend_hook
from orchestrator.orders.recalculate import derive_again
from orchestrator.orders.store import OrderStore
from tests.integration.orchestrator.factories import ingest_of, operate_on, worker_of
from tests.integration.orchestrator.orders.machine_parts import (
    Breakable,
    change_by_machine,
    event_of_hook,
    payload_of,
    seen,
    told,
    wanted,
)
from tests.integration.orchestrator.orders.order_reference import (
    KINDS,
    NOTHING,
    WITH_CONTENT,
    Goods,
    Sent,
    Told,
    beside,
    goods_of_an_order,
    later_goods,
    reference,
    told_beside,
)

T = TypeVar("T")


class OrderMachine(RuleBasedStateMachine):
    """One order. ``runner`` and ``database`` are set by the test; each example has an order number of its own."""

    runner: asyncio.Runner
    database: Database
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.number = f"M{type(self).examples}"
        self.sent: list[Sent] = []
        self.state = "none"
        self.done: int | None = None
        self.log: list[str] = []
        self.replays: dict[str, str] = {}
        self.store = WorkflowStore(self.database)
        store, placement = OrderStore(self.database), Placement(zones_by_store={}, tariffs_by_shipment={})
        self.handler = Breakable(OrderLife(store, SystemClock(), placement))
        self.metrics = OrchestratorMetrics(new_registry())
        self.ingest = ingest_of(self.handler.within, metrics=self.metrics)
        self.go(self.execute("DELETE FROM workflow_ready"))

    # --- the world -------------------------------------------------------------------------------------------------------------

    def go(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self.runner.run(work)

    async def execute(self, statement: str, *values: Any) -> Any:
        """Execute in a transaction of its own; return the first value of the first row."""
        return next((row[0] for row in await self.rows(statement, *values)), None)

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        """Read."""
        async with self.database.acquire() as connection:
            return list(await connection.fetch(statement, *values))

    async def take_in(self, hook: Sent, *, past_the_inbox: bool) -> None:
        """Take a hook in as the consumer does, mark and effect in one transaction: half of them as what was delivered before."""
        event = event_of_hook(hook, self.number, origin=self.replays.get(hook.event_id))
        take_in = self.ingest if hook.minute % 2 else self.ingest.append
        async with self.database.transaction() as connection:
            if not past_the_inbox and not await inbox.claim(connection, "machine", [f"{self.number}:{hook.event_id}"]):
                return
            committed = await take_in(connection, [NewEvent(order_number=self.number, kind=ORDER_LIFE, event=event)])
        committed()
        self.log.append(hook.event_id)
        await self.look()

    def worker(self, owner: str) -> Worker:
        """A worker of this order's store."""
        handlers, limits = {ORDER_LIFE: self.handler}, WorkerLimits(max_attempts=10_000)
        return worker_of(self.store, handlers, owner=owner, limits=limits, metrics=self.metrics)

    async def workflow(self) -> Any:
        """The workflow's row."""
        query = "SELECT * FROM workflow WHERE order_number = $1 AND kind = $2"
        return (await self.rows(query, self.number, ORDER_LIFE))[0]

    async def operate(self, operation: str, *, allowed: bool) -> None:
        """Do an operator's operation; it has to be refused exactly where it is not allowed."""
        workflow_id = (await self.workflow())["id"]
        try:
            await operate_on(self.database, operation, workflow_id)
        except Conflict:
            assert not allowed, f"{operation} was refused to a {self.state} workflow"
        else:
            assert allowed, f"{operation} was done to a {self.state} workflow"

    async def look(self) -> None:
        """Learn what the engine made of the workflow: only the worker may have changed it."""
        row = await self.workflow()
        self.state, self.done = shown_state(row).name.lower(), row["done_seq"]

    # --- what may happen -------------------------------------------------------------------------------------------------------

    @property
    def hooks(self) -> list[Sent]:
        """What a source sent, and no person."""
        return [hook for hook in self.sent if hook.name is None and not hook.again]

    @initialize(goods=goods_of_an_order, known=st.integers(0, 4), said=told_beside)
    def begin(self, goods: Goods, known: int, said: Told) -> None:
        """Mostly the order's creation comes first."""
        if known:
            self.arrives("order.created", goods, 0, said=said)

    @rule(
        kind=st.sampled_from(KINDS),
        goods=later_goods,
        minute=st.integers(0, 40),
        bad=st.integers(0, 4),
        said=told_beside,
        timed=st.booleans(),
    )
    def arrives(
        self, kind: str, goods: Goods, minute: int, bad: int = 1, said: Told = NOTHING, timed: bool = True
    ) -> None:
        """A hook comes, perhaps one that is older than those that came before, or one that cannot be carried out."""
        if kind == "order.created":
            goods = tuple((name, quantity, price or 1000) for name, quantity, price in goods)
        while any(hook.minute == minute for hook in self.sent):
            minute += 1
        goods, said = goods if kind in WITH_CONTENT else (), beside(kind, said)
        hook = Sent(kind, minute, goods, said, timed=timed or not bad)
        self.sent.append(hook)
        if not bad:
            self.handler.bad.add(hook.event_id)
        self.go(self.take_in(hook, past_the_inbox=False))

    @precondition(lambda self: self.hooks)
    @rule(data=st.data(), past_the_inbox=st.booleans())
    def comes_again(self, data: st.DataObject, past_the_inbox: bool) -> None:
        """A hook comes again; sometimes the inbox has forgotten it."""
        hook = data.draw(st.sampled_from(self.hooks))
        replayed = hook.event_id in self.replays.values()  # a repeat is older than its own replays
        self.go(self.take_in(hook, past_the_inbox=past_the_inbox and not replayed))

    @precondition(lambda self: self.state in {"running", "crashed"})
    @rule()
    def works(self) -> None:
        """Workers take all that is ready. Nothing waits behind an event that failed."""

        async def work() -> None:
            while await self.worker("worker").work_once():
                pass
            await self.look()
            assert self.done == len(self.log), "events wait behind one that failed"

        self.go(work())

    @precondition(lambda self: self.state == "running")
    @rule(meanwhile=st.none() | st.tuples(st.sampled_from(KINDS), goods_of_an_order, st.integers(0, 40)))
    def falls_asleep(self, meanwhile: tuple[str, Goods, int] | None) -> None:
        """A worker carries a claim out, sleeps past its lease, another does the work; then it comes with its late result.

        Meanwhile another hook may have come: then there is work again, which is not the late one's.
        """

        async def sleep() -> list[Outcome]:
            claims = await self.store.claim(owner="sleeper", limit=9, lease_seconds=-1)
            batch = await self.handler.prepare(claims)
            late = []
            for claim in claims:
                with suppress(SuiteError):
                    late.append(self.handler.run(claim, batch))
            await self.store.release_expired()
            await self.worker("worker").work_once()
            return late

        async def wake(late: list[Outcome]) -> None:
            if late:
                done = await self.store.complete(owner="sleeper", outcomes=late, failures=[], write=self.handler.write)
                assert not done
            await self.look()

        late = self.go(sleep())
        self.go(self.look())
        if meanwhile is not None:
            self.arrives(*meanwhile)
        self.go(wake(late))

    @rule()
    def a_release_mends_the_bug(self) -> None:
        """From now on the handler carries everything out."""
        self.handler.bad.clear()

    @precondition(lambda self: self.log)
    @rule(data=st.data(), act=st.sampled_from(["skip", "mend"]))
    def ends_a_failure(self, data: st.DataObject, act: str) -> None:
        """A person skips or mends an event, which is refused unless it has failed."""
        seq = data.draw(st.integers(1, len(self.log)))

        async def end() -> None:
            workflow = (await self.workflow())["id"]
            failed = await self.execute(
                "SELECT EXISTS (SELECT FROM set_aside_event WHERE workflow_id = $1 AND seq = $2 AND state = 3)",
                workflow,
                seq,
            )
            hook = next(hook for hook in self.sent if hook.event_id == self.log[seq - 1])
            now = datetime.now(UTC)
            try:
                async with self.database.transaction() as connection:
                    change = change_by_machine(connection)
                    if act == "skip" or hook.spoilt:
                        await skip_event(change, workflow, seq, expected_version=None, now=now)
                    else:
                        said: Any = {
                            "payload": payload_of(hook),
                            "as_of_now": False,
                            "expected_version": None,
                            "now": now,
                        }
                        menders = {ORDER_LIFE: Mender(mend_hook, ForetellLife(SystemClock()).effect)}
                        await mend_event(change, workflow, seq, menders=menders, **said)
            except Conflict:
                assert not failed
                return
            assert failed
            if act == "mend" and not hook.spoilt:
                self.log.append(self.log[seq - 1])
            await self.look()

        self.go(end())

    @precondition(lambda self: self.state != "none")
    @rule(operation=st.sampled_from(["stop", "resume", "retry"]))
    def operator(self, operation: str) -> None:
        """A person acts, rightly or wrongly."""
        allowed = self.state in {"stop": {"running", "crashed"}, "resume": {"stopped"}, "retry": {"crashed"}}[operation]
        self.go(self.operate(operation, allowed=allowed))
        self.go(self.look())

    @precondition(lambda self: self.state != "none")
    @rule(data=st.data())
    def reprocesses(self, data: st.DataObject) -> None:
        """A person has a past event carried out again."""
        seq = data.draw(st.integers(1, len(self.log)))

        async def reprocess() -> None:
            workflow = await self.workflow()
            try:
                async with self.database.transaction() as connection:
                    await append_copy(connection, workflow["id"], seq, actor="a", reason="r", traceparent=None)
            except Conflict:
                return
            assert seq <= workflow["done_seq"]
            self.log.append(self.log[seq - 1])
            await self.look()

        self.go(reprocess())

    @rule()
    def recalculates(self) -> None:
        """A person has the aggregate state derived again, and the job works the change table off."""

        async def recalculate() -> None:
            async with self.database.transaction() as connection:
                await derive_again(connection, [self.number])
            await derive_aggregates(self.database)

        self.go(recalculate())

    @invariant()
    def stands_still(self) -> None:
        """A stopped workflow is not carried on with, whatever comes."""
        if self.state == "stopped":

            async def check() -> None:
                assert await self.worker("worker").work_once() == 0, "a stopped workflow was claimed"
                row = await self.workflow()
                assert (row["done_seq"], row["last_seq"]) == (self.done, len(self.log))

            self.go(check())

    def teardown(self) -> None:
        """Let everything go on to its end and compare."""
        if self.state != "none":
            self.go(self.end())

    async def end(self) -> None:
        """Resume, retry, work; then state, stock and money have to be the reference's."""
        self.handler.bad.clear()
        while True:
            while await self.worker("worker").work_once():
                pass
            await self.look()
            if self.state not in {"stopped", "crashed"}:
                break
            if self.state == "stopped":
                await self.operate("resume", allowed=True)
            else:
                await self.skip_what_is_spoilt()
        await derive_aggregates(self.database)
        row = await self.workflow()
        assert (row["done_seq"], row["last_seq"], row["retried_events"]) == (len(self.log), len(self.log), 0)
        effective = await self.in_effect(row["id"])
        assert not [hook for hook in effective if hook.spoilt]
        expected = reference(effective)
        orders = await self.rows("SELECT * FROM orders WHERE number = $1", self.number)
        assert seen(orders) == wanted(expected)
        moved = await self.rows(
            "SELECT store_id, position_id, sum(quantity)::int AS quantity FROM stock_movements WHERE number = $1"
            " GROUP BY store_id, position_id HAVING sum(quantity) <> 0",
            self.number,
        )
        shipped: Counter[tuple[str | None, str]] = Counter()
        if expected is not None:
            for name, quantity, _ in expected.shipped or ():
                shipped[expected.shipped_from, name] += quantity
        assert {(item["store_id"], item["position_id"]): -item["quantity"] for item in moved} == dict(shipped)
        announced = [Envelope.decode(item["body"]) for item in await self.rows("SELECT body FROM outbox")]
        mine = [envelope for envelope in announced if envelope.subject == self.number]
        assert [key for key, count in Counter(envelope.id for envelope in mine).items() if count > 1] == []
        kinds = Counter(envelope.type for envelope in mine)
        assert kinds["orders.refund.wanted.v1"] == int(expected is not None and expected.refund)
        assert kinds["orders.order.created.v1"] == int(expected is not None)
        if expected is not None:
            assert told(mine, expected, effective), (
                "customer, address, time, store or comment changed, and nobody was notified"
            )
        await self.execute("DELETE FROM outbox")

    async def skip_what_is_spoilt(self) -> None:
        """Have what failed tried again, and skip what can never be read."""
        await self.operate("retry", allowed=True)
        while await self.worker("worker").work_once():
            pass
        workflow = (await self.workflow())["id"]
        failed = await self.rows("SELECT seq FROM set_aside_event WHERE workflow_id = $1 AND state = 3", workflow)
        spoilt = {hook.event_id for hook in self.sent if hook.spoilt}
        for row in failed:
            assert self.log[row["seq"] - 1] in spoilt, "a hook that can be read has failed"
            async with self.database.transaction() as connection:
                change = change_by_machine(connection)
                await skip_event(change, workflow, row["seq"], expected_version=None, now=datetime.now(UTC))

    async def in_effect(self, workflow_id: int) -> list[Sent]:
        """The hooks of which at least one event was neither skipped nor superseded; superseded were only those that could be."""
        aside = await self.rows(
            "SELECT seq, state, replaced_by FROM set_aside_event WHERE workflow_id = $1", workflow_id
        )
        hooks = {hook.event_id: hook for hook in self.sent}
        for row in aside:
            if row["state"] == 5:
                old, new = (hooks[self.log[seq - 1]] for seq in (row["seq"], row["replaced_by"]))
                assert old.kind == new.kind
                assert old.kind == "order.created" or old.minute == new.minute
        gone = {row["seq"] for row in aside}
        done = {event_id for seq, event_id in enumerate(self.log, 1) if seq not in gone}
        return [hook for hook in self.sent if hook.event_id in done]
