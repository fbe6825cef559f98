"""Keeps every delivery, tells the orders' timelines, raises alerts for what a person has to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson

from common.contracts import intake
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1, Severity
from common.contracts.envelope import Envelope, Message
from common.contracts.intake import Hook
from common.contracts.journal import JournalEntryV1
from common.ids import derived_id
from webhook_gateway.hooks import events
from webhook_gateway.hooks.masking import mask_contact, mask_name
from webhook_gateway.hooks.model import Outcome
from webhook_gateway.hooks.ports import ArrivedOrder, AwaitedOrder, DeliveryRow, EndangeredRow, RecorderUnit
from webhook_gateway.website import model as website
from webhook_gateway.website.model import Category

SERVICE = "webhook-gateway"
_ENDANGERING = frozenset({intake.WEBSITE_ORDER_REFUSED, intake.FRONTEND_ERROR_REPORTED})
_WHERE_TO_LOOK: Mapping[str, str] = {
    Category.FRONT_END: "Искать на фронтенде: чем заказ не понравился серверу",
    Category.BACK_END: "Искать на бэкенде",
    Category.BANNED: "Слишком частые заказы: спам или сломан обход лимитов для менеджеров",
    Category.MANAGER_BYPASS_BROKEN: "Сломан механизм, который разрешает менеджерам заказы без ограничений",
}
REPLAY_OF = "replay:"
"""Marks, in a hook's reason, what an operator sent again; the id of the origin follows."""


class RecordDeliveries:
    """Runs inside the consumer's transaction. Carrying out the same deliveries again changes nothing."""

    def __init__(self, *, public_url: str) -> None:
        """``public_url`` is where people reach this service's admin addresses; alerts link there."""
        self._public_url = public_url.rstrip("/")

    async def __call__(self, unit: RecorderUnit, hooks: Sequence[Hook]) -> None:
        """Keep the deliveries and promise what follows from them."""
        deliveries = [hook for hook in hooks if hook.type != intake.FRONTEND_ERROR_REPORTED]  # that never came to us
        if deliveries:
            await unit.save_deliveries([_row(hook) for hook in deliveries])
        awaited = [order for order in map(_awaited, hooks) if order is not None]
        if awaited:
            await unit.expect_orders(awaited)
        endangered = [_endangered(hook) for hook in hooks if hook.type in _ENDANGERING]
        if endangered:
            await unit.save_endangered(endangered)
        names = {name for hook in hooks if (name := _website_name(hook)) is not None}
        arrived = await unit.settle_arrived(sorted(names)) if names else ()
        follow: list[Envelope] = []
        for hook in deliveries:
            if hook.number is not None:
                follow.append(_journal(hook))
            if hook.type == intake.HOOK_QUARANTINED:
                follow.append(self._quarantined(hook))
        follow += [self._endangered_alert(row) for row in endangered]
        follow += [_no_longer_endangered(order) for order in arrived]
        if follow:
            await unit.publish(follow)

    def _quarantined(self, hook: Hook) -> Envelope:
        reason = (hook.reason or "unknown").partition(":")[0]
        return _problem(
            hook,
            kind="hook.quarantined",
            severity="critical" if hook.number is None else "warning",
            fingerprint=derived_id("quarantine", hook.source, reason),
            summary=f"Хук источника {hook.source} не удалось разобрать и отложен в карантин ({hook.reason}), ответ {hook.status}",
            details={"delivery_id": hook.delivery_id, "event": hook.event, "reason": hook.reason or "unknown"},
            link=f"{self._public_url}/admin/v1/deliveries/{hook.delivery_id}",
        )

    def _endangered_alert(self, row: EndangeredRow) -> Envelope:
        return _problem(
            row.hook,
            kind="website_order.endangered",
            severity="critical",
            fingerprint=endangered_fingerprint(row.hook.delivery_id),
            summary=f"Заказ с сайта под угрозой: {_told(row)}. {_WHERE_TO_LOOK[row.category]}",
            details={
                "endangered_id": row.hook.delivery_id,
                "category": row.category,
                "status": str(row.status),
                "name": mask_name(row.rescue.customer.get("name")),
                "phone": mask_contact(row.rescue.customer.get("phone")),
                "email": mask_contact(row.rescue.customer.get("email")),
                "positions": str(len(row.rescue.basket)),
            },
            link=f"{self._public_url}/admin/v1/endangered-orders?id={row.hook.delivery_id}",
        )


def endangered_fingerprint(endangered_id: str) -> str:
    """Return what the incident of an endangered order is known by."""
    return derived_id("endangered", endangered_id)


def _told(row: EndangeredRow) -> str:
    if row.hook.type == intake.FRONTEND_ERROR_REPORTED:
        return "сайт сообщил об ошибке с корзиной"
    return f"POST /api/v1/orders/ отвечен {row.status}"


