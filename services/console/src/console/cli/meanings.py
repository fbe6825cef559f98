"""What options mean whose service says no more than their name. Light, for commands are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.client.operations import SERVICES

_ORDER = "the order's number"
_PHONE = "in any spelling, or its last digits"
_MEANINGS: Mapping[str, str] = {
    "action": "what was done, as the audit log names it",
    "actor": "who did it",
    "address": "the whole of it, in words",
    "aggregate_state": "what the order's workflows together come to",
    "alert": "the alert's own name; several by commas",
    "all": "all there are",
    "anonymous": "only those without a valid token, or only the others",
    "as_of_now": "as if it happened now, and not at the event's own time",
    "assignee": "who works on it",
    "call": "whether a person is phoned for it",
    "code": "why it failed, as `workflow show` says",
    "created_after": "begun later than this",
    "created_before": "begun earlier than this",
    "days": "of the last so many days",
    "destination": "its name in the routes",
    "development_ticket": "the developers' ticket",
    "email": "the customer's mail",
    "enabled": "on or off",
    "event": "its name, such as order.created",
    "event_type": "its name, such as order.created",
    "external_id": "the number that the marketplace or website gave it",
    "failed_after": "failed later than this",
    "failed_before": "failed earlier than this",
    "from": "from then on",
    "handler": "what could not carry it out",
    "hook": "the event that waits, such as order.paid",
    "id": "its id",
    "incident": "the incident's number",
    "ip": "the customer's address in the network",
    "fingerprint": "the one problem's own; several by commas",
    "kind": "such as workflow.crashed; several by commas",
    "error": "a part of what it says",
    "comment": "in words",
    "cause": "what is wrong",
    "known_defect": "whether its cause is known",
    "name": "a part of the customer's name",
    "network": "where it came from, such as 203.0.113.0/24",
    "number": _ORDER,
    "open": "only what waits for a decision, or only the rest",
    "order": _ORDER,
    "order_number": _ORDER,
    "order_numbers": "numbers of orders",
    "outcome": "how it ended",
    "over": "only those that are over, or only the others",
    "parked_after": "waiting since later than this",
    "parked_before": "waiting since earlier than this",
    "patch": "what to change in what each carries; null takes a field away",
    "payload": "the body, as the marketplace should have sent it",
    "payment": "the payment's id at its payment system",
    "payment_id": "the payment's id at its payment system",
    "person": "who, by the id that `duty weeks` shows; yourself: `duty take`",
    "phone": _PHONE,
    "purpose": "what it is kept as",
    "q": "whatever is known: number, phone or its last digits, mail, a part of the name",
    "queue": "the queue's name",
    "reached": "whether the customer answered",
    "reason": "a part of why",
    "remedy": "what was or will be done about it",
    "service": "one of webhook-gateway, orchestrator, tips, refunds, notifier",
    "since": "from then on",
    "slug": "the marketplace's short word for why",
    "source": "the marketplace or website, such as sbermarket",
    "starts_at": "from when on",
    "ends_at": "until when",
    "store_id": "the store",
    "subject": "what it is about",
    "summary": "in one line",
    "swap": "two Mondays that change places; see `duty swap`",
    "target": "what it was done to",
    "text": "in words",
    "ticket": "its key",
    "timestamp": "when it happened; now unless given",
    "tips": "the tips, and nothing else",
    "to": "until then",
    "type": "the message's type",
    "undecided": "only what waits for a decision, or only the rest",
    "until": "until then",
    "version": "which version",
    "workflow_id": "the workflow's number",
}
_OF_ONE: Mapping[tuple[str, str], str] = {
    ("endangered mend", "body"): "the whole corrected order; `endangered show -o json` has it as it was sent",
    ("event mend", "payload"): "the corrected body (as it came: `ordersctl intake show DELIVERY`)",
    ("intake mend", "body"): "the whole corrected body; as it came unless given",
    ("limits lift", "address"): "the customer's address, as it was ordered to",
    ("known-defect add", "severity"): "critical, warning or info",
    ("silence add", "severity"): "critical, warning or info",
    ("limit list", "kind"): "what they are limited by",
    ("limit list", "address"): "the customer's address, as it was ordered to",
    ("message list", "state"): "of a delivery; not_told: why nobody is told is kept",
    ("order cancel", "description"): "why, for those who are told",
    ("order correct", "positions"): 'the whole basket: [{"id": "sku-1", "quantity": 2}]',
    ("order correct", "comment"): "the customer's wish",
    ("order correct", "customer"): 'such as {"phone": "+79990001122"}',
    ("order correct", "delivery_window"): "in words",
    ("order refund", "amount"): "all that is left unless given",
    ("order refund", "positions"): 'these goods only: [{"id": "sku-1", "quantity": 1}]',
    ("parked list", "hook"): "the event that waits, such as order.paid",
    ("workflow list", "state"): "running, stopped, finished or crashed",
    ("workflow list", "kind"): "such as order_life, update_transactions",
    ("event list", "state"): "new, done, failed, skipped, superseded or mended",
    ("stock-movement list", "kind"): "why they left or came back",
    ("incident list", "kind"): "such as workflow.crashed",
    ("incident list", "source"): "who reported it",
    ("duty override", "starts_at"): "from when on; now unless given",
    ("duty override", "ends_at"): "until when; needed, but for --swap",
    ("dead-letter list", "state"): "what was decided",
    ("refund list", "error"): "such as gateway_silent or declined",
}


WORDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("workflow", "state"): ("running", "stopped", "finished", "crashed"),
    ("event", "state"): ("new", "done", "failed", "skipped", "superseded", "mended"),
    ("refund", "state"): (
        *("CREATE", "SENDING", "PENDING", "SUCCESS", "UNKNOWN", "ERROR"),
        *("DECLINED", "REVERSED", "REJECTED", "CANCELLED", "CLOSED"),
    ),
}
"""What Tab offers where the service takes these words and numbers, too. By noun and field."""


def words_of(command: str, name: str, choices: Sequence[str]) -> Sequence[str]:
    """Return what Tab offers for an option of a command; ``choices``: all that the service takes, if it says so."""
    return choices or (SERVICES if name == "service" else WORDS.get((command.partition(" ")[0], name), ()))


def meaning(command: str, name: str) -> str:
    """Return what an option of a command means, in a few words; nothing where only the service can say."""
    return _OF_ONE.get((command, name)) or _MEANINGS.get(name, "")
