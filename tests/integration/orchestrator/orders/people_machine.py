"""The state machine of one order with what people do about it beside the engine: replays, corrections, cancellations, deliveries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from common.clock import SystemClock
from common.errors import Conflict, NotFound
from orchestrator.orders.add_operator_event import Wanted, add_operator_event
from orchestrator.orders.foretell import ForetellLife
from orchestrator.orders.model import HookType
from tests.integration.orchestrator.orders.machine_parts import change_by_machine, payload_of
from tests.integration.orchestrator.orders.order_machine import OrderMachine
from tests.integration.orchestrator.orders.order_reference import (
    KINDS,
    NOTHING,
    WITH_CONTENT,
    Goods,
    Sent,
    Told,
    beside,
    later_goods,
    reference,
    told_beside,
)

_LATER = 10_000
"""Minutes after the start at which people act: after every hook."""


class PeopleMachine(OrderMachine):
    """Hooks that no reader can read come, too."""

    @rule(kind=st.sampled_from(sorted(WITH_CONTENT)), goods=later_goods, minute=st.integers(0, 40))
    def arrives_spoilt(self, kind: str, goods: Goods, minute: int) -> None:
        """A hook comes that cannot be read: it fails alone."""
        while any(hook.minute == minute for hook in self.sent):
            minute += 1
        hook = Sent(kind, minute, goods, spoilt=True)
        self.sent.append(hook)
        self.go(self.take_in(hook, past_the_inbox=False))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), mended=st.booleans(), goods=later_goods, said=told_beside)
    def is_replayed(self, data: st.DataObject, mended: bool, goods: Goods, said: Told) -> None:
        """A person sends a past hook again, word for word or mended: also one that cannot be read, mended."""
        origin = data.draw(st.sampled_from([hook for hook in self.sent if hook.name is None]))
        again = len(self.replays) + 1
        if not mended and not origin.spoilt:
            hook = replace(origin, again=again, origin=origin.identity)
        else:
            if origin.kind == KINDS[0]:
                goods = tuple((name, quantity, price or 1000) for name, quantity, price in goods)
            goods = goods if origin.kind in WITH_CONTENT else ()
            said = beside(origin.kind, said)
            hook = replace(origin, goods=goods, told=said, again=again, origin=None, spoilt=False)
        self.replays[hook.event_id] = origin.event_id
        self.sent.append(hook)
        self.go(self.take_in(hook, past_the_inbox=False))

    @precondition(lambda self: self.state != "none")
    @rule(
        kind=st.sampled_from(["corrected", "cancelled", "delivered"]), goods=st.just(()) | later_goods, said=told_beside
    )
    def is_changed_by_hand(self, kind: str, goods: Goods, said: Told) -> None:
        """An operator corrects, cancels or delivers the order; it is refused exactly where nothing would change."""
        if kind != "corrected":
            goods, said = (), NOTHING
        wanted = Sent(f"order.{kind}", _LATER + len(self.log), goods, said, name="?")
        payload: dict[str, Any] = payload_of(wanted)

        async def act() -> None:
            await self.look()
            waiting = (await self.workflow())["retried_events"]
            quiet = self.state != "stopped" and self.done == len(self.log) and not waiting
            before = reference(await self.effective())
            version = await self.execute("SELECT revision + tips_revision FROM orders WHERE number = $1", self.number)
            try:
                async with self.database.transaction() as connection:
                    answer = await add_operator_event(
                        change_by_machine(connection),
                        self.number,
                        Wanted(hook=HookType(wanted.kind), said=payload, action="order.correct"),
                        expected_version=version or 0,
                        foretell=ForetellLife(SystemClock()),
                        now=datetime.now(UTC),
                    )
            except NotFound:
                assert version is None
            except Conflict:
                assert not quiet or before is None or not _changes(before.status, wanted, await self.effective())
            else:
                done = replace(wanted, name=answer.event_id)
                self.sent.append(done)
                self.log.append(done.event_id)
                self.state = "running" if self.state == "finished" else self.state
                if quiet and before is not None:
                    after = reference(await self.effective())
                    assert after is not None
                    assert (answer.status_before, answer.status_after) == (before.status, after.status)

        self.go(act())

    async def effective(self) -> list[Sent]:
        """The hooks and acts that count by now."""
        return await self.in_effect((await self.workflow())["id"])


def _changes(status: str, wanted: Sent, effective: list[Sent]) -> bool:
    if wanted.kind == "order.corrected":
        return reference([*effective, wanted]) != reference(effective)
    return status not in ({"cancelled"} if wanted.kind == "order.cancelled" else {"cancelled", "delivered"})
