"""The workflow ``order_document`` (M13): issues an order's document (voucher) at closing, when its content changes, and on demand.

A version is numbered by this workflow alone, under its fence; two versions of one number cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.clock import Clock
from orchestrator.documents.model import CONTENT_TYPE, digest, render
from orchestrator.engine.model import Claim, Document, OrderReader, Outcome, StoredOrder, WorkflowState
from orchestrator.orders.model import Status
from orchestrator.orders.stories import SERVICE
from orchestrator.refunds import stories as life_stories

REISSUE = "document.reissue"


class DocumentReader(Protocol):
    """Reads documents."""

    async def latest(self, numbers: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return version and digest of each order's newest document, where there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Documents:
    """What ``prepare`` read, by order number."""

    orders: Mapping[str, StoredOrder]
    latest: Mapping[str, tuple[int, str]]


class IssueDocument:
    """The handler."""

    def __init__(self, orders: OrderReader, documents: DocumentReader, clock: Clock) -> None:
        self._orders = orders
        self._documents = documents
        self._clock = clock

    async def prepare(self, claims: Sequence[Claim]) -> Documents:
        """Read the orders and their newest documents."""
        numbers = [claim.order_number for claim in claims]
        return Documents(await self._orders.orders(numbers), await self._documents.latest(numbers))

    def run(self, claim: Claim, batch: Documents) -> Outcome:
        """Return the next version, if there is to be one. Each reissue is a version of its own, one a step."""
        demand = next((event for event in claim.events if event.type == REISSUE), None)
        upto = claim.upto if demand is None else demand.seq
        outcome = Outcome(claim=claim, upto=upto, state=WorkflowState.FINISHED)
        stored = batch.orders.get(claim.order_number)
        if stored is None or not stored.state.closed or stored.state.status is Status.CANCELLED:
            return outcome
        version, known = batch.latest.get(claim.order_number, (0, ""))
        content = render(stored.state)
        if demand is None and digest(content) == known:
            return outcome
        told = {} if demand is None else demand.attributes
        document = Document(
            order_number=claim.order_number,
            version=version + 1,
            digest=digest(content),
            content_type=CONTENT_TYPE,
            content=content,
            order_revision=stored.revision,
            issued_at=self._clock.now(),
            issued_by=str(told.get("actor", SERVICE)),
            reason=str(told.get("reason", "the order was closed" if version == 0 else "the order changed")),
        )
        outcome.document = document
        trace = claim.events[-1].traceparent if claim.events else None
        outcome.timeline.append(life_stories.document_issued(document, traceparent=trace))
        return outcome
