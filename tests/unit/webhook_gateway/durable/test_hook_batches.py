"""Which hooks travel together, and what becomes of each when its message is not confirmed."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from common.contracts.batch import MOST_BYTES, MOST_EVENTS, unpack
from common.contracts.intake import HOOK_RECEIVED
from common.messaging.publisher import (
    BrokerAway,
    ChannelClosed,
    Publisher,
    PublishFailed,
    PublishTimeout,
    Refused,
    Unroutable,
)
from tests.support.servers import eventually
from webhook_gateway.durable.batches import HookBatches
from webhook_gateway.durable.metrics import DurabilityMetrics


class HeldPublisher(Publisher):
    """Keeps what is published, unconfirmed, until the test decides about it."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, int]] = []
        self.undecided: list[asyncio.Future[None]] = []

    async def publish_raw(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        deadline: float = 15.0,
        events: int = 1,
    ) -> None:
        assert (exchange, routing_key) == ("intake", HOOK_RECEIVED)
        self.messages.append((body, events))
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.undecided.append(confirmed)
        try:
            await asyncio.wait_for(confirmed, deadline)
        except TimeoutError:
            raise PublishTimeout("late") from None

    @property
    def held(self) -> list[list[bytes]]:
        """The hooks of each message."""
        return [unpack(body) for body, _ in self.messages]

    async def decide(self, failure: Exception | None = None) -> None:
        """Confirm or refuse the oldest message, and let everybody act on it."""
        confirmed = self.undecided.pop(0)
        if failure is None:
            confirmed.set_result(None)
        else:
            confirmed.set_exception(failure)
        await turns()


class Stand:
    """Hooks that are published, and how each ended."""

    def __init__(self) -> None:
        self.broker = HeldPublisher()
        self.registry = CollectorRegistry()
        self.batches = HookBatches(self.broker, metrics=DurabilityMetrics(self.registry, spool_oldest_allowed=86400))
        self.ends: dict[bytes, str] = {}

    async def arrive(self, *bodies: bytes, deadline: float = 60.0) -> list[asyncio.Task[None]]:
        """Let hooks arrive in one turn of the loop."""
        tasks = [asyncio.create_task(self._publish(body, deadline)) for body in bodies]
        await turns()
        return tasks

    async def _publish(self, body: bytes, deadline: float) -> None:
        try:
            await self.batches.publish(body, deadline=deadline)
        except PublishFailed as failure:
            self.ends[body] = failure.code
        else:
            self.ends[body] = "confirmed"


async def turns() -> None:
    """Let the loop come round often enough for everything that is ready."""
    for _ in range(12):
        await asyncio.sleep(0)


def hooks(first: int, last: int) -> list[bytes]:
    """Bodies of hooks with these numbers."""
    return [b'{"n":%d}' % number for number in range(first, last)]


async def test_a_hook_alone_goes_at_once_and_as_a_single_event() -> None:
    stand = Stand()
    for number in range(3):
        (body,) = hooks(number, number + 1)
        await stand.arrive(body)
        assert stand.broker.messages[-1] == (body, 1)
        await stand.broker.decide()
    assert set(stand.ends.values()) == {"confirmed"}
    assert stand.registry.get_sample_value("gateway_message_hooks_count") == 3.0


async def test_what_arrives_while_two_messages_are_unconfirmed_goes_as_one_with_the_next() -> None:
    stand = Stand()
    await stand.arrive(*hooks(0, 1))
    await stand.arrive(*hooks(1, 4))
    await stand.arrive(*hooks(4, 6))
    await stand.arrive(*hooks(6, 9))
    assert stand.broker.held == [hooks(0, 1), hooks(1, 4)]
    assert stand.ends == {}
    await stand.broker.decide()
    assert stand.broker.held[2:] == [hooks(4, 9)]
    assert stand.broker.messages[2][1] == 5
    assert stand.ends == dict.fromkeys(hooks(0, 1), "confirmed")
    await stand.broker.decide()
    assert stand.ends == dict.fromkeys(hooks(0, 4), "confirmed")
    await stand.broker.decide()
    assert stand.ends == dict.fromkeys(hooks(0, 9), "confirmed")
    await stand.arrive(*hooks(9, 10))  # nothing is in flight any more
    assert stand.broker.messages[3] == (*hooks(9, 10), 1)


async def test_a_batch_is_bounded_in_hooks_and_bytes_and_large_hooks_go_alone_at_once() -> None:
    stand = Stand()
    await stand.arrive(b"0", b"1")
    many, wide, large = (
        [b"%d" % n for n in range(100, 145)],
        [b'"%s%d"' % (b"w" * 30_000, n) for n in range(5)],
        b"2" * 40_000,
    )
    await stand.arrive(*many, *wide, large)
    assert stand.broker.held == [[b"0"], [b"1"], [large]]
    await stand.broker.decide()
    await stand.broker.decide()
    assert [len(held) for held in stand.broker.held[3:]] == [MOST_EVENTS, len(many) - MOST_EVENTS + 4]
    while stand.broker.undecided:
        await stand.broker.decide()
    assert sorted(body for held in stand.broker.held for body in held) == sorted([b"0", b"1", *many, *wide, large])
    assert max(sum(map(len, together)) for together in stand.broker.held) <= MOST_BYTES
    assert set(stand.ends.values()) == {"confirmed"}
    assert len(stand.ends) == len(many) + len(wide) + 3


