"""The total table: what each hook does to an order in each status (docs/requirements.md#what-each-hook-does).

Every pair is allowed, a named no-op, or an incident.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from orchestrator.orders.model import HookType, IncidentKind, Status


class Act(StrEnum):
    """What is done with an event. The first seven change the order, ``park`` waits for ``created``, the ``already_…`` are no-ops."""

    CREATE = "create"
    CHANGE = "change"
    PAY = "pay"
    RECEIVE = "receive"
    DELIVER = "deliver"
    CANCEL = "cancel"
    CORRECT = "correct"

    PARK = "park"

    ALREADY_CREATED = "already_created"
    ALREADY_PAID = "already_paid"
    ALREADY_RECEIVED = "already_received"
    ALREADY_DELIVERED = "already_delivered"
    ALREADY_CANCELLED = "already_cancelled"
    CHANGES_NOTHING = "changes_nothing"
    REPEATS_LATEST = "repeats_latest"

    CREATED_DIFFERS = "created_differs"
    CHANGED_AFTER_CLOSING = "changed_after_closing"
    RECEIVED_AFTER_CANCELLING = "received_after_cancelling"
    DELIVERED_AFTER_CANCELLING = "delivered_after_cancelling"


CHANGING = frozenset({Act.CREATE, Act.CHANGE, Act.PAY, Act.RECEIVE, Act.DELIVER, Act.CANCEL, Act.CORRECT})
"""The acts that change the order."""

INCIDENTS: Mapping[Act, IncidentKind] = MappingProxyType(
    {
        Act.CREATED_DIFFERS: IncidentKind.CREATED_DIFFERS,
        Act.CHANGED_AFTER_CLOSING: IncidentKind.CHANGED_AFTER_CLOSING,
        Act.RECEIVED_AFTER_CANCELLING: IncidentKind.RECEIVED_AFTER_CANCELLING,
        Act.DELIVERED_AFTER_CANCELLING: IncidentKind.DELIVERED_AFTER_CANCELLING,
    }
)
"""The acts that leave the order as it is and call a person."""

# `paid` that comes again, or late, corrects the prices again: the marketplace's last word on money holds, in every status. Goods that
# left the store stay written off whatever comes later. What a courier or a customer is said to have got after a cancellation is for a
# person to sort out. What an operator corrects holds in every status.
TRANSITIONS: Mapping[tuple[Status | None, HookType], Act] = MappingProxyType(
    {
        (None, HookType.CREATED): Act.CREATE,
        (None, HookType.CHANGED): Act.PARK,
        (None, HookType.PAID): Act.PARK,
        (None, HookType.RECEIVED): Act.PARK,
        (None, HookType.DELIVERED): Act.PARK,
        (None, HookType.CANCELLED): Act.PARK,
        (None, HookType.CORRECTED): Act.PARK,
        (Status.CREATED, HookType.CREATED): Act.ALREADY_CREATED,
        (Status.CREATED, HookType.CHANGED): Act.CHANGE,
        (Status.CREATED, HookType.PAID): Act.PAY,
        (Status.CREATED, HookType.RECEIVED): Act.RECEIVE,
        (Status.CREATED, HookType.DELIVERED): Act.DELIVER,
        (Status.CREATED, HookType.CANCELLED): Act.CANCEL,
        (Status.CREATED, HookType.CORRECTED): Act.CORRECT,
        (Status.PAID, HookType.CREATED): Act.ALREADY_CREATED,
        (Status.PAID, HookType.CHANGED): Act.CHANGED_AFTER_CLOSING,
        (Status.PAID, HookType.PAID): Act.PAY,
        (Status.PAID, HookType.RECEIVED): Act.RECEIVE,
        (Status.PAID, HookType.DELIVERED): Act.DELIVER,
        (Status.PAID, HookType.CANCELLED): Act.CANCEL,
        (Status.PAID, HookType.CORRECTED): Act.CORRECT,
        (Status.RECEIVED, HookType.CREATED): Act.ALREADY_CREATED,
        (Status.RECEIVED, HookType.CHANGED): Act.CHANGED_AFTER_CLOSING,
        (Status.RECEIVED, HookType.PAID): Act.PAY,
        (Status.RECEIVED, HookType.RECEIVED): Act.ALREADY_RECEIVED,
        (Status.RECEIVED, HookType.DELIVERED): Act.DELIVER,
        (Status.RECEIVED, HookType.CANCELLED): Act.CANCEL,
        (Status.RECEIVED, HookType.CORRECTED): Act.CORRECT,
        (Status.DELIVERED, HookType.CREATED): Act.ALREADY_CREATED,
        (Status.DELIVERED, HookType.CHANGED): Act.CHANGED_AFTER_CLOSING,
        (Status.DELIVERED, HookType.PAID): Act.PAY,
        (Status.DELIVERED, HookType.RECEIVED): Act.ALREADY_RECEIVED,
        (Status.DELIVERED, HookType.DELIVERED): Act.ALREADY_DELIVERED,
        (Status.DELIVERED, HookType.CANCELLED): Act.CANCEL,
        (Status.DELIVERED, HookType.CORRECTED): Act.CORRECT,
        (Status.CANCELLED, HookType.CREATED): Act.ALREADY_CREATED,
        (Status.CANCELLED, HookType.CHANGED): Act.CHANGED_AFTER_CLOSING,
        (Status.CANCELLED, HookType.PAID): Act.PAY,
        (Status.CANCELLED, HookType.RECEIVED): Act.RECEIVED_AFTER_CANCELLING,
        (Status.CANCELLED, HookType.DELIVERED): Act.DELIVERED_AFTER_CANCELLING,
        (Status.CANCELLED, HookType.CANCELLED): Act.ALREADY_CANCELLED,
        (Status.CANCELLED, HookType.CORRECTED): Act.CORRECT,
    }
)
"""(status, or None before ``created``; hook) → act. Total: 42 pairs.

Some outcomes depend on the content as well (see ``fold.step``): a repeated ``created`` with another content is CREATED_DIFFERS, a
``changed`` or ``corrected`` that changes nothing is CHANGES_NOTHING, a second ``paid`` that corrects nothing is ALREADY_PAID, and a hook
without timestamp whose content equals the latest of its kind is REPEATS_LATEST.
"""
