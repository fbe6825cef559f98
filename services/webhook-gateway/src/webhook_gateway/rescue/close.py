"""A person closes an endangered order."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime

from common.http import Change
from common.service import add_act, publish
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.alerts import SEEN_TO
from webhook_gateway.rescue.end_problem import end_problem
from webhook_gateway.rescue.end_report_problems import ended_report_problems
from webhook_gateway.rescue.model import Act, ClosedAs, after
from webhook_gateway.rescue.said import said
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.views import Rescued


async def close(
    change: Change,
    endangered_id: str,
    *,
    store: EndangeredStore,
    outcome: ClosedAs,
    closed: Callable[[ClosedAs], None],
    now: datetime,
) -> Rescued:
    """Say that nothing more is to be done; the incident ends too, that of strangers with the last order of their network and hour.

    ``closed`` is called after the commit. Raises ``NotFound``, ``Conflict`` when it is closed already.
    """
    found = await store.lock(change.connection, endangered_id)
    order = found.order
    state = after(found.state, Act.CLOSE, number=order.number)
    await store.save_closed(change.connection, endangered_id, outcome=outcome, at=now)
    await publish(change, *await ended_report_problems(change.connection, [uuid.UUID(endangered_id)], at=now))
    await end_problem(change, found, SEEN_TO, now=now)
    await add_act(
        change,
        "endangered_order.closed",
        order.number if order.anonymous else found.number,  # a stranger's request is in no order's timeline
        "The endangered order was closed",
        service=SERVICE,
        reason=said(found, change.reason),
        details={"outcome": outcome},
        now=now,
    )
    change.after_commit(lambda: closed(outcome))
    await change.record(
        "endangered_order.close",
        f"endangered:{endangered_id}",
        before={"state": found.state},
        after={"state": state, "outcome": outcome},
    )
    return Rescued(id=endangered_id, state=state, outcome=outcome, dry_run=change.dry_run)