@pytest.mark.parametrize("failure", [Refused("full"), Unroutable("no queue")], ids=lambda failure: failure.code)
async def test_a_batch_that_is_refused_or_returned_is_tried_hook_by_hook(failure: PublishFailed) -> None:
    stand = Stand()
    await stand.arrive(*hooks(0, 4))
    await stand.broker.decide()
    assert stand.broker.held == [hooks(0, 1), hooks(1, 4)]
    await stand.broker.decide(failure)
    assert stand.broker.held[2:] == [[body] for body in hooks(1, 4)]
    await stand.broker.decide()
    await stand.broker.decide(type(failure)("this one"))
    await stand.broker.decide()
    told = [stand.ends[body] for body in hooks(0, 4)]
    assert told == ["confirmed", "confirmed", failure.code, "confirmed"]


async def test_a_hook_alone_in_its_message_that_is_refused_is_not_tried_twice() -> None:
    stand = Stand()
    await stand.arrive(*hooks(0, 2))
    await stand.broker.decide(Refused("full"))
    await stand.broker.decide(Refused("full"))
    assert (len(stand.broker.messages), stand.ends) == (2, dict.fromkeys(hooks(0, 2), "publish_refused"))


async def test_when_the_broker_is_lost_every_hook_of_the_batch_learns_it() -> None:
    stand = Stand()
    await stand.arrive(*hooks(0, 1))
    await stand.arrive(*hooks(1, 5))
    await stand.arrive(*hooks(5, 7))
    await stand.broker.decide(BrokerAway("lost"))
    await stand.broker.decide(BrokerAway("lost"))
    assert stand.ends == dict.fromkeys(hooks(0, 5), "broker_away")
    await stand.broker.decide()
    assert [stand.ends[body] for body in hooks(5, 7)] == ["confirmed"] * 2


async def test_after_a_batch_closed_the_channel_hooks_travel_alone_for_a_while() -> None:
    stand = Stand()
    await stand.arrive(*hooks(0, 1))
    await stand.arrive(*hooks(1, 4))
    await stand.broker.decide()
    await stand.broker.decide(ChannelClosed("too large"))
    assert [stand.ends[body] for body in hooks(1, 4)] == ["broker_away"] * 3
    await stand.arrive(*hooks(4, 8))
    assert stand.broker.held[2:] == [[body] for body in hooks(4, 8)]


async def test_a_caller_that_gives_up_takes_back_its_own_hook_and_no_other() -> None:
    stand = Stand()
    await stand.arrive(*hooks(0, 1))
    sent = await stand.arrive(*hooks(1, 4))
    waiting = await stand.arrive(*hooks(4, 7))
    sent[0].cancel()
    waiting[1].cancel()
    await turns()
    await stand.broker.decide()
    assert stand.broker.held == [hooks(0, 1), hooks(1, 4), [*hooks(4, 5), *hooks(6, 7)]]
    await stand.broker.decide()
    await stand.broker.decide()
    assert stand.ends == dict.fromkeys([*hooks(0, 1), *hooks(2, 5), *hooks(6, 7)], "confirmed")


async def test_a_caller_that_gives_up_alone_makes_room_for_the_next() -> None:
    stand = Stand()
    (first,) = await stand.arrive(*hooks(0, 1))
    await stand.arrive(*hooks(1, 2))
    await stand.arrive(*hooks(2, 4))
    first.cancel()
    await turns()
    assert stand.broker.held == [hooks(0, 1), hooks(1, 2), hooks(2, 4)]


async def test_a_broker_that_hangs_costs_each_hook_its_own_deadline_and_frees_the_way() -> None:
    stand = Stand()
    tasks = [
        *await stand.arrive(*hooks(0, 1), deadline=0.02),
        *await stand.arrive(*hooks(1, 4), deadline=0.02),
        *await stand.arrive(*hooks(4, 7), deadline=0.02),
    ]
    await asyncio.gather(*tasks)
    assert stand.ends == dict.fromkeys(hooks(0, 7), "publish_timeout")
    await stand.arrive(*hooks(7, 8))

    async def on_its_way() -> bool:
        return stand.broker.held[-1] == hooks(7, 8)

    await eventually(on_its_way, what="the next hook on its way")


async def test_many_at_once_are_cut_into_batches_and_each_is_told_its_own_end() -> None:
    stand = Stand()
    bodies = [*hooks(0, 40), b"2" * 40_000, *hooks(40, 43)]
    ends = asyncio.create_task(stand.batches.publish_all(bodies, deadline=60))
    await turns()
    assert stand.broker.held == [hooks(0, 32), hooks(32, 40), [b"2" * 40_000], hooks(40, 43)]
    await stand.broker.decide()
    await stand.broker.decide(PublishTimeout("late"))
    await stand.broker.decide()
    await stand.broker.decide(Refused("full"))
    assert stand.broker.held[4:] == [[body] for body in hooks(40, 43)]
    for failure in (None, Refused("this one"), None):
        await stand.broker.decide(failure)
    told = [None if end is None else getattr(end, "code", "") for end in await ends]
    assert told == [None] * 32 + ["publish_timeout"] * 8 + [None] * 2 + ["publish_refused"] + [None]


async def test_a_fault_in_a_batch_is_told_to_the_hook_that_has_it_and_to_no_other() -> None:
    stand = Stand()
    await stand.arrive(*hooks(0, 1))
    others = await stand.arrive(*hooks(1, 4))
    ends = asyncio.create_task(stand.batches.publish_all(hooks(4, 7), deadline=60))
    await turns()
    await stand.broker.decide()
    for _ in range(2):  # what waits and what many are given as, each as one message
        await stand.broker.decide(RecursionError())
    assert stand.broker.held[3:] == [[body] for body in hooks(1, 7)]
    for _ in range(2):
        for fault in (None, RecursionError(), None):
            await stand.broker.decide(fault)
    assert [type(end) for end in await asyncio.gather(*others, return_exceptions=True)] == [
        type(None),
        RecursionError,
        type(None),
    ]
    assert [type(end) for end in await ends] == [type(None), RecursionError, type(None)]
