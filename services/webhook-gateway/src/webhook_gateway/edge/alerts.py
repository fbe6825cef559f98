"""What nginx refuses of the notifier's and the refunds service's callers, as a problem: no service has seen it, so nobody else tells."""

from __future__ import annotations

from datetime import UTC

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import Envelope
from common.ids import derived_id
from webhook_gateway.edge.model import EdgeRequest
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.website.callers import neighbourhood_of

_WHAT_TO_DO = (
    "Найти у отправителя, что было в запросе, и передать это иначе; устранить причину: при 413 тело слишком велико, при 408 и 499 "
    "оно не пришло целиком, при 400, 414 и 431 не читается сам запрос (инструкция webhook-gateway-edge-refused)"
)


def refused_alert(request: EdgeRequest, sender: str) -> Envelope:
    """Return the one problem of an address and hour: the same event however often, and by whichever replica, the log is read.

    A warning, for the log does not say whether the sender was who it claims to be: strangers phone nobody.
    """
    hour = request.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")
    path = request.path.rstrip("/")
    problem = ProblemRaisedV1(
        kind="edge.refused",
        severity="warning",
        fingerprint=f"edge_refused:{path}:{hour}",
        summary=f"nginx отклонил запрос от {sender} ({path}): {request.status}; ни один сервис его не видел",
        details={
            "path": f"{request.method} {path}",
            "status": str(request.status),
            "network": neighbourhood_of(request.client) or "-",
            "bytes": str(request.size),
            "hour": hour,
            "instruction": _WHAT_TO_DO,
        },
        service=SERVICE,
        source=sender,
        occurred_at=request.at,
    )
    event_id = derived_id("problem", problem.fingerprint)
    return Envelope.of(problem, event_id=event_id, source=f"/{SERVICE}", subject=None, time=request.at)
