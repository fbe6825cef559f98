"""What people are told of a hook that a person sends on, before it is sent: what is raised and ended here, and what may follow.

Here the recorder itself is asked. What an order's event does is decided by the orchestrator, which knows the order.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.contracts.notices import NOTHING, ON_CALL, ORDERS_PEOPLE, notice, notices_of
from common.contracts.orders import OrderCancelledV1, OrderChangedV1, OrderCorrectedV1, OrderCreatedV1, OrderPaidV1
from common.messaging import topology
from common.postgres import Connection, is_retryable, undone
from webhook_gateway.deliveries.record import RecordDeliveries
from webhook_gateway.hooks.model import ORDER_CANCELLED, ORDER_CHANGED, ORDER_CREATED, ORDER_PAID

_TOLD = {ORDER_CHANGED: OrderChangedV1.TYPE, ORDER_PAID: OrderPaidV1.TYPE, ORDER_CANCELLED: OrderCancelledV1.TYPE}
_FIRST = (OrderCreatedV1.TYPE, *_TOLD.values())  # what came before an order's creation takes effect with it


class ForetellHook:
    """Says what follows from a hook."""

    def __init__(self, record: RecordDeliveries) -> None:
        self._record = record

    async def __call__(self, connection: Connection, hook: IntakeMessage) -> Sequence[str]:
        """Return the notices of a hook of one of the six kinds, in the transaction that is to send it."""
        if hook.event == ORDER_CREATED:
            events: tuple[str, ...] = _FIRST
        else:
            events = (*(told for event, told in _TOLD.items() if event == hook.event), OrderCorrectedV1.TYPE)
        return [
            *await self._recorded(connection, hook),
            notice(*events, NOTHING, of=hook.number, to=ORDERS_PEOPLE),
            notice(ProblemRaisedV1.TYPE, NOTHING, of=hook.number, to=ON_CALL),
        ]

    async def of_letter(self, connection: Connection, queue: str, event: Envelope) -> Sequence[str]:
        """Return the notices of an event that goes to one of the gateway's queues again; of an order that has arrived nobody is told."""
        if queue != topology.RECORDER.name:
            return ()
        try:
            return await self._recorded(connection, IntakeMessage.from_envelope(event))
        except Exception as error:
            if is_retryable(error):
                raise
            return ()  # it dies again

    async def _recorded(self, connection: Connection, hook: IntakeMessage) -> Sequence[str]:
        async with undone(connection):
            events = await self._record.keep(connection, [hook])
        return notices_of([(event.type, event.encode()) for event in events])
