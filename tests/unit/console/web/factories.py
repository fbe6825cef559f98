"""A stand-in for the five services, and things of theirs whose every text is hostile."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from console.client.operations import operations

RANKS = {"viewer": 0, "operator": 1, "admin": 2, "internal": 1}


@dataclass
class Services:
    """What the five services answer, ``open`` to anybody.

    Tokens are ``token-ROLE`` of a person of the role's name, ``token-ROLE-2`` of another.
    """

    url: str = ""
    answers: dict[str, tuple[int, Any] | Callable[[Any], tuple[int, Any]]] = field(default_factory=dict)
    calls: list[tuple[str, Any, str | None]] = field(default_factory=list)
    readers: list[tuple[str, str, str | None]] = field(
        default_factory=list
    )  # line, token, how customers' data are wanted
    languages: list[str | None] = field(default_factory=list)
    permitted: set[str] | None = None
    """What tokens are for, by their scopes; None: all that their role may."""
    withdrawn: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    open: dict[str, str] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as a service does: 401 for strangers, whoami, what a test set, an empty list, 404."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        role = token.removeprefix("token-").removesuffix("-2")
        line = f"{request.method} {request.path}"
        if line == "GET /readyz":
            failing = dict.fromkeys(self.failing, "away")
            return web.json_response({"ready": not failing, "checks": failing}, status=503 if failing else 200)
        if line in self.open:
            return web.Response(text=self.open[line])
        self.readers.append((line, token, request.headers.get("Customer-Data")))
        if role not in RANKS or token in self.withdrawn:
            return web.json_response({"code": "unauthorized", "detail": "who is this"}, status=401)
        if line == "GET /admin/v1/whoami":
            may = {f"{method} {path}" for (_, method, path), known in operations().items() if _may(role, known.role)}
            allowed = may if self.permitted is None else may & self.permitted
            return web.json_response({"name": role, "role": role, "permissions": sorted(allowed)})
        body = await request.json() if request.can_read_body else dict(request.query)
        self.languages.append(request.headers.get("Accept-Language"))
        self.calls.append((line, body, request.headers.get("Idempotency-Key")))
        found = self.answers.get(line)
        if found is not None:
            status, said = found(body) if callable(found) else found
            return web.json_response(said, status=status)
        if line in _EMPTY:
            return web.json_response({"items": [], "next_cursor": None, "count": 0})
        return web.json_response({"code": "not_found", "detail": "there is none"}, status=404)


def _may(role: str, demanded: str) -> bool:
    return RANKS[role] >= RANKS.get(demanded, 0)


_EMPTY = {
    f"{method} {path}"
    for (_, method, path), known in operations().items()
    if method == "GET" and any(field.name == "limit" for field in known.query)
}
"""Lists in pages, of which a test has said nothing."""


EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>{{ 777*777 }}"


def evil(keys: tuple[str, ...]) -> dict[str, Any]:
    """A thing whose every text is hostile."""
    item: dict[str, Any] = {}
    for key in keys:
        outer, _, inner = key.partition(".")
        if inner:
            item.setdefault(outer, {})[inner] = EVIL
        else:
            item[outer] = EVIL
    return item


ORDER = {
    **evil(
        ("number", "source", "external_id", "status", "aggregate_state", "delivery_window", "comment", "customer.name")
    ),
    "customer": {"name": EVIL, "phone": EVIL, "email": EVIL},
    "address": {"text": EVIL, "parts": {}},
    "closed_for_changes": False,
    "totals": {"currency": "RUB", "cost": 100},
    "tips": {"amount": 0, "held_amount": 5},
    "payment": {"paid": True, "method": EVIL},
    "positions": [
        {
            "id": EVIL,
            "name": EVIL,
            "quantity": "1",
            "original_quantity": "2",
            "price": 1,
            "total_price": 1,
            "replaces": EVIL,
        }
    ],
}
LINE = {
    "at": "2026-11-29T10:00:00Z",
    "service": "orchestrator",
    **evil(("actor", "kind", "summary")),
    "details": {EVIL: EVIL},
}
INCIDENT = {
    **evil(
        ("kind", "severity", "state", "summary", "instruction", "service", "environment", "source", "store_id", "muted")
    ),
    "id": 5,
    "link": "docs/runbooks/notifier-down.md",
    "details": {EVIL: EVIL},
    "order_number": "N",
    "occurrences": 3,
    "fingerprint": EVIL,
    "acknowledged_by": EVIL,
    "acknowledged_at": "2026-11-29T10:00:00Z",
    "first_seen_at": "2026-11-29T10:00:00Z",
    "last_seen_at": "2026-11-29T10:00:00Z",
    "history": [{"at": "2026-11-29T10:00:00Z", **evil(("actor", "act", "text"))}],
    "notices": [
        {
            "sent_at": None,
            "created_at": "2026-11-29T10:00:00Z",
            **evil(("destination", "channel", "state", "reason", "text")),
        }
    ],
    "calls": [{"created_at": "2026-11-29T10:00:00Z", **evil(("person", "state", "occasion", "progress", "reason"))}],
    "timers": [{"step": 1, "round": 1, "due_at": "2026-11-29T10:00:00Z"}],
    "recipes": [
        {
            **evil(("label", "does", "role", "target")),
            "name": "retry_workflow",
            "last": {
                **evil(("person", "state", "result")),
                "asked_at": "2026-11-29T10:00:00Z",
                "ended_at": None,
            },
        },
        {**evil(("name", "label", "does", "role", "target")), "last": None},
    ],
}
QUEUES = {
    "items": [
        {
            **evil(("name", "replica", "state")),
            "waiting": 2,
            "oldest_seconds": 400.0,
            "late_after_seconds": 300.0,
            "as_of": "2026-11-29T10:00:00Z",
        },
        {
            "name": f"messages.{EVIL}",
            "replica": None,
            "state": "unknown",
            "waiting": None,
            "oldest_seconds": None,
            "late_after_seconds": None,
            "as_of": None,
        },
    ],
    "complete": False,
}
SHADOW = {
    "since": "2026-11-22T10:00:00Z",
    "first_at": "2026-11-29T10:00:00Z",
    "compared": 3,
    "agreed": 1,
    "differed": 1,
    "failed": 1,
    "rules": [{**evil(("decision", "rule")), "orders": 1, "last_at": "2026-11-29T10:00:00Z"}],
    "differences": [
        {
            **evil(("order_number", "decision", "rule")),
            "differed_at": "2026-11-29T10:00:00Z",
            "own_amount": 100,
            "service_amount": 200,
            "own_hold": True,
            "service_hold": False,
            "currency": "RUB",
        }
    ],
}
MESSAGE = {
    **evil(("kind", "severity", "transition", "state", "reason", "destination", "channel", "route", "text")),
    "notice_id": "EVIL",
    "incident_id": 5,
    "order_number": "N",
    "message_ids": [EVIL],
    "attempts": 1,
    "not_before": None,
    "occurred_at": "2026-11-29T10:00:00Z",
    "created_at": "2026-11-29T10:00:00Z",
    "sent_at": None,
}
GROUP = {"value": EVIL, "count": 2, "open": 1, "critical": 1, "occurrences": 3, "last_seen_at": "2026-11-29T10:00:00Z"}
DIFFERENCE = {"notice_id": "EVIL", "kind": EVIL, "created_at": "2026-11-29T10:00:00Z", "was": [EVIL], "would": []}
TRIAL = {
    "targets": [evil(("destination", "channel", "route"))],
    "past": {"events": 2, "unrouted": 1, "changed": 1, "by_destination": {EVIL: 1}, "differences": [DIFFERENCE]},
}


AT = "2026-11-29T10:00:00Z"
BROKEN = json.dumps({"payload": {"positions": [{"id": EVIL, "quantity": EVIL}]}})
FAULT = {"field": "payload.positions.0.quantity", "code": EVIL, "message": EVIL}
REFUND = {
    **evil(("order_number", "state_name", "error", "reason", "business_key", "payment_id", "settled")),
    "amount": 50,
    "currency": "RUB",
    "next_attempt_at": AT,
    "created_at": AT,
    "state_since": AT,
    "version": 3,
    "lines": [{**evil(("id", "kind")), "quantity": "1", "of_quantity": "2", "amount": 50}],
}
EVIDENCE = {
    "attempts": [
        {"attempt": 1, **evil(("gateway", "gateway_key", "gateway_refund_id")), "began_at": AT, "sent_at": None}
    ],
    "calls": [
        {"attempt": 1, "at": AT, "seconds": 0.123, **evil(("operation", "outcome", "request", "answer"))},
    ],
}
PAYMENT = {
    **evil(("payment_id", "gateway")),
    "captured": 100,
    "captured_at": AT,
    "currency": "RUB",
    "reserved": 60,
    "refunded": 50,
    "left": 40,
    "refunds": 2,
}
DISAGREEMENT = {
    **evil(("kind", "gateway", "subject", "order_number", "detail", "payment_id", "adopted_as")),
    "id": 7,
    "version": 1,
    "amount": 10,
    "currency": "RUB",
    "found_at": AT,
    "over_at": None,
    "acknowledged_at": None,
    "acknowledged_by": None,
}
FAILURE = {
    **evil(("code", "error", "error_stack", "ended_by", "ended_why")),
    "attempts": 3,
    "failed_at": AT,
    "ended_at": None,
    "replaced_by": None,
}
WORKFLOW = {
    **evil(("order_number", "kind", "key", "error", "error_stack")),
    "id": 5,
    "state": 4,
    "state_name": "crashed",
    "version": 2,
    "last_seq": 2,
    "done_seq": 1,
    "pending": 1,
    "failed_events": 1,
    "failed_at": AT,
    "created_at": AT,
    "updated_at": AT,
    "events": [
        {
            "id": "5-2",
            "workflow_id": 5,
            "seq": 2,
            "type": EVIL,
            "event_id": EVIL,
            "state": 3,
            "state_name": "failed",
            "attributes": {"delivery_id": "EVIL", EVIL: EVIL},
            "received_at": AT,
            "recorded_at": AT,
            "failure": FAILURE,
        },
        {
            "id": "5-1",
            "workflow_id": 5,
            "seq": 1,
            "type": EVIL,
            "event_id": EVIL,
            "state": 2,
            "state_name": "done",
            "attributes": {},
            "received_at": AT,
            "recorded_at": AT,
            "failure": None,
        },
    ],
    "acts": [{"at": AT, **evil(("actor", "role", "action", "reason")), "before": None, "after": EVIL}],
}
STANDING = {
    **evil(("kind", "code", "error")),
    "state": 4,
    "state_name": "crashed",
    "workflows": 3,
    "failed_events": 3,
    "first_failed_at": AT,
    "last_failed_at": AT,
}
DELIVERY = {
    **evil(("source", "event", "type", "outcome", "lane", "number", "external_id", "sent_at", "reason", "replica")),
    **evil(("replay_of", "actor", "why", "traceparent", "event_id", "digest", "currency", "body_form")),
    "id": "EVIL",
    "received_at": AT,
    "recorded_at": AT,
    "occurred_at": AT,
    "erased_at": AT,
    "status": 200,
    "size": 5,
    "headers": {EVIL: EVIL},
    "body": BROKEN,
    "body_base64": None,
    "faults": [FAULT],
}
ENDANGERED = {
    **evil(
        ("source", "category", "origin", "link", "address", "external_id", "replica", "network", "state", "outcome")
    ),
    **evil(("number", "called_by", "report_id")),
    **dict.fromkeys(("mended_at", "resubmitted_at", "reported_at", "closed_at", "arrived_at", "called_at"), AT),
    "id": "EVIL",
    "version": 1,
    "received_at": AT,
    "status": 422,
    "answer": {EVIL: EVIL},
    "anonymous": False,
    "customer": {"name": EVIL, "phone": EVIL, "email": EVIL},
    "reached": True,
    "basket": [{"name": EVIL, "quantity": EVIL}, EVIL],
    "body": BROKEN,
    "mended": json.dumps({"payload": EVIL}),
    "faults": [FAULT],
    "duplicates": [{"same": [EVIL], "received_at": AT, "number": None, "id": EVIL, "state": EVIL}],
}
REPORTS = {
    "draft": {**evil(("recipient", "subject", "text")), "copies": []},
    "reports": [
        {**evil(("state", "created_by", "recipient", "last_error", "subject", "text")), "orders": 2}
        | {"created_at": AT, "sent_at": AT}
    ],
}
AUDITED = {**evil(("actor", "role", "action", "target", "reason", "request_id")), "id": 1, "at": AT}
AUDITED |= {"before": {EVIL: EVIL}, "after": None}


def hostile_answers() -> dict[str, tuple[int, Any]]:
    """Return what the services answer of things that have screens of their own."""
    one_by_one: dict[str, Any] = {
        "GET /refunds/v1/refunds/EVIL": REFUND,
        "GET /admin/v1/refunds/EVIL/evidence": EVIDENCE,
        "GET /admin/v1/refunds/EVIL/history": {
            "items": [{"at": AT, **evil(("before_name", "after_name", "happened", "actor", "detail"))}]
        },
        "GET /admin/v1/payments": {"items": [PAYMENT]},
        "GET /admin/v1/differences": {"items": [DISAGREEMENT]},
        "GET /admin/v1/workflows/EVIL": WORKFLOW,
        "GET /admin/v1/workflow-groups": {"items": [STANDING]},
        "GET /admin/v1/deliveries/EVIL": DELIVERY,
        "GET /admin/v1/endangered-orders": {"items": [ENDANGERED], "count": 1, "next_cursor": None},
        "GET /admin/v1/endangered-orders/EVIL": ENDANGERED,
        "GET /admin/v1/endangered-orders/EVIL/report": REPORTS,
        "GET /admin/v1/audit": {"items": [AUDITED], "next_cursor": None},
        "GET /admin/v1/arrivals": {"acknowledged": 3, "arrived": 1, "given_up": 1, "waiting": 1},
        "GET /admin/v1/told-orders": {"orders": 4, "told": 1, "waiting": 1, "nobody": 1, "failed": 1},
        "GET /admin/v1/verdicts": {"items": [{"at": AT, "found": 1, "looked": 2, **evil(("name", "detail"))}]},
        "GET /admin/v1/queues": QUEUES,
        "GET /admin/v1/tips/shadow": SHADOW,
        "GET /admin/v1/countdowns": {
            "items": [{**evil(("source", "external_id", "number", "state", "reason")), "status": 500, "cancels_at": AT}]
        },
    }
    return {line: (200, answer) for line, answer in one_by_one.items()}
