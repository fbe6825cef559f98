"""``POST /notifications/v1/{gateway}`` for payment systems, ``POST /admin/v1/reconciliation`` for operators."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from common.clock import Clock
from common.errors import InvalidInput, NotFound, Unavailable
from common.http import (
    AdminChange,
    Answer,
    Change,
    ChangeAnswer,
    Changes,
    Request,
    Route,
    change_route,
    other_spellings,
)
from common.reading.values import storable
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import GatewayAway, GatewaySilent
from refunds.reconciliation.handle_notification import HandleNotification
from refunds.reconciliation.metrics import ReconciliationMetrics
from refunds.reconciliation.reconcile import Reconcile
from refunds.reconciliation.settling_routes import DifferenceView


class UnknownGateway(NotFound):
    """There is no such payment system here."""

    code = "unknown_gateway"


class Noticed(BaseModel):
    """Received. It says nothing about refunds: anybody may call this address."""

    status: str = "ok"


class ReconcileBody(AdminChange):
    """How far back; refunds that changed, and what the registers have, in that time."""

    days: Annotated[int, Field(ge=1, le=365)] = 2


class ReconciliationView(ChangeAnswer):
    """What was found. `registers`: `compared`, `older refused`, `none kept` or `no answer` by payment system; our side is walked anyway."""

    dry_run: bool
    since: datetime
    until: datetime
    registers: dict[str, str]
    examined: int
    advanced: int = Field(description="refunds whose state followed the payment system")
    unanswered: int
    differences: list[DifferenceView]
    failed: Annotated[list[str], BeforeValidator(lambda names: [*map(storable, names)])] = Field(
        default=[], description="what could not be compared because of a fault of ours: see the log (`task_failed`)"
    )
    at: datetime | None = Field(
        default=None, description="the time of the verdict that is kept of it; null of a dry run"
    )


class ReconciliationRoutes:
    """Both look at what the payment systems have; neither moves money."""

    def __init__(
        self,
        calls: GatewayCalls,
        handle_notification: HandleNotification,
        reconcile: Reconcile,
        changes: Changes,
        metrics: ReconciliationMetrics,
        clock: Clock,
        *,
        noticed: Callable[[], None],
        task: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._calls = calls
        self._handle_notification = handle_notification
        self._reconcile = reconcile
        self._changes = changes
        self._metrics = metrics
        self._clock = clock
        self._noticed = noticed
        self._task = task

    async def _notify(self, request: Request[None, None]) -> Noticed:
        """Public: a call can only have us look up, at most, a refund that the payment system named itself."""
        gateway = request.path["gateway"]
        if gateway not in self._calls.guards:
            raise UnknownGateway(f"there is no gateway {gateway[:32]}")
        name = self._calls.named_in(gateway, await request.raw.read())
        if name is None:
            return Noticed()
        try:
            await self._handle_notification(gateway, name)
        except (GatewayAway, GatewaySilent) as error:
            raise Unavailable("not now; notify again") from error
        self._noticed()
        return Noticed()

    async def _reconcile_now(self, request: Request[ReconcileBody, None]) -> Answer:
        """Reconcile both ways, then store the answer and the audit record. Doing so again for a repeated request does no harm.

        A fault of ours in one item is counted, and told, as one of the daily reconciliation is; the others are compared.
        """
        body, until = request.body, self._clock.now()
        with self._task():
            found = await self._reconcile(since=until - timedelta(days=body.days), until=until, dry_run=body.dry_run)
        shown = ReconciliationView.model_validate(found, from_attributes=True)
        if not body.dry_run:
            self._metrics.reconciled(found)

        async def work(change: Change) -> ReconciliationView:
            await change.record("refunds.reconcile", "refunds", after=shown)
            change.tells(*found.notices)
            return shown

        return await self._changes.carry_out(request, work)

    def routes(self) -> list[Route]:
        """Return the two routes, and the notifications' in other spellings."""
        notifications = Route(
            method="POST",
            path="/notifications/v1/{gateway}",
            handler=self._notify,
            summary="A payment system's notification about a refund",
            description="Nothing of the body is believed but the name of the refund; what became of it is asked of the payment "
            "system.",
            response=Noticed,
            errors=(UnknownGateway, Unavailable),
            roles=None,
            tags=("notifications",),
            quiet=True,
        )
        return [
            notifications,
            *other_spellings([notifications]),
            change_route(
                "POST",
                "/admin/v1/reconciliation",
                self._reconcile_now,
                "Compare our refunds with the payment systems', both ways",
                ReconcileBody,
                ReconciliationView,
                description="Finished refunds too. States follow the payment system; what still differs is an incident. Moves no money.",
                errors=(InvalidInput, Unavailable),
            ),
        ]
