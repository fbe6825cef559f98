"""``POST /notifications/v1/{gateway}``: a payment system says that something happened to a refund. It is asked; it is never believed."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel

from common.errors import NotFound, Unavailable
from common.http import Request, Route
from refunds.providers.calls import GatewayCalls
from refunds.providers.provider import GatewayAway, GatewaySilent
from refunds.reconciliation.notice import NoticeRefund


class UnknownGateway(NotFound):
    """There is no such payment system here."""

    code = "unknown_gateway"


class Noticed(BaseModel):
    """Received. It says nothing about refunds: anybody may call this address."""

    status: str = "ok"


def notification_routes(*, calls: GatewayCalls, notice: NoticeRefund, noticed: Callable[[], None]) -> list[Route]:
    """Return the route. It is public; a call can only have us look up, at most, a refund that the payment system named itself."""

    async def take(request: Request[None, None]) -> Noticed:
        """Have the refund looked up."""
        gateway = request.path["gateway"]
        if gateway not in calls.guards:
            raise UnknownGateway(f"there is no gateway {gateway[:32]}")
        name = calls.named_in(gateway, await request.raw.read())
        if name is None:
            return Noticed()
        try:
            await notice(gateway, name)
        except (GatewayAway, GatewaySilent) as error:
            raise Unavailable("not now; notify again") from error
        noticed()
        return Noticed()

    return [
        Route(
            method="POST",
            path="/notifications/v1/{gateway}",
            handler=take,
            summary="A payment system's notification about a refund",
            description="Nothing of the body is believed but the name of the refund; what became of it is asked of the payment system.",
            response=Noticed,
            errors=(UnknownGateway, Unavailable),
            roles=None,
            tags=("notifications",),
            quiet=True,
        )
    ]
