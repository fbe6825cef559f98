"""What the entry points need of the adapters; the composition root hands it to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from common.contracts.refunds import RefundStateChangedV1
from common.postgres import Connection, Record
from orchestrator.engine.model import NewEvent, RefundWish, TimelineEntry


class OrderLookup(Protocol):
    """Finds one order."""

    async def order(self, number: str) -> Record | None:
        """Return the order's row, or None."""
        ...


class Lookups(Protocol):
    """Everything that operators look up. Lists hold one row more than ``limit`` when there is more."""

    async def orders(
        self,
        *,
        status: str | None,
        aggregate_state: str | None,
        source: str | None,
        store_id: str | None,
        external_id: str | None,
        since: datetime | None,
        until: datetime | None,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> list[Record]:
        """Return orders, the newest first."""
        ...

    async def timeline(self, number: str, *, after: tuple[Any, ...] | None, limit: int) -> list[Record] | None:
        """Return what happened to an order, the oldest first; None when nothing is known of it."""
        ...

    async def stock_movements(
        self, *, store_id: str | None, number: str | None, after: int | None, limit: int
    ) -> list[Record]:
        """Return stock movements, the oldest first."""
        ...

    async def workflows(
        self, *, state: int | None, number: str | None, kind: str | None, before: int | None, limit: int
    ) -> list[Record]:
        """Return workflows, the newest first."""
        ...

    async def workflow_events(
        self, workflow_id: int | None, *, state: int | None, after: tuple[int, int] | None, limit: int
    ) -> list[Record]:
        """Return events by workflow and sequence. Without a workflow only ``state`` new (1) and failed (3) are found."""
        ...

    async def flags(self) -> list[Record]:
        """Return all flags."""
        ...

    async def flag(self, name: str) -> Record | None:
        """Return one flag."""
        ...


class Operations(Protocol):
    """What operators do, each in the caller's transaction. All raise ``NotFound``, and ``Conflict`` in the wrong state."""

    async def stop_workflow(self, connection: Connection, workflow_id: int) -> tuple[Record, Record]:
        """Stop; return the workflow before and after."""
        ...

    async def resume_workflow(self, connection: Connection, workflow_id: int) -> tuple[Record, Record]:
        """Resume a stopped one; return it before and after."""
        ...

    async def retry_workflow(self, connection: Connection, workflow_id: int) -> tuple[Record, Record]:
        """Retry a crashed one; return it before and after."""
        ...

    async def recalculate_order(self, connection: Connection, number: str) -> tuple[str, str]:
        """Derive an order's aggregate state again; return it before and after."""
        ...

    async def set_flag(
        self,
        connection: Connection,
        name: str,
        *,
        enabled: bool,
        share: int | None,
        expected_version: int | None,
        actor: str,
    ) -> tuple[Record, Record]:
        """Set a flag; return it before and after."""
        ...


class BulkOperations(Protocol):
    """What operators do to many, and to past events, each in the caller's transaction."""

    async def matching_workflows(
        self,
        connection: Connection,
        *,
        states: Sequence[int],
        kind: str | None,
        order_numbers: Sequence[str] | None,
        source: str | None,
        store_id: str | None,
        created_after: datetime | None,
        created_before: datetime | None,
        limit: int,
    ) -> list[int]:
        """Return ids of workflows that are not finished, the oldest first."""
        ...

    async def stop_workflows(
        self, connection: Connection, ids: Sequence[int]
    ) -> list[tuple[int, Record | None, Record | None]]:
        """Stop those that can be stopped; return each with its row before and after, None: unknown, left alone."""
        ...

    async def reprocess_event(
        self, connection: Connection, workflow_id: int, seq: int, *, actor: str, reason: str, traceparent: str | None
    ) -> tuple[Record, Record, Record, Record]:
        """Append a copy of a past event; return it, the copy, the workflow before and after. ``NotFound``, ``Conflict``."""
        ...

    async def recalculate_orders(
        self, connection: Connection, numbers: Sequence[str]
    ) -> list[tuple[str, str | None, str | None]]:
        """Derive aggregate states again; return each before and after."""
        ...

    async def differences(self, connection: Connection, *, limit: int) -> tuple[int, int, list[tuple[str, str, str]]]:
        """Return how many orders there are, how many differ from what is derived, and the first of those."""
        ...

    async def ask_for_all(self, connection: Connection) -> int:
        """Ask for all orders to be derived again; return how many."""
        ...


class Intake(Protocol):
    """Takes in what other services send, in the caller's transaction."""

    async def ingest(self, connection: Connection, events: Sequence[NewEvent]) -> None:
        """Append events to their workflows."""
        ...

    async def tell(self, connection: Connection, entries: Sequence[TimelineEntry]) -> None:
        """Add lines to timelines."""
        ...

    async def tell_followers(self, connection: Connection, events: Sequence[NewEvent]) -> None:
        """Append events to workflows that follow refunds; what nobody follows is left out."""
        ...

    async def store_refunds(self, connection: Connection, messages: Sequence[RefundStateChangedV1]) -> list[str]:
        """Keep the newest state of each refund; return the orders that are refunded in full from now on."""
        ...

    async def zero_refunded(self, connection: Connection, number: str) -> None:
        """Set the tips of an order that was refunded in full to zero for good (M17)."""
        ...


class Money(Protocol):
    """What is done about an order's money and document, each in the caller's transaction. All raise ``NotFound``."""

    async def feedback_changed(
        self, connection: Connection, number: str, *, now: datetime, traceparent: str | None
    ) -> bool:
        """Begin another run of ``update_transactions``; return whether one began."""
        ...

    async def zero_tips(
        self, connection: Connection, number: str, reason: str, *, actor: str, now: datetime, traceparent: str | None
    ) -> bool:
        """Set tips to zero for good; return whether this call did."""
        ...

    async def refund(
        self,
        connection: Connection,
        number: str,
        *,
        amount: int | None,
        positions: Mapping[str, Decimal],
        business_key: str,
        reason: str,
        actor: str,
        expected_version: int | None,
        now: datetime,
        traceparent: str | None,
    ) -> RefundWish:
        """Ask for a refund, once for a business key. Raises ``Conflict``, ``Unprocessable``."""
        ...

    async def reissue_document(
        self,
        connection: Connection,
        number: str,
        *,
        reason: str,
        actor: str,
        expected_version: int | None,
        now: datetime,
        traceparent: str | None,
    ) -> int:
        """Have the document issued again; return its present version. Raises ``Conflict``."""
        ...


class LifeLookups(Protocol):
    """What operators look up about an order's money and document."""

    async def document(self, number: str, version: int | None) -> Record | None:
        """Return one version, the newest if none is named."""
        ...

    async def document_versions(self, number: str, *, before: int | None, limit: int) -> list[Record] | None:
        """Return versions, the newest first, one row more than ``limit`` when there is more; None without such an order."""
        ...

    async def refund_requests(self, number: str) -> list[Record] | None:
        """Return the refunds that were asked for; None without such an order."""
        ...

    async def transactions(self, number: str) -> Record | None:
        """Return what ``update_transactions`` worked out last."""
        ...
