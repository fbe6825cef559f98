"""The workflow ``order_document``: issues an order's document (voucher) when it is closed, when its content changes, and on demand.

A version is numbered by this workflow alone, under its fence; two versions of one number cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.clock import Clock
from common.postgres import Connection
from orchestrator.documents.model import CONTENT_TYPE, Document, digest, render
from orchestrator.documents.store import DocumentStore, write_documents
from orchestrator.engine.model import (
    SERVICE,
    Claim,
    Encoded,
    Outcome,
    TimelineEntry,
    WorkflowState,
    effects_of,
    timeline_entry,
)
from orchestrator.orders.model import Status
from orchestrator.orders.store import OrderStore, StoredOrder

REISSUE = "document.reissue"


@dataclass(frozen=True, slots=True)
class DocumentBatch:
    """What ``prepare`` read, by order number: orders, and version and digest of their newest documents."""

    orders: Mapping[str, StoredOrder]
    latest: Mapping[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class IssueDocument:
    """The handler."""

    orders: OrderStore
    documents: DocumentStore
    clock: Clock

    async def prepare(self, claims: Sequence[Claim]) -> DocumentBatch:
        """Read the orders and their newest documents."""
        numbers = [claim.order_number for claim in claims]
        return DocumentBatch(await self.orders.orders(numbers), await self.documents.latest(numbers))

    def run(self, claim: Claim, batch: DocumentBatch) -> Outcome:
        """Return the next version, if there is to be one. Each reissue is a version of its own, one per step."""
        demand = next((event for event in claim.events if event.type == REISSUE), None)
        upto = claim.upto if demand is None else demand.seq
        nothing = Outcome(claim=claim, upto=upto, state=WorkflowState.FINISHED)
        stored = batch.orders.get(claim.order_number)
        if stored is None or not stored.state.closed or stored.state.status is Status.CANCELLED:
            return nothing
        version, known = batch.latest.get(claim.order_number, (0, ""))
        content = render(stored.state)
        if demand is None and digest(content) == known:
            return nothing
        asked = {} if demand is None else demand.attributes
        document = Document(
            order_number=claim.order_number,
            version=version + 1,
            digest=digest(content),
            content_type=CONTENT_TYPE,
            content=content,
            order_revision=stored.revision,
            issued_at=self.clock.now(),
            issued_by=str(asked.get("actor", SERVICE)),
            reason=str(asked.get("reason", "the order was closed" if version == 0 else "the order changed")),
        )
        return Outcome(
            claim=claim,
            upto=upto,
            state=WorkflowState.FINISHED,
            effect=document,
            timeline=[_entry(document, claim.traceparent)],
        )

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Write the new versions."""
        await write_documents(connection, [effect for _, effect in effects_of(outcomes, Document)])
        return []


def _entry(document: Document, traceparent: str | None) -> TimelineEntry:
    return timeline_entry(
        document.order_number,
        "document.issued" if document.version == 1 else "document.reissued",
        f"Version {document.version} of the order's document was issued",
        now=document.issued_at,
        traceparent=traceparent,
        actor=document.issued_by,
        details={"version": str(document.version), "digest": document.digest, "reason": document.reason},
    )
