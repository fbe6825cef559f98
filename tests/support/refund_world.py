"""The refunds service without its process: real use cases, real PostgreSQL, the sandbox's gateways over real HTTP, a clock that is moved.

One world serves many histories, one after another. Whoever works is an instance that can die or hang at every await; the
next one starts from what is in the database, like a process that was started again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import asyncpg

from common.contracts import Envelope, parse
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.journal import JournalEntryV1
from common.contracts.refunds import TCreateRefundV1
from common.errors import Conflict
from common.http import new_session
from common.postgres import Database
from common.telemetry.metrics import new_registry
from refunds.payments.model import GatewayRoutes
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import GatewayAway, GatewaySilent
from refunds.providers.guard import GuardLimits
from refunds.providers.metrics import GatewayMetrics
from refunds.providers.trust import TrustGateway
from refunds.providers.yookassa import YooKassaGateway
from refunds.reconciliation.check_refund import CheckRefund
from refunds.reconciliation.compare import CompareRefund
from refunds.reconciliation.daily import DailyReconciliation
from refunds.reconciliation.handle_notification import HandleNotification
from refunds.reconciliation.metrics import ReconciliationMetrics
from refunds.reconciliation.model import Reconciliation
from refunds.reconciliation.reconcile import Reconcile
from refunds.reconciliation.settle_difference import SettleDifference
from refunds.reconciliation.store import ReconciliationStore
from refunds.refunds.advance import AdvanceRefund
from refunds.refunds.apply_answer import ApplyAnswer
from refunds.refunds.attempt import begin_attempt
from refunds.refunds.captured import RereadCaptured
from refunds.refunds.close import CloseOutcome, CloseRefund
from refunds.refunds.errors import Overtaken
from refunds.refunds.evidence import FindEvidence
from refunds.refunds.metrics import RefundMetrics
from refunds.refunds.model import Restarted, Settled
from refunds.refunds.queries import RefundQueue
from refunds.refunds.request import RefundRequest, request_refund
from refunds.refunds.restart import RestartRefund
from refunds.refunds.retry import RetryPolicy
from refunds.refunds.states import TERMINAL, RefundState
from refunds.refunds.store import RefundTransactions
from sandbox.systems.trust_money import KEY_RETENTION
from sandbox.testing import RunningSandbox, running_sandbox
from tests.support.change_in_world import ChangeInWorld
from tests.support.clocks import ManualClock, SandboxClock
from tests.support.crash_points import CrashPoint, KilledError, TransactionsWithCrashPoints, WithCrashPoints

START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
RETRIES = RetryPolicy(declines=2)
ROUTES = GatewayRoutes("trust", of_payment={"yk-": "yookassa"})
T = TypeVar("T")


@dataclass
class Instance:
    """One process: its guards, its lease, its crash_point."""

    calls: GatewayCalls
    advance: AdvanceRefund
    queue: Any
    notice: HandleNotification
    reconcile: Reconcile
    daily: DailyReconciliation
    restart: RestartRefund
    close: CloseRefund
    check: CheckRefund
    settle: SettleDifference
    crash_point: CrashPoint


@dataclass
class World:
    """Everything that outlives a process."""

    runner: asyncio.Runner
    database: Database
    sandbox: RunningSandbox
    session: Any
    time: ManualClock
    outside_time: SandboxClock
    stack: AsyncExitStack
    metrics: RefundMetrics
    gateway_metrics: GatewayMetrics
    dsn: str
    problems: Counter[str] = field(default_factory=Counter)
    resolved: Counter[str] = field(default_factory=Counter)
    raised: list[ProblemRaisedV1] = field(default_factory=list)
    journal: list[JournalEntryV1] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    number: int = 0
    began: datetime = START
    back: timedelta = timedelta(days=30)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run on the world's own loop."""
        return self.runner.run(coroutine)

    def instance(self, *, dies_at: int | None = None, hangs_at: int | None = None) -> Instance:
        """Start a process."""
        crash_point = CrashPoint(dies_at=dies_at, hangs_at=hangs_at)
        transactions: Any = TransactionsWithCrashPoints(self.transactions(), crash_point)
        gateways = {
            "trust": TrustGateway(
                self.session, url=self.sandbox.trust_url, service_token="token", key_retention=timedelta(days=7)
            ),
            "yookassa": YooKassaGateway(
                self.session, url=self.sandbox.url, shop_id="1", secret_key="key", key_retention=timedelta(days=1)
            ),
        }
        with_points: Any = {name: WithCrashPoints(gateway, crash_point) for name, gateway in gateways.items()}
        calls = GatewayCalls(with_points, self.gateway_metrics, self.time, limits=GuardLimits())
        self.number += 1
        owner = f"instance-{self.number}"
        apply_answer = ApplyAnswer(calls, self.time, RETRIES)
        find = FindEvidence(transactions, calls, self.time)
        reread = RereadCaptured(transactions, calls, self.time)
        compare = CompareRefund(transactions, calls, apply_answer, self.time)
        books = ReconciliationStore(self.database, owner=owner)
        reconcile = Reconcile(transactions, calls, books, compare, self.time)
        metrics = ReconciliationMetrics(new_registry())
        days: Any = WithCrashPoints(books, crash_point)
        return Instance(
            calls=calls,
            advance=AdvanceRefund(transactions, calls, apply_answer, self.time),
            queue=WithCrashPoints(RefundQueue(self.database, owner=owner, lease=LEASE), crash_point),
            notice=HandleNotification(transactions, compare, reread, self.time),
            reconcile=reconcile,
            daily=DailyReconciliation(reconcile, days, metrics, self.time, hour=0, back=self.back),
            restart=RestartRefund(transactions, calls, find, reread, apply_answer, self.time),
            close=CloseRefund(transactions, find, apply_answer, self.time),
            check=CheckRefund(transactions, compare, reread, self.time),
            settle=SettleDifference(self.database, transactions, calls, self.time),
            crash_point=crash_point,
        )

    def transactions(self) -> RefundTransactions:
        """RefundTransactions that do not die, for the test's own use."""
        return RefundTransactions(self.database, self.metrics, after_commit=lambda: None)

    async def fresh(self) -> None:
        """Begin another history: nobody works on what earlier ones left, and the gateways know nothing."""
        async with self.database.acquire() as connection:
            await connection.execute("UPDATE refunds SET next_attempt_at = NULL, lease_until = NULL")
            await connection.execute("DELETE FROM outbox")
        for system in self.sandbox.world.systems.values():
            system.reset()
        self.pass_time(3600.0)
        self.began = self.time.now()
        self.problems.clear()
        self.resolved.clear()
        self.raised.clear()
        self.journal.clear()

    async def want(self, payment_id: str, *, amount: int | None, key: str) -> str | None:
        """Ask for a refund; None when it is refused."""
        request = RefundRequest(
            order_number=f"N-{payment_id}",
            payment_id=payment_id,
            amount=amount,
            currency="RUB",
            reason="test",
            business_key=f"{payment_id}:{key}",
            traceparent=None,
        )
        try:
            async with self.transactions().begin() as store:
                refund = await request_refund(store, request, gateways=ROUTES, actor="test", now=self.time.now())
        except Conflict:
            return None
        return refund.id

    async def deliver(self) -> None:
        """Consume what is in the outbox: each TCreateRefund twice, each problem once."""
        async with self.database.acquire() as connection:
            rows = await connection.fetch("DELETE FROM outbox RETURNING id, body")
        for row in sorted(rows, key=lambda row: row["id"]):
            envelope = Envelope.decode(row["body"])
            if envelope.type == TCreateRefundV1.TYPE:
                event, now = parse(envelope, TCreateRefundV1), self.time.now()
                for _ in range(2):
                    async with self.transactions().begin() as store:
                        await begin_attempt(store, refund_id=event.refund_id, attempt=event.attempt, now=now)
            elif envelope.type == ProblemRaisedV1.TYPE:
                problem = parse(envelope, ProblemRaisedV1)
                self.problems[problem.fingerprint] += 1
                self.raised.append(problem)
            elif envelope.type == JournalEntryV1.TYPE:
                self.journal.append(parse(envelope, JournalEntryV1))
            elif envelope.type == ProblemResolvedV1.TYPE:
                self.resolved[parse(envelope, ProblemResolvedV1).fingerprint] += 1

    async def work(self, instance: Instance) -> bool:
        """Carry on what is due, as the worker does; False when the process died of it."""
        try:
            for refund_id in await instance.queue.claim(limit=8, now=self.time.now()):
                await instance.advance(refund_id)
                await instance.queue.release(refund_id)
        except KilledError:
            return False
        return True

    async def press_restart(self, instance: Instance, refund_id: str) -> Restarted | str | None:
        """An operator restarts the refund; the code when refused, None when the process died."""
        try:
            evidence = await instance.restart.ask(refund_id, expected_version=None, dry_run=False)
            async with TransactionsWithCrashPoints(self.transactions(), instance.crash_point).begin() as store:
                restart = await instance.restart.act(
                    store, refund_id, expected_version=None, evidence=evidence, actor="operator", reason="test"
                )
        except Conflict as error:
            return error.code
        except KilledError:
            return None
        return restart.outcome

    async def press_close(self, instance: Instance, refund_id: str, settled: Settled) -> CloseOutcome | str | None:
        """An operator closes the refund; the code when refused, None when the process died."""
        try:
            async with self.transactions().begin() as store:
                refund = await store.find(refund_id)
            assert refund is not None
            evidence = await instance.close.ask(refund_id, expected_version=refund.version)
            async with TransactionsWithCrashPoints(self.transactions(), instance.crash_point).begin() as store:
                ended = await instance.close.act(
                    store,
                    refund_id,
                    expected_version=refund.version,
                    settled=settled,
                    evidence=evidence,
                    actor="operator",
                    reason="test",
                )
        except Conflict as error:
            return error.code
        except KilledError:
            return None
        return ended.outcome

    async def press_check(self, instance: Instance, refund_id: str) -> str | None:
        """An operator has the gateway asked now; the code when refused, the state it came to, None when the process died."""
        change = ChangeInWorld()
        try:
            looked = await instance.check.ask(refund_id, dry_run=False)
            async with TransactionsWithCrashPoints(self.transactions(), instance.crash_point).begin() as store:
                change.connection = store.plain_connection
                checked = await instance.check.carry_out(change, looked, expected_version=None)
        except Conflict as error:
            return error.code
        except KilledError:
            return None
        return checked.after.state.name

    async def press_settle(self, instance: Instance, difference_id: int, *, order: str | None) -> str | None:
        """An operator adopts a difference for an order, or without one acknowledges it; the code when refused, None when it died."""
        change = ChangeInWorld()
        try:
            asked = None if order is None else await instance.settle.ask(difference_id)
            async with TransactionsWithCrashPoints(self.transactions(), instance.crash_point).begin() as store:
                change.connection = store.plain_connection
                if order is None:
                    await instance.settle.acknowledge(change, difference_id, expected_version=None)
                else:
                    await instance.settle.adopt(
                        change, difference_id, expected_version=None, order_number=order, asked=asked
                    )
        except Conflict as error:
            return error.code
        except KilledError:
            return None
        return "settled"

    async def notify(self, instance: Instance, gateway: str, gateway_refund_id: str) -> None:
        """A gateway notifies, twice at once."""

        async def once() -> None:
            try:
                await instance.notice(gateway, gateway_refund_id)
            except (GatewayAway, GatewaySilent, KilledError, Overtaken):
                return

        await asyncio.gather(once(), once())

    async def reconcile_all(self, instance: Instance) -> Reconciliation | None:
        """Reconcile everything of this history; None when the process died of it."""
        until = self.time.now() + timedelta(seconds=1)
        try:
            return await instance.reconcile(since=self.began, until=until)
        except KilledError:
            return None

    def pass_time(self, seconds: float) -> None:
        """Move both clocks."""
        self.time.move_to(self.time.now() + timedelta(seconds=seconds))
        self.outside_time.advance(seconds)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Look into the database."""
        async with self.database.acquire() as connection:
            return list(await connection.fetch(query, *arguments))

    def orphans(self) -> list[Any]:
        """Refunds that Trust made, whose key it has forgotten, and that nobody started: they hold their sum there, and pay nothing."""
        refunds = self.sandbox.world.trust.money.refunds.values()
        forgotten = self.time.now() - KEY_RETENTION
        return [one for one in refunds if one.starts == 0 and one.made_at is not None and one.made_at <= forgotten]

    def ledgers(self) -> dict[str, dict[str, Any]]:
        """What the gateways themselves have, by payment; refunds with ``key``, ``payouts``, ``alive``."""
        found: dict[str, dict[str, Any]] = {}
        outside = self.sandbox.world
        trust, yookassa = outside.trust.money.ledger(), outside.yookassa.ledger()
        for items, key in ((trust, "idempotency_key"), (yookassa, "idempotence_key")):
            for item in items:
                for refund in item["refunds"]:
                    refund["key"] = refund[key]
                    refund["alive"] = refund["status"] in {"wait_for_notification", "pending", "success", "succeeded"}
                found[item["payment_id"]] = item
        return found

    async def until_terminal(self, payments: list[str], *, rounds: int = 40) -> list[asyncpg.Record]:
        """The gateways are well: let time pass, operators restart what is in RS_ERROR; return the refunds when all are over.

        One in RS_ERROR that is proven not to have been paid, and whose sum other refunds have taken meanwhile, is over too: restarting
        it is refused for good.
        """
        for number in range(rounds):
            instance = self.instance()
            await self.deliver()
            assert await self.work(instance)
            await self.deliver()
            rows = await self.fetch("SELECT * FROM refunds WHERE payment_id = ANY($1)", payments)
            open_rows = [row for row in rows if RefundState(row["state"]) not in TERMINAL]
            if not open_rows:
                return rows
            if any(row["error"] == "refund_exceeds_captured" for row in open_rows):
                for orphan in self.orphans():
                    orphan.status = "failed"  # Trust's people void it, as the runbook says
            outcomes = [
                await self.press_restart(instance, str(row["id"]))
                for row in open_rows
                if row["state"] == RefundState.ERROR
            ]
            if len(outcomes) == len(open_rows) and set(outcomes) <= {"exceeds_captured", "nothing_left"}:
                return rows
            self.pass_time(60.0 if number < 5 else 3600.0 if number < 10 else 86400.0)
        states = [(RefundState(row["state"]).name, row["error"], row["attempt"]) for row in open_rows]
        raise AssertionError(f"not over after {rounds} rounds: {states}")

    def close(self) -> None:
        """Close everything."""
        self.run(self.stack.aclose())
        self.runner.close()


def open_world(dsn: str) -> World:
    """Open a world on a migrated database."""
    runner = asyncio.Runner()
    stack = AsyncExitStack()
    outside = SandboxClock(START)

    async def open_all() -> tuple[Database, RunningSandbox, Any]:
        database = Database(dsn, application_name="refund-world", max_size=6)
        await database.open()
        stack.push_async_callback(database.close)
        sandbox = await stack.enter_async_context(running_sandbox(clock=outside, trust_polls=1, yookassa_polls=1))
        session = await stack.enter_async_context(new_session(total=5.0))
        return database, sandbox, session

    registry = new_registry()
    metrics, gateway_metrics = RefundMetrics(registry), GatewayMetrics(registry, gateways=("trust", "yookassa"))
    database, sandbox, session = runner.run(open_all())
    return World(runner, database, sandbox, session, ManualClock(START), outside, stack, metrics, gateway_metrics, dsn)


async def in_world(dsn: str, story: Callable[[World], None]) -> None:
    """Play a story in a world of its own, on a migrated database."""

    def run() -> None:
        with closing(open_world(dsn)) as world:
            story(world)

    await asyncio.to_thread(run)