def _website_name(hook: Hook) -> str | None:
    """Return what a website's order is called by, if this tells of a try to place it."""
    tried = hook.type in _ENDANGERING or (hook.type == intake.HOOK_RECEIVED and hook.source == website.SOURCE)
    return hook.external_id if tried and outcome_of(hook) is not Outcome.REPLAYED else None


def _no_longer_endangered(order: ArrivedOrder) -> Envelope:
    over = ProblemResolvedV1(
        fingerprint=endangered_fingerprint(order.endangered_id),
        summary="Сайт прислал этот заказ снова, и он принят",
        service=SERVICE,
        occurred_at=order.arrived_at,
    )
    return Envelope.of(
        over,
        event_id=derived_id("problem-resolved", order.endangered_id, "arrived"),
        source=f"/{SERVICE}",
        subject=order.number,
        time=order.arrived_at,
    )


def outcome_of(hook: Hook) -> Outcome:
    """Return the outcome that was fixed when the delivery was answered."""
    if hook.reason is not None and hook.reason.startswith(REPLAY_OF):
        return Outcome.REPLAYED
    if hook.type == intake.WEBSITE_ORDER_REFUSED:
        return Outcome.REFUSED
    if hook.type == intake.HOOK_QUARANTINED:
        return Outcome.QUARANTINED
    return Outcome.SPOOLED if hook.lane == "spool" else Outcome.CONFIRMED


def _awaited(hook: Hook) -> AwaitedOrder | None:
    """Return what the orchestrator has to tell of: whoever sent the ``created`` was told that we have the order, quarantined or not."""
    acknowledged = hook.type == intake.HOOK_RECEIVED or (
        hook.type == intake.HOOK_QUARANTINED and hook.status is not None and hook.status < HTTPStatus.MULTIPLE_CHOICES
    )
    if hook.event != events.CREATED or hook.number is None or not acknowledged:
        return None
    return AwaitedOrder(
        number=hook.number, source=hook.source, external_id=hook.external_id, acknowledged_at=hook.received_at
    )


def _row(hook: Hook) -> DeliveryRow:
    outcome = outcome_of(hook)
    origin = None
    if outcome is Outcome.REPLAYED and hook.reason is not None:
        origin = hook.reason.removeprefix(REPLAY_OF)
    headers = _json(hook.headers)
    return DeliveryRow(
        hook=hook, outcome=outcome.value, replay_of=origin, headers=headers if isinstance(headers, dict) else {}
    )


def _endangered(hook: Hook) -> EndangeredRow:
    status = hook.status or 0
    reported = hook.type == intake.FRONTEND_ERROR_REPORTED
    named = hook.reason if hook.reason in _WHERE_TO_LOOK else None
    notes = _json(hook.headers)
    link = notes.get("link") if reported and isinstance(notes, dict) else None
    return EndangeredRow(
        hook=hook,
        status=status,
        category=named or (Category.FRONT_END if reported else website.category_of(status, manager=False)).value,
        answer=_json(hook.answer),
        rescue=website.rescue_from(hook.body),
        origin="front_end" if reported else "server",
        link=link if isinstance(link, str) else None,
    )


def _json(text: str | None) -> Any:
    try:
        return None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _journal(hook: Hook) -> Envelope:
    outcome = outcome_of(hook).value
    entry = JournalEntryV1(
        order_number=hook.number or "",
        service=SERVICE,
        kind="hook.replayed" if outcome == Outcome.REPLAYED else "hook.received",
        actor=hook.source,
        summary=f"{hook.event}: {outcome}",
        details={
            "event": hook.event,
            "outcome": outcome,
            "lane": hook.lane,
            "delivery_id": hook.delivery_id,
            "replica": hook.replica,
            "status": str(hook.status or ""),
        },
        occurred_at=hook.received_at,
    )
    return _envelope(hook, entry, derived_id("journal", SERVICE, hook.delivery_id))


def _problem(
    hook: Hook, *, kind: str, severity: Severity, fingerprint: str, summary: str, details: dict[str, str], link: str
) -> Envelope:
    problem = ProblemRaisedV1(
        kind=kind,
        severity=severity,
        fingerprint=fingerprint,
        summary=summary,
        details=details,
        service=SERVICE,
        order_number=hook.number,
        source=hook.source,
        link=link,
        occurred_at=hook.received_at,
    )
    return _envelope(hook, problem, derived_id("problem", kind, hook.delivery_id))


def _envelope(hook: Hook, message: Message, event_id: str) -> Envelope:
    return Envelope.of(
        message,
        event_id=event_id,
        source=f"/{SERVICE}",
        subject=hook.number,
        time=hook.received_at,
        traceparent=hook.traceparent,
    )
