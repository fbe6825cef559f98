"""The three queues of the notifier, each taken in by the same use case."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from common.contracts import Envelope
from common.messaging import Handler
from common.messaging.topology import NOTIFIER_ALERTS, NOTIFIER_ORDERS, NOTIFIER_REFUNDS
from common.postgres import Connection
from notifier.delivery.notices import Ledger
from notifier.inputs.events import TakeIn

QUEUES = (NOTIFIER_ORDERS, NOTIFIER_REFUNDS, NOTIFIER_ALERTS)


def intake_handler(take_in: TakeIn, *, ledger_on: Callable[[Connection], Ledger]) -> Handler:
    """Return the handler of every queue: events become notices in the transaction of the inbox."""

    async def handle(connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """Take a batch in."""
        await take_in(ledger_on(connection), envelopes)

    return handle
