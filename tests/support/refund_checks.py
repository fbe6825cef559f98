"""What must be so of refunds that people closed, at the end of a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from refunds.refunds.states import RefundState as S
from tests.support.refund_world import World


async def check_closed(world: World, payments: Sequence[str], differences: Mapping[str, str]) -> None:
    """What people closed and the gateway paid after all is told, and nothing else differs; sums count once, and stay.

    ``differences`` are those of a reconciliation of everything: kind by subject.
    """
    rows = await world.fetch("SELECT * FROM refunds WHERE payment_id = ANY($1)", payments)
    paid = [row for row in rows if row["settled"] is not None and row["state"] in {S.SUCCESS, S.PENDING}]
    assert dict(differences) == {str(row["id"]): "paid_after_all" for row in paid}
    for row in paid:
        told = [name for name in world.problems if name.startswith("refund-difference:") and str(row["id"]) in name]
        assert len(told) == 1, "paid after all is told"
    for payment in await world.fetch("SELECT * FROM payments WHERE payment_id = ANY($1)", payments):
        own = [row for row in rows if row["payment_id"] == payment["payment_id"]]
        held = sum(row["reserved"] for row in own)
        assert payment["reserved"] == held <= (payment["captured"] or 0), "the payment holds what its refunds hold"
        for row in own:
            if row["state"] == S.CLOSED and row["settled"] == "outside":
                left = (payment["captured"] or 0) - held
                assert row["reserved"] == row["amount"] or left == 0, "settled outside counts as spent"
