"""An operator restarts many refunds that are in RS_ERROR, by ids or by a filter, with a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from common.errors import Conflict, NotFound, SuiteError
from common.http import (
    Answer,
    Bulk,
    BulkAnswer,
    BulkChange,
    BulkDone,
    BulkFilter,
    BulkItem,
    Change,
    Changes,
    Request,
    UuidText,
)
from common.postgres import Connection
from refunds.refunds.errors import VersionMismatch
from refunds.refunds.evidence import Evidence
from refunds.refunds.queries import lock_versions, select_refunds
from refunds.refunds.restart import RestartRefund
from refunds.refunds.states import RefundState
from refunds.refunds.views import RefundView, state_named, view

_AT_ONCE = 8
MOST = 100
"""How many at a time: the payment system is asked about each."""


def _state(name: str) -> str:
    if state_named(name) is None:
        raise ValueError("there is no such state")
    return name


StateName = Annotated[
    str, Field(max_length=16, description="number or name: `7`, `ERROR`, `RS_ERROR`"), AfterValidator(_state)
]
OrderNumber = Annotated[str, Field(min_length=1, max_length=64, description="the order's number")]
PaymentId = Annotated[str, Field(min_length=1, max_length=128, description="the payment's id at its payment system")]
ErrorCode = Annotated[str, Field(min_length=1, max_length=64, description="`gateway_silent`, `declined`, …")]


class RefundFilter(BulkFilter):
    """Which refunds; all that is given has to hold. Without `state` those in RS_ERROR, which alone can be restarted."""

    state: StateName | None = None
    order: OrderNumber | None = None
    error: ErrorCode | None = None
    payment: PaymentId | None = None


class RestartRefunds(BulkChange[UuidText, RefundFilter]):
    """Which refunds: by ids or by a filter, the oldest first. `order` and `error` are short for a filter that names them."""

    ids: list[UuidText] | None = Field(default=None, min_length=1, max_length=MOST)
    limit: int = Field(default=MOST, ge=1, le=MOST, description="at most so many of those that match the filter")
    order: OrderNumber | None = None
    error: ErrorCode | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        short = self.order is not None or self.error is not None
        given = short + (self.ids is not None) + (self.filter is not None)
        if given != 1 and not (given == 0 and self.plan is not None):
            raise ValueError("say which, in one way: ids, a filter, or an order or an error")
        if short:
            self.filter = RefundFilter(order=self.order, error=self.error)
            self.order = self.error = None
        return self


class RestartedRefund(BulkItem):
    """What became of one: `restarted`, `adopted_pending` or `adopted_success`; and the refund as it is then, in a preview as it is now."""

    refund: RefundView | None = None


class RefundsRestarted(BulkAnswer):
    """What became of each."""

    items: list[RestartedRefund]  # type: ignore[assignment]  # narrower than the base's, and only ever read


class RestartMany:
    """Asks the payment systems about each outside any transaction, then restarts all in one change, item by item."""

    def __init__(self, changes: Changes, restart: RestartRefund) -> None:
        self._changes = changes
        self._restart = restart

    async def __call__(self, request: Request[RestartRefunds, None]) -> Answer:
        """Carry it out; each as in the restart of one. What was chosen after the payment systems were asked is refused."""
        bulk = self._bulk({})
        found = await self._ask(await bulk.chosen(self._changes.database, request.body), dry_run=request.body.dry_run)
        return await self._bulk(found).carry_out(self._changes, request)

    def _bulk(self, found: Mapping[str, Evidence | SuiteError | None]) -> Bulk[str]:
        work = partial(self._restart_one, found=found)
        return Bulk(operation="refund.restart", find=_find, lock=lock_versions, work=work, answer=RefundsRestarted)

    async def _ask(self, refund_ids: Sequence[str], *, dry_run: bool) -> dict[str, Evidence | SuiteError | None]:
        """What the payment systems say of each, or why it cannot be restarted."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def ask_about(refund_id: str) -> Evidence | SuiteError | None:
            async with room:
                try:
                    return await self._restart.ask(refund_id, expected_version=None, dry_run=dry_run)
                except (Conflict, NotFound) as error:
                    return error

        return dict(zip(refund_ids, await asyncio.gather(*map(ask_about, refund_ids)), strict=True))

    async def _restart_one(
        self, change: Change, refund_id: str, *, found: Mapping[str, Evidence | SuiteError | None]
    ) -> BulkDone:
        if refund_id not in found:
            raise VersionMismatch(f"refund {refund_id} came into RS_ERROR only now: try again")
        evidence = found[refund_id]
        if isinstance(evidence, SuiteError):
            raise evidence
        version = None if evidence is None else evidence.version
        done = await self._restart.carry_out(change, refund_id, expected_version=version, evidence=evidence)
        shown = view(done.after)
        return BulkDone(outcome=done.outcome, extra={"refund": shown.model_dump(mode="json")})


async def _find(connection: Connection, wanted: RefundFilter, among: Sequence[str] | None, limit: int) -> Sequence[str]:
    state = RefundState.ERROR if wanted.state is None else state_named(wanted.state)
    statement, values = select_refunds(
        state=state,
        order=wanted.order,
        error=wanted.error,
        payment=wanted.payment,
        among=None if among is None else [*map(UUID, among)],
        limit=limit,
    )
    return [str(row["id"]) for row in await connection.fetch(statement, *values)]
