"""Fills in whom orders are for that an earlier release has written: it read no customer, but kept what the hooks said.

Nothing of it is news: nobody is told, and the order's version stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.postgres import Connection
from common.telemetry import get_logger
from orchestrator.engine.model import ORDER_LIFE, WorkflowEvent
from orchestrator.engine.store import event_of
from orchestrator.orders.contacts import contacts_of, write_contacts
from orchestrator.orders.fold import Step, fold
from orchestrator.orders.hooks import read_facts
from orchestrator.orders.model import OrderFact, OrderState, evolve
from orchestrator.orders.store import decode_state, encode_state

_log = get_logger()

LACKING = "o.document ? 'positions' AND NOT o.document ? 'customer'"
"""Of the row ``o`` of an order: an earlier release has written it, and read no customer."""

# As everybody locks: the workflow before its order. One whose worker is at it has its turn another time.
_LOCK = f"""
SELECT w.id, w.order_number, w.done_seq FROM workflow AS w
WHERE w.order_number = ANY($1::text[]) AND w.kind = $2 AND w.key = '' AND w.pruned_seq = 0
  AND EXISTS (SELECT FROM orders AS o WHERE o.number = w.order_number AND {LACKING})
ORDER BY w.order_number FOR NO KEY UPDATE OF w SKIP LOCKED
"""  # noqa: S608 - a constant
TAKE_BACK = """
WITH held AS (
    SELECT workflow_id FROM workflow_ready WHERE workflow_id = ANY($1::bigint[]) AND owner IS NOT NULL ORDER BY workflow_id FOR UPDATE
)
UPDATE workflow_ready AS q SET owner = NULL, lease_until = NULL, fence = nextval('workflow_fence'), ready_at = now()
  FROM held WHERE q.workflow_id = held.workflow_id
"""
"""A claim in flight has read the order as it was: it loses its fence, its result will be refused, and the workflow is carried out anew."""
_DOCUMENT = f"SELECT document FROM orders AS o WHERE number = $1 AND {LACKING} FOR NO KEY UPDATE"  # noqa: S608 - a constant
_EVENTS = """
SELECT e.* FROM workflow_event AS e
WHERE e.workflow_id = $1 AND e.seq <= $2 AND NOT EXISTS (
    SELECT FROM set_aside_event AS a WHERE a.workflow_id = e.workflow_id AND a.seq = e.seq)
ORDER BY e.seq
"""
_FILL = "UPDATE orders SET document = $2 WHERE number = $1"


async def fill_in(connection: Connection, numbers: Sequence[str]) -> int:
    """Fill in customer, address and time of delivery of those of these orders that lack them, and what they are found by.

    In the caller's transaction, which holds no lock of these orders yet. Returns how many were filled in; those whose events are no
    longer kept stay as they are. Safe to run in every replica at once.
    """
    workflows = await connection.fetch(_LOCK, numbers, ORDER_LIFE)
    if workflows:
        await connection.execute(TAKE_BACK, [row["id"] for row in workflows])
    filled = 0
    for row in workflows:
        number = row["order_number"]
        document = await connection.fetchval(_DOCUMENT, number)
        if document is None:
            continue
        events = [event_of(each) for each in await connection.fetch(_EVENTS, row["id"], row["done_seq"])]
        state = decode_state(document)
        steps = _steps(number, events, state)
        await connection.execute(_FILL, number, encode_state(_filled(state, steps)))
        await write_contacts(connection, contacts_of(number, steps))
        filled += 1
    if filled:
        _log.info("customers_filled_in", orders=filled)
    return filled


def _steps(number: str, events: Sequence[WorkflowEvent], state: OrderState) -> list[Step]:
    facts = [fact for fact in read_facts(events, state.currency) if isinstance(fact, OrderFact)]
    return fold(number, facts)


def _filled(state: OrderState, steps: Sequence[Step]) -> OrderState:
    """The state with what an earlier release did not know; of positions only what follows from each other, which it did not note."""
    after = steps[-1].after if steps else None
    if after is None:
        return state
    return evolve(
        state,
        customer=after.customer,
        address=after.address,
        delivery_window=after.delivery_window,
        lines=after.lines if after.lines == state.lines else state.lines,
    )
