"""What there is to see: for each kind of thing where it is listed, where one is read, and by what a person knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.client.operations import SERVICES, filled, operations

if TYPE_CHECKING:  # what lists kinds of things need not connect to anything
    from console.client.suite import Page, Suite


ON_ITS_WAY = "on_its_way"
"""Stands for the state of a thing whose change is accepted and not seen yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A kind of thing. Columns are dotted paths into an item of its list.

    ``address``: the console's short address of one. ``moving``: states in which something is still to happen by itself, ``bad``:
    in which a person is needed.
    """

    noun: str
    service: str
    list: str
    one: str | None = None
    id: str = "id"
    state: str | None = None
    columns: tuple[str, ...]
    wide: tuple[str, ...] = ()
    address: str | None = None
    moving: frozenset[str] = frozenset()
    bad: frozenset[str] = frozenset()

    async def page(self, suite: Suite, /, **query: Any) -> Page:
        """Return a page of the list."""
        return await suite.page(self.service, self.list, **query)

    async def read(self, suite: Suite, name: str) -> Mapping[str, Any]:
        """Return one. ``RefusedError`` with status 404 when there is none."""
        if self.one is None:
            raise LookupError(f"{self.noun}: there is only the list")
        found: Mapping[str, Any] = await suite.get(self.service, filled(self.one, id=name))
        return found

    def moves(self, state: str) -> bool:
        """Tell whether something is still to happen by itself."""
        return state == ON_ITS_WAY or state in self.moving

    def state_of(self, item: Mapping[str, Any]) -> str:
        """Say the state of one in a word."""
        return str(value(item, self.state)) if self.state else ""

    def state_now(self, item: Mapping[str, Any]) -> str:
        """Say the same, of a workflow that runs and has nothing to do that it waits: nothing happens by itself."""
        state = self.state_of(item)
        return "waiting" if self.noun == "workflow" and state == "running" and not item.get("pending") else state


THINGS = {
    thing.noun: thing
    for thing in (
        Thing(
            noun="order",
            service="orchestrator",
            list="/admin/v1/orders",
            one="/orders/v1/orders/{id}",
            id="number",
            state="status",
            columns=("number", "source", "external_id", "status", "aggregate_state", "cost", "updated_at"),
            wide=("customer.name", "customer.phone", "store_id", "zone", "created_at"),
            address="/o/{id}",
            bad=frozenset({"crashed", "stopped"}),
        ),
        Thing(
            noun="workflow",
            service="orchestrator",
            list="/admin/v1/workflows",
            one="/admin/v1/workflows/{id}",
            state="state_name",
            columns=("id", "order_number", "kind", "state_name", "pending", "failed_events", "error", "updated_at"),
            wide=("version", "last_seq", "done_seq", "created_at"),
            address="/w/{id}",
            moving=frozenset({"running"}),
            bad=frozenset({"crashed", "stopped"}),
        ),
        Thing(
            noun="event",
            service="orchestrator",
            list="/admin/v1/workflow-events",
            one="/admin/v1/workflow-events/{id}",
            address="/v/{id}",
            state="state_name",
            columns=("id", "workflow_id", "seq", "type", "state_name", "received_at"),
            wide=("event_id", "failure.code", "failure.error"),
        ),
        Thing(
            noun="parked",
            service="orchestrator",
            list="/admin/v1/parked-orders",
            id="order_number",
            columns=("order_number", "source", "hook", "since", "alerted_at"),
        ),
        Thing(
            noun="stock-movement",
            service="orchestrator",
            list="/admin/v1/stock-movements",
            columns=("id", "store_id", "number", "kind", "position_id", "quantity", "occurred_at"),
        ),
        Thing(
            noun="refund",
            service="refunds",
            list="/admin/v1/refunds",
            one="/refunds/v1/refunds/{id}",
            state="state_name",
            columns=("id", "order_number", "amount", "state_name", "attempt", "error", "state_since"),
            wide=("payment_id", "business_key", "reason", "version", "created_at"),
            address="/r/{id}",
            moving=frozenset({"CREATE", "SENDING", "PENDING", "UNKNOWN", "DECLINED"}),
            bad=frozenset({"ERROR"}),
        ),
        Thing(
            noun="payment",
            service="refunds",
            list="/admin/v1/payments",
            one="/admin/v1/payments/{id}",
            address="/p/{id}",
            id="payment_id",
            columns=("payment_id", "captured", "refunded", "reserved", "left", "refunds"),
            wide=("gateway", "captured_at", "currency"),
        ),
        Thing(
            noun="difference",
            service="refunds",
            list="/admin/v1/differences",
            one="/admin/v1/differences/{id}",
            columns=("id", "kind", "order_number", "amount", "subject", "detail", "found_at"),
            wide=("payment_id", "gateway", "adopted_as", "acknowledged_by", "over_at", "version"),
        ),
        Thing(
            noun="intake",
            service="webhook-gateway",
            list="/admin/v1/deliveries",
            one="/admin/v1/deliveries/{id}",
            state="outcome",
            columns=("id", "received_at", "source", "event", "outcome", "number", "external_id", "reason"),
            wide=("lane", "status", "size", "sent_at", "replica", "replay_of"),
            address="/d/{id}",
        ),
        Thing(
            noun="countdown",
            service="webhook-gateway",
            list="/admin/v1/countdowns",
            one="/admin/v1/countdowns/{id}",
            address="/c/{id}",
            id="number",
            state="state",
            columns=("source", "external_id", "number", "state", "reason", "cancels_at"),
            wide=("status", "started_at", "replica"),
            moving=frozenset({"running"}),
        ),
        Thing(
            noun="unarrived",
            service="webhook-gateway",
            list="/admin/v1/unarrived-orders",
            id="number",
            columns=("number", "source", "external_id", "acknowledged_at"),
        ),
        Thing(
            noun="limit",
            service="webhook-gateway",
            list="/admin/v1/order-limits",
            one="/admin/v1/order-limits/{id}",
            address="/l/{id}",
            columns=("id", "source", "kind", "value", "refused", "since", "until"),
        ),
        Thing(
            noun="endangered",
            service="webhook-gateway",
            list="/admin/v1/endangered-orders",
            one="/admin/v1/endangered-orders/{id}",
            state="state",
            columns=("id", "received_at", "source", "state", "category", "status", "customer.phone", "outcome"),
            wide=("external_id", "number", "customer.name", "network"),
            address="/e/{id}",
        ),
        Thing(
            noun="incident",
            service="notifier",
            list="/admin/v1/incidents",
            one="/admin/v1/incidents/{id}",
            state="state",
            columns=(
                "id",
                "severity",
                "state",
                "kind",
                "details.alert",
                "order_number",
                "summary",
                "occurrences",
                "opened_at",
                "silenced_until",
            ),
            wide=("service", "acknowledged_by", "environment", "last_seen_at", "version"),
            address="/i/{id}",
        ),
        Thing(
            noun="ticket",
            service="notifier",
            list="/admin/v1/tickets",
            one="/admin/v1/tickets/{id}",
            id="key",
            state="state",
            columns=("key", "queue", "state", "summary", "order_number", "assignee", "created_at"),
            wide=("incident_id", "kind", "outside", "development_ticket"),
            address="/t/{id}",
        ),
        Thing(
            noun="message",
            service="notifier",
            list="/admin/v1/notifications",
            one="/admin/v1/notifications/{id}",
            state="state",
            id="notice_id",
            columns=(
                "occurred_at",
                "sent_at",
                "waited",
                "held_by",
                "kind",
                "channel",
                "destination",
                "state",
                "order_number",
                "reason",
            ),
            wide=("received_at", "severity", "attempts", "failed_at", "route", "incident_id", "text"),
            address="/m/{id}",
        ),
        Thing(
            noun="silence",
            service="notifier",
            list="/admin/v1/silences",
            one="/admin/v1/silences/{id}",
            address="/s/{id}",
            columns=("id", "match", "starts_at", "ends_at", "created_by", "reason"),
        ),
        Thing(
            noun="unread-alert",
            service="notifier",
            list="/admin/v1/unread-alerts",
            one="/admin/v1/unread-alerts/{id}",
            address="/u/{id}",
            columns=("id", "sender", "first_at", "last_at", "seen", "reason"),
        ),
        Thing(
            noun="alert-sender",
            service="notifier",
            list="/admin/v1/alert-senders",
            one="/admin/v1/alert-senders/{id}",
            address="/a/{id}",
            state="state",
            columns=("id", "name", "state", "seen_at", "environment", "incident_id"),
            bad=frozenset({"silent"}),
        ),
        Thing(
            noun="known-defect",
            service="notifier",
            list="/admin/v1/known-defects",
            one="/admin/v1/known-defects/{id}",
            address="/k/{id}",
            columns=("id", "match", "cause", "development_ticket", "created_by", "created_at"),
        ),
        Thing(
            noun="duty",
            service="notifier",
            list="/admin/v1/roster/overrides",
            one="/admin/v1/roster/overrides/{id}",
            columns=("id", "place", "person", "starts_at", "ends_at", "created_by", "reason"),
            wide=("created_at",),
            address="/duty/{id}",
        ),
        Thing(
            noun="flag",
            service="orchestrator",
            list="/admin/v1/flags",
            one="/admin/v1/flags/{id}",
            id="name",
            columns=("name", "enabled", "percent", "version", "updated_by", "updated_at"),
        ),
    )
}
"""By noun. ``dead-letter`` and ``audit`` are in every service: see ``EVERYWHERE``."""

EVERYWHERE = {
    "dead-letter": (
        "/admin/v1/dead-letters",
        ("id", "queue", "state", "subject", "reason", "dead_at"),
        "/admin/v1/dead-letters/{id}",
    ),
    "audit": ("/admin/v1/audit", ("at", "actor", "role", "action", "target", "reason"), None),
}


def services_with(noun: str) -> tuple[str, ...]:
    """Return the services that have things of a kind that several have."""
    path = EVERYWHERE[noun][0]
    return tuple(service for service in SERVICES if (service, "GET", path) in operations())


def thing_of(noun: str, service: str | None = None) -> Thing:
    """Return a kind of thing; one that every service has needs the service. ``LookupError`` when there is none of this name."""
    if noun in THINGS:
        return THINGS[noun]
    path, columns, one = EVERYWHERE[noun]
    if service is None:
        raise LookupError(f"{noun}: name the service")
    return Thing(noun=noun, service=service, list=path, one=one, columns=columns, state="state" if one else None)


def value(item: Mapping[str, Any], path: str | None) -> Any:
    """Return what stands at a dotted path, in lists by its place; None where nothing does."""
    found: Any = item
    for part in (path or "").split("."):
        if isinstance(found, list) and part.isdecimal():
            found = found[int(part)] if int(part) < len(found) else None
        else:
            found = found.get(part) if isinstance(found, Mapping) else None
    return found
