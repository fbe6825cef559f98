"""Two storage paths and a breaker, with paths that fail on command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.contracts import intake
from common.contracts.batch import unpack
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.errors import Unavailable
from common.messaging.publisher import ChannelClosed, Publisher, PublishFailed, Refused, Unroutable
from common.resilience import CircuitBreaker, CircuitState
from common.service.task_failures import TaskFailures
from webhook_gateway.durable.batches import HookBatches
from webhook_gateway.durable.keep_safe import KeepSafe
from webhook_gateway.durable.metrics import DurabilityMetrics
from webhook_gateway.durable.model import NoStoragePath, SpoolRecord, SpoolUnavailable
from webhook_gateway.durable.relay import RelaySpool
from webhook_gateway.durable.spool import Spool

HOOK = IntakeMessage(
    type=intake.HOOK_RECEIVED,
    event_id="e",
    delivery_id="d",
    source="sbermarket",
    event="order.created",
    body_form="envelope",
    body=b"\xff\x00{}",
    received_at=datetime(2026, 11, 21, 7, tzinfo=UTC),
    replica="gw-1",
)
FULL = replace(
    HOOK,
    number="7Q3M0V9XK2TDW8RC",
    external_id="Заказ",
    sent_at="2026-11-21T07:00:00+00:00",
    digest="ab",
    lane="spool",
    reason="too_large",
    status=413,
    headers='{"a":"b"}',
    answer='{"code":"x"}',
    currency="RUB",
    traceparent="00-d89ee8df3b1cbae3cf864d924fbcf378-8c992dbd7342a936-01",
)


class BrokerGone(Unavailable):
    code = "broker_away"


class Slow(Unavailable):
    code = "publish_timeout"


class FakePublisher(Publisher):
    """Confirms, or fails as it is told; whether it has a channel is told too."""

    def __init__(self) -> None:
        self.connected = True
        self.fault: Unavailable | None = None
        self.only_batches = False
        self.sent: list[bytes] = []
        self.tries = 0

    @property
    def ready(self) -> bool:
        return self.connected

    async def publish_raw(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        deadline: float = 15.0,
        events: int = 1,
    ) -> None:
        self.tries += 1
        if self.fault is not None and (events > 1 or not self.only_batches):
            raise self.fault
        self.sent.append(body)


class FakeSpool(Spool):
    """Keeps records in memory, or fails as it is told: a real disk is not full on command."""

    def __init__(self) -> None:
        self.fault: Unavailable | None = None
        self.records: list[SpoolRecord] = []

    @property
    def depth(self) -> int:
        return len(self.records)

    async def append(self, routing_key: str, body: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.records.append(SpoolRecord(len(self.records) + 1, routing_key, body))

    async def peek(self, limit: int) -> Sequence[SpoolRecord]:
        return self.records[:limit]

    async def forget(self, ids: Sequence[int]) -> None:
        self.records = [record for record in self.records if record.id not in ids]

    async def wait(self, timeout: float) -> None:
        return


class Bench:
    """Both paths, the breaker, and a clock that is moved by hand."""

    def __init__(self, *, failures: int = 3, together: bool = False) -> None:
        self.broker = FakePublisher()
        self.spool = FakeSpool()
        self.breaker = CircuitBreaker(failures=failures, pause=1.0)
        self.now = 0.0
        metrics = DurabilityMetrics(CollectorRegistry(), spool_oldest_allowed=86400)
        batches = HookBatches(self.broker, metrics=metrics) if together else None
        self.keep_safe = KeepSafe(
            publisher=self.broker,
            spool=self.spool,
            breaker=self.breaker,
            metrics=metrics,
            monotonic=lambda: self.now,
            deadline=0.4,
            batches=batches,
        )
        self.relay = RelaySpool(
            publisher=self.broker,
            spool=self.spool,
            breaker=self.breaker,
            metrics=metrics,
            monotonic=lambda: self.now,
            batches=batches,
        )


@pytest.mark.parametrize("hook", [HOOK, FULL])
def test_an_event_on_the_wire_is_read_back_as_it_was(hook: IntakeMessage) -> None:
    envelope = Envelope.decode(hook.encode())
    assert envelope == Envelope.decode(hook.to_envelope().encode())
    assert IntakeMessage.from_envelope(envelope) == hook


async def test_a_confirmed_event_goes_by_the_broker_alone() -> None:
    bench = Bench()
    assert await bench.keep_safe(HOOK) == "broker"
    assert (bench.broker.sent, bench.spool.records) == ([HOOK.encode()], [])


async def test_what_the_broker_does_not_confirm_is_spooled_and_says_so() -> None:
    bench = Bench()
    bench.broker.fault = Slow("slow")
    assert await bench.keep_safe(HOOK) == "spool"
    assert [record.body for record in bench.spool.records] == [replace(HOOK, lane="spool").encode()]


async def test_after_failures_in_a_row_the_broker_is_left_alone() -> None:
    bench = Bench()
    bench.broker.fault = Slow("slow")
    for _ in range(10):
        assert await bench.keep_safe(HOOK) == "spool"
    assert (bench.broker.tries, bench.breaker.state) == (3, CircuitState.OPEN)


async def test_a_lost_connection_opens_the_circuit_at_once() -> None:
    bench = Bench()
    bench.broker.fault = BrokerGone("gone")
    await bench.keep_safe(HOOK)
    assert bench.breaker.state is CircuitState.OPEN


async def test_with_the_spool_dead_an_open_circuit_still_tries_the_broker() -> None:
    bench = Bench(failures=1)
    bench.broker.fault = Slow("slow")
    await bench.keep_safe(HOOK)
    bench.broker.fault = None
    bench.spool.fault = SpoolUnavailable("full")
    assert await bench.keep_safe(HOOK) == "broker"
    assert not bench.breaker.is_open


async def test_only_with_both_paths_dead_nothing_is_taken() -> None:
    bench = Bench()
    bench.broker.fault = Slow("slow")
    bench.spool.fault = SpoolUnavailable("full")
    with pytest.raises(NoStoragePath):
        await bench.keep_safe(HOOK)


async def test_the_oldest_record_probes_and_the_rest_follows_in_order() -> None:
    bench = Bench(failures=1)
    bench.broker.fault = Slow("slow")
    hooks = [replace(HOOK, delivery_id=str(index)) for index in range(5)]
    for hook in hooks:
        await bench.keep_safe(hook)
    assert await bench.relay.step() is False  # the pause is not over: not even a probe
    assert bench.broker.tries == 1
    bench.now = 2.0
    assert await bench.relay.step() is False  # the probe fails
    assert (bench.broker.tries, bench.breaker.state) == (2, CircuitState.OPEN)
    bench.broker.fault = None
    bench.now = 4.0
    assert await bench.relay.step() is True
    assert (len(bench.broker.sent), bench.breaker.state) == (1, CircuitState.CLOSED)
    assert await bench.relay.step() is True
    assert bench.broker.sent == [replace(hook, lane="spool").encode() for hook in hooks]
    assert bench.spool.records == []


@pytest.mark.parametrize("probed", [True, False])
async def test_a_record_that_cannot_be_relayed_holds_up_no_other_nor_opens_the_circuit(
    probed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, failures = Bench(failures=1), TaskFailures()
    bench.broker.fault = Slow("slow")
    hooks = [replace(HOOK, delivery_id=str(index)) for index in range(5)]
    for hook in hooks:
        await bench.keep_safe(hook)
    bad, *good = [record.body for record in bench.spool.records]
    bench.broker.fault = None
    whole = bench.broker.publish_raw

    async def stumbling(exchange: str, routing_key: str, body: bytes, **more: Any) -> None:
        """Stumble over one record."""
        if body == bad:
            raise KeyError("nobody foresaw this")
        await whole(exchange, routing_key, body, **more)

    monkeypatch.setattr(bench.broker, "publish_raw", stumbling)
    if not probed:
        bench.breaker.succeeded()
    bench.now = 2.0
    with failures.of("spool-relay"):
        for _ in range(3):
            await bench.relay.step()
    assert bench.broker.sent == good
    assert ([record.body for record in bench.spool.records], bench.breaker.state) == ([bad], CircuitState.CLOSED)
    assert failures.apart("spool-relay") == ["spool record 1"]
    monkeypatch.undo()
    failures._failing["spool-relay"].clear()  # its pause is over
    assert await bench.relay.step() is True
    assert (bench.broker.sent, bench.spool.records) == ([*good, bad], [])


async def test_spooled_hooks_follow_in_order_in_batches_where_they_may() -> None:
    bench = Bench(failures=1, together=True)
    bench.broker.fault = Slow("slow")
    kinds = [intake.HOOK_RECEIVED] * 70 + [intake.HOOK_QUARANTINED] + [intake.HOOK_RECEIVED]
    hooks = [replace(HOOK, type=kind, delivery_id=str(index)) for index, kind in enumerate(kinds)]
    for hook in hooks:
        await bench.keep_safe(hook)
    bench.broker.fault = None
    bench.now = 2.0
    assert await bench.relay.step() is True  # the probe, alone
    assert await bench.relay.step() is True
    assert [len(unpack(body)) for body in bench.broker.sent] == [1, 32, 32, 5, 1, 1]
    events = [event for body in bench.broker.sent for event in unpack(body)]
    assert events == [replace(hook, lane="spool").encode() for hook in hooks]
    assert bench.spool.records == []


@pytest.mark.parametrize("fault", [Refused("full"), Unroutable("no queue")], ids=lambda fault: fault.code)
async def test_a_batch_from_the_spool_that_is_refused_goes_hook_by_hook(fault: PublishFailed) -> None:
    bench = Bench(failures=1, together=True)
    bench.broker.fault = Slow("slow")
    hooks = [replace(HOOK, delivery_id=str(index)) for index in range(3)]
    for hook in hooks:
        await bench.keep_safe(hook)
    bench.breaker.succeeded()
    bench.broker.fault, bench.broker.only_batches = fault, True
    assert await bench.relay.step() is True
    assert bench.broker.sent == [replace(hook, lane="spool").encode() for hook in hooks]
    assert bench.spool.records == []


async def test_after_a_batch_from_the_spool_closed_the_channel_the_records_go_one_by_one() -> None:
    bench = Bench(failures=1, together=True)
    bench.broker.fault = Slow("slow")
    hooks = [replace(HOOK, delivery_id=str(index)) for index in range(3)]
    for hook in hooks:
        await bench.keep_safe(hook)
    bench.breaker.succeeded()
    bench.broker.fault, bench.broker.only_batches = ChannelClosed("too large"), True
    assert await bench.relay.step() is False
    assert (bench.broker.sent, len(bench.spool.records)) == ([], 3)
    bench.breaker.succeeded()
    assert await bench.relay.step() is True
    assert bench.broker.sent == [replace(hook, lane="spool").encode() for hook in hooks]


async def test_an_open_circuit_with_an_empty_spool_closes_after_the_pause() -> None:
    bench = Bench(failures=1)
    bench.breaker.failed(0.0)
    bench.now = 0.5
    await bench.relay.step()
    assert bench.breaker.state is CircuitState.OPEN
    bench.now = 1.5
    await bench.relay.step()
    assert not bench.breaker.is_open


async def test_without_a_connection_nothing_is_probed() -> None:
    bench = Bench(failures=1)
    bench.broker.fault = BrokerGone("gone")
    await bench.keep_safe(HOOK)
    bench.broker.connected = False
    bench.now = 5.0
    assert await bench.relay.step() is False
    assert (bench.broker.tries, bench.breaker.state) == (1, CircuitState.OPEN)
