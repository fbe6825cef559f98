"""What is raised about website orders: one problem an endangered order, one a network and hour of strangers, one an order that nobody can
call back; and the ends of these problems. Customers' data is masked: it goes to chats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1, Severity, unreachable_fingerprint
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.ids import derived_id
from common.telemetry import current_traceparent, mask_contact, mask_name
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.model import (
    UNKNOWN_NETWORK,
    anonymous_fingerprint,
    endangered_fingerprint,
    hour_of,
    report_fingerprint,
)
from webhook_gateway.rescue.record import EndangeredRow
from webhook_gateway.website.model import Category

_WHERE_TO_LOOK: Mapping[str, str] = {
    Category.FRONT_END: "Искать на фронтенде: чем заказ не понравился серверу",
    Category.BACK_END: "Искать на бэкенде",
    Category.BANNED: "Слишком частые заказы: спам или сломан обход лимитов для менеджеров",
    Category.MANAGER_BYPASS_BROKEN: "Сломан механизм, который разрешает менеджерам заказы без ограничений",
    Category.KEY_REUSED: "Имя заказа занято другим заказом: сайт повторяет externalId или Idempotency-Key",
    Category.CUSTOMER_NETWORK: "Связь прервалась на стороне покупателя",
}
_RESCUE = (
    "Сверить с похожими заказами, исправить и отправить заново, написать отчёт: runbook webhook-gateway-endangered"
)
_CALL_BACK = "Нет ни телефона, ни почты, по которым можно связаться: найти покупателя по заказу и адресу, дополнить контакт в заказе"
_STRANGERS = (
    "Не наш ли это сайт с потерянным токеном? Если нет, закрыть все разом (close с фильтром anonymous, network)"
)
SEEN_TO = "Заказ с сайта разобран"


def endangered_alert(row: EndangeredRow) -> Envelope:
    """Return the problem of an endangered order. A customer's own network wakes nobody."""
    hook, customer = row.hook, row.rescue.customer
    problem = ProblemRaisedV1(
        kind="website_order.endangered",
        severity=_severity(row),
        fingerprint=endangered_fingerprint(hook.delivery_id),
        summary=f"Заказ с сайта под угрозой: {_what(row)}. {_WHERE_TO_LOOK[row.category]}",
        details={
            "endangered_id": hook.delivery_id,
            "category": row.category,
            "status": str(row.status),
            "name": _masked(mask_name, customer.get("name")),
            "phone": _masked(mask_contact, customer.get("phone")),
            "email": _masked(mask_contact, customer.get("email")),
            "positions": str(len(row.rescue.basket)),
            "instruction": _RESCUE,
        },
        service=SERVICE,
        order_number=hook.number,
        source=hook.source,
        link=f"/e/{hook.delivery_id}",
        occurred_at=hook.received_at,
    )
    event_id = derived_id("problem", "website_order.endangered", hook.delivery_id)
    return _envelope(problem, event_id, hook.number, hook.received_at, hook.traceparent)


def anonymous_alert(network: str | None, at: datetime) -> Envelope:
    """Return the one warning of a network and hour from which orders came without a valid token."""
    hour = hour_of(at)
    named = network or UNKNOWN_NETWORK
    problem = ProblemRaisedV1(
        kind="website_order.anonymous",
        severity="warning",
        fingerprint=anonymous_fingerprint(network, at),
        summary=f"Заказы без действующего токена сайта: сеть {named}, час с {hour.isoformat(timespec='minutes')}",
        details={"network": named, "hour": hour.isoformat(), "instruction": _STRANGERS},
        service=SERVICE,
        occurred_at=at,
    )
    return _envelope(problem, derived_id("problem", problem.fingerprint), None, at, None)


def unreachable_alert(hook: IntakeMessage) -> Envelope:
    """Return the problem of an order that was taken and whose customer nobody can call or write to."""
    problem = ProblemRaisedV1(
        kind="website_order.unreachable",
        severity="warning",
        fingerprint=unreachable_fingerprint(hook.number or hook.delivery_id),
        summary=f"Заказ с сайта {hook.number} принят, но покупателю нельзя ни позвонить, ни написать",
        details={"delivery_id": hook.delivery_id, "external_id": hook.external_id or "-", "instruction": _CALL_BACK},
        service=SERVICE,
        order_number=hook.number,
        source=hook.source,
        link=f"/d/{hook.delivery_id}",
        occurred_at=hook.received_at,
    )
    event_id = derived_id("problem", problem.fingerprint)  # a repeat of the order is no news
    return _envelope(problem, event_id, hook.number, hook.received_at, hook.traceparent)


def no_longer_endangered(endangered_id: str, number: str, *, at: datetime) -> Envelope:
    """Return the end of an endangered order's problem: the customer sent the order again, and it was taken."""
    return _arrived(endangered_id, number, "Покупатель отправил этот заказ снова, и он принят", at=at)


def taken_late(endangered_id: str, number: str, *, at: datetime) -> Envelope:
    """Return the end of the problem of an order that nginx gave up, and that a gateway took all the same."""
    return _arrived(endangered_id, number, "Заказ принят: nginx не дождался ответа, но шлюз его записал", at=at)


def _arrived(endangered_id: str, number: str, summary: str, *, at: datetime) -> Envelope:
    over = ProblemResolvedV1(
        fingerprint=endangered_fingerprint(endangered_id), summary=summary, service=SERVICE, occurred_at=at
    )
    return _envelope(over, derived_id("problem-resolved", endangered_id, "arrived"), number, at, None)


def report_no_longer_missing(report_id: str, *, at: datetime) -> Envelope:
    """Return the end of the problem of a report that could not be sent: its orders were reported otherwise, or closed."""
    fingerprint = report_fingerprint(report_id)
    over = ProblemResolvedV1(
        fingerprint=fingerprint,
        summary="О заказах этого письма сообщено другим письмом, или они закрыты",
        service=SERVICE,
        occurred_at=at,
    )
    return _envelope(over, derived_id("problem-resolved", fingerprint), None, at, current_traceparent())


def incident_over(fingerprint: str, number: str | None, *, now: datetime, summary: str = SEEN_TO) -> Envelope:
    """Return the end of a problem that people have dealt with. Each is an event of its own: what has ended may have begun again since."""
    over = ProblemResolvedV1(fingerprint=fingerprint, summary=summary, service=SERVICE, occurred_at=now)
    event_id = derived_id("problem-resolved", fingerprint, now.isoformat())
    return _envelope(over, event_id, number, now, current_traceparent())


def _masked(mask: Callable[[str], str], value: str | None) -> str:
    return mask(value) if value and value.strip() else "-"


def _severity(row: EndangeredRow) -> Severity:
    return "warning" if row.category == Category.CUSTOMER_NETWORK else "critical"


def _what(row: EndangeredRow) -> str:
    if row.origin == "front_end":
        return "сайт сообщил об ошибке с корзиной"
    if row.status < 300:
        return f"POST /api/v1/orders/ отвечен {row.status} номером другого заказа ({row.hook.number})"
    return f"POST /api/v1/orders/ отвечен {row.status}"


def _envelope(
    message: ProblemRaisedV1 | ProblemResolvedV1,
    event_id: str,
    subject: str | None,
    time: datetime,
    traceparent: str | None,
) -> Envelope:
    return Envelope.of(
        message, event_id=event_id, source=f"/{SERVICE}", subject=subject, time=time, traceparent=traceparent
    )
