"""The table ``payments``."""

from __future__ import annotations

from datetime import datetime

from common.postgres import Connection, Record
from refunds.payments.model import Payment
from refunds.providers.gateway import Impossible
from refunds.providers.model import PaymentInfo

_COLUMNS = "payment_id, gateway, captured, currency, reserved, captured_at"
_ENSURE = "INSERT INTO payments (payment_id, gateway) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_FIND = f"SELECT {_COLUMNS} FROM payments WHERE payment_id = $1"  # noqa: S608 - a constant is put in
_LOCK = f"SELECT {_COLUMNS} FROM payments WHERE payment_id = $1 FOR NO KEY UPDATE"  # noqa: S608 - as above
_CAPTURED = f"""
UPDATE payments SET captured = $2, currency = $3, captured_at = $4 WHERE payment_id = $1
RETURNING {_COLUMNS}
"""  # noqa: S608 - as above


class PaymentStore:
    """Payments, inside one transaction. A payment is locked before its refunds, always."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ensure(self, payment_id: str, *, gateway: str) -> None:
        """Insert the payment if it is not known; one that is known stays at its gateway."""
        await self._connection.execute(_ENSURE, payment_id, gateway)

    async def find(self, payment_id: str) -> Payment | None:
        """Return a payment as it is, None for one that no refund was asked of."""
        row = await self._connection.fetchrow(_FIND, payment_id)
        return None if row is None else _payment(row)

    async def lock(self, payment_id: str) -> Payment:
        """Return a known payment, locked until the transaction ends."""
        return _payment(await self._connection.fetchrow(_LOCK, payment_id))

    async def save_captured(self, payment_id: str, info: PaymentInfo, *, now: datetime) -> Payment:
        """Store what the gateway says was captured. The payment must be locked."""
        return _payment(await self._connection.fetchrow(_CAPTURED, payment_id, info.captured, info.currency, now))


def _payment(row: Record | None) -> Payment:
    if row is None:
        raise Impossible("a refund's payment is not there")
    return Payment(**row)
