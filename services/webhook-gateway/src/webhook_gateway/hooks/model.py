"""The six hooks by name, the marketplaces that send them, and the outcomes that the ledger of deliveries counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from common.errors import FieldError
from webhook_gateway.countdowns.model import Schedule
from webhook_gateway.hooks.authentication import Authenticator

SERVICE = "webhook-gateway"

ORDER_CREATED = "order.created"
ORDER_CHANGED = "order.changed"
ORDER_PAID = "order.paid"
ORDER_RECEIVED = "order.received"
ORDER_DELIVERED = "order.delivered"
ORDER_CANCELLED = "order.cancelled"

HOOKS = frozenset({ORDER_CREATED, ORDER_CHANGED, ORDER_PAID, ORDER_RECEIVED, ORDER_DELIVERED, ORDER_CANCELLED})
"""The six hooks (docs/requirements.md#six-hooks), by the names that the rest of the suite uses."""

UNREADABLE = "unreadable"
"""Stands where a name would, when no name can be read."""

WEBSITE = "website"
"""The source that website orders are numbered under; no marketplace may have this name."""

UNKNOWN_SOURCE = "unknown"
"""Stands for any source that is not configured, in metrics and in the ledger."""

REPLAY_OF = "replay:"
"""Marks, in a delivery's reason, what an operator sent again; the id of the origin follows."""

ENTERED = "entered"
"""The reason of a delivery that an operator entered because it never came."""


class Outcome(StrEnum):
    """The one outcome of every request, fixed when it is answered; the ledger adds them up.

    ``REPLAYED`` is what an operator sent again from what is kept, ``ENTERED`` what one entered: neither came in, so the ledger leaves
    them out.
    """

    CONFIRMED = "confirmed"
    SPOOLED = "spooled"
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    REPLAYED = "replayed"
    ENTERED = "entered"


LEDGER = (Outcome.CONFIRMED, Outcome.SPOOLED, Outcome.QUARANTINED, Outcome.REFUSED)
"""received = the sum of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Where events come from. ``accept_invalid``: what cannot be used is still answered positively.

    ``currency`` (ISO 4217) is that of its orders: bodies name none.
    """

    name: str
    accept_invalid: bool = True
    currency: str = "RUB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Feed):
    """A marketplace that sends hooks."""

    authenticator: Authenticator
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is answered. ``body`` for a positive answer, ``code``, ``detail`` and ``fields`` for a problem, ``retry_after``
    (seconds) for one that may pass. ``outcome`` is final.
    """

    status: int
    event: str
    outcome: Outcome
    body: Mapping[str, str] | None = None
    code: str = ""
    detail: str = ""
    fields: tuple[FieldError, ...] = ()
    retry_after: int = 1
