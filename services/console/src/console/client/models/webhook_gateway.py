"""Answers of webhook-gateway, made of its OpenAPI document by `python -m tests.contract.surface`; not written by hand."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Arrivals = TypedDict(
    'Arrivals',
    {
        'from': str,
        'to': str,
        'acknowledged': int,
        'arrived': int,
        'given_up': int,
        'waiting': int,
    },
)


class AuditRecord(TypedDict):
    id: int
    at: str
    actor: str
    role: str
    action: str
    target: str
    reason: str
    before: Any
    after: Any
    request_id: str


class Ban(TypedDict):
    id: str
    kind: str
    value: str
    source: str
    since: str
    until: str
    refused: int
    refused_at: str


class BulkItem(TypedDict):
    notices: NotRequired[list[str]]
    id: int | str
    version: int | str | None
    outcome: str
    code: NotRequired[str | None]
    detail: NotRequired[str | None]


class Countdown(TypedDict):
    source: str
    external_id: str
    number: str
    state: Literal['running', 'expired', 'answered']
    remaining_seconds: float
    started_at: str
    cancels_at: str
    missed_at: str
    status: int
    reason: Literal['refused', 'slow', 'hung_up']
    replica: str
    answered_at: str | None


class Customer(TypedDict):
    name: NotRequired[str | None]
    phone: NotRequired[str | None]
    email: NotRequired[str | None]


class DeadLetter(TypedDict):
    id: int
    queue: str
    handler: str
    event_id: str | None
    event_type: str | None
    subject: str | None
    reason: str
    error: str
    dead_at: str
    state: Literal['open', 'replayed', 'mended', 'dismissed']
    decided_at: str | None
    decided_by: str | None
    replayed_at: str | None
    replayed_by: str | None
    erased_at: str | None


class Decided(TypedDict):
    notices: NotRequired[list[str]]
    id: int
    queue: str
    event_id: str | None
    state: Literal['replayed', 'mended', 'dismissed']
    dry_run: bool


class DeliveryItem(TypedDict):
    id: str
    received_at: str
    source: str
    event: str
    type: str
    outcome: str
    lane: str
    number: str | None
    external_id: str | None
    sent_at: str | None
    reason: str | None
    status: int | None
    replica: str
    replay_of: str | None
    occurred_at: str | None
    actor: str | None
    why: str | None
    size: int
    traceparent: str | None
    erased_at: str | None


class Dismissed(TypedDict):
    notices: NotRequired[list[str]]
    delivery_id: str
    dismissed: bool


class Draft(TypedDict):
    recipient: str | None
    copies: list[str]
    subject: str
    text: str


class EndangeredOrder(TypedDict):
    id: str
    version: int
    source: str
    received_at: str
    status: int
    category: str
    origin: str
    link: str | None
    answer: Any
    customer: Customer
    address: str | None
    basket: list[Any]
    body: str | None
    mended: str | None
    external_id: str | None
    replica: str
    network: str | None
    anonymous: bool
    state: str
    outcome: str | None
    number: str | None
    report_id: str | None
    mended_at: str | None
    resubmitted_at: str | None
    reported_at: str | None
    closed_at: str | None
    arrived_at: str | None
    called_at: str | None
    called_by: str | None
    reached: bool | None


class EnteredEvent(TypedDict):
    notices: NotRequired[list[str]]
    status: Literal['created', 'ok']
    number: str
    delivery_id: str
    event: str
    dry_run: bool


class Erased(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    places: int
    by_kind: dict[str, int]
    kept: dict[str, str]


class Fault(TypedDict):
    field: str
    code: str
    message: str


class GoodsUnderstood(TypedDict):
    id: str
    name: str | None
    quantity: str | None
    price: int | None
    amount: int | None


class Lifted(TypedDict):
    notices: NotRequired[list[str]]
    id: str
    lifted: bool
    was_banned: bool
    dry_run: bool


class LikelyDuplicate(TypedDict):
    same: list[str]
    received_at: str
    number: str | None
    id: str | None
    state: str | None


class PageAuditRecord(TypedDict):
    items: list[AuditRecord]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageBan(TypedDict):
    items: list[Ban]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageCountdown(TypedDict):
    items: list[Countdown]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageDeadLetter(TypedDict):
    items: list[DeadLetter]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageDeliveryItem(TypedDict):
    items: list[DeliveryItem]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageEndangeredOrder(TypedDict):
    items: list[EndangeredOrder]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class RefusedFor(TypedDict):
    source: str
    reason: str
    count: int


class RepeatedAct(TypedDict):
    action: str
    reason: str
    times: int
    people: list[str]
    first_at: str
    last_at: str
    latest: list[str]


class RepeatedActs(TypedDict):
    items: list[RepeatedAct]


class Replayed(TypedDict):
    notices: NotRequired[list[str]]
    id: int
    queue: str
    event_id: str | None
    replayed: bool


class ReplayedDelivery(TypedDict):
    notices: NotRequired[list[str]]
    id: int | str
    version: int | str | None
    outcome: str
    code: NotRequired[str | None]
    detail: NotRequired[str | None]
    delivery_id: NotRequired[str | None]
    number: NotRequired[str | None]
    event: NotRequired[str | None]


class ReplicaSums(TypedDict):
    received: NotRequired[int]
    confirmed: NotRequired[int]
    spooled: NotRequired[int]
    quarantined: NotRequired[int]
    refused: NotRequired[int]
    outcomes: NotRequired[int]
    difference: NotRequired[int]
    replica: str


class Rescued(TypedDict):
    goods: NotRequired[list[GoodsUnderstood] | None]
    total: NotRequired[int | None]
    currency: NotRequired[str | None]
    notices: NotRequired[list[str]]
    id: str
    state: str
    outcome: NotRequired[str | None]
    dry_run: bool


class Resent(TypedDict):
    notices: NotRequired[list[str]]
    delivery_id: str
    event: str
    number: str
    dry_run: bool


class Resubmitted(TypedDict):
    goods: NotRequired[list[GoodsUnderstood] | None]
    total: NotRequired[int | None]
    currency: NotRequired[str | None]
    notices: NotRequired[list[str]]
    id: str
    state: str
    delivery_id: str
    event: str
    number: str
    duplicates: list[LikelyDuplicate]
    dry_run: bool


class ResubmittedOrder(TypedDict):
    goods: NotRequired[list[GoodsUnderstood] | None]
    total: NotRequired[int | None]
    currency: NotRequired[str | None]
    notices: NotRequired[list[str]]
    id: int | str
    version: int | str | None
    outcome: str
    code: NotRequired[str | None]
    detail: NotRequired[str | None]
    warnings: NotRequired[list[str]]


class SentReport(TypedDict):
    id: str
    created_at: str
    created_by: str
    cause: str
    remedy: str
    sender: str
    recipient: str
    copies: list[str]
    subject: str
    text: str
    message_id: str
    state: str
    orders: int
    attempts: int
    last_error: str | None
    sent_at: str | None


class SourceSums(TypedDict):
    received: NotRequired[int]
    confirmed: NotRequired[int]
    spooled: NotRequired[int]
    quarantined: NotRequired[int]
    refused: NotRequired[int]
    outcomes: NotRequired[int]
    difference: NotRequired[int]
    source: str


class UnarrivedOrder(TypedDict):
    number: str
    source: str | None
    external_id: str | None
    acknowledged_at: str
    age_seconds: float


class Verdict(TypedDict):
    name: str
    at: str
    found: int
    looked: int
    detail: str


class Verdicts(TypedDict):
    items: list[Verdict]


class WaitingQueue(TypedDict):
    name: str
    replica: NotRequired[str | None]
    waiting: int | None
    oldest_seconds: NotRequired[float | None]
    late_after_seconds: NotRequired[float | None]
    late_above: NotRequired[int | None]
    as_of: NotRequired[str | None]
    state: Literal['unknown', 'empty', 'waiting', 'late']


class WaitingQueues(TypedDict):
    items: list[WaitingQueue]
    complete: bool


class Whoami(TypedDict):
    name: str
    role: str
    permissions: list[str]


class WholeEndangeredOrder(TypedDict):
    id: str
    version: int
    source: str
    received_at: str
    status: int
    category: str
    origin: str
    link: str | None
    answer: Any
    customer: Customer
    address: str | None
    basket: list[Any]
    body: str | None
    mended: str | None
    external_id: str | None
    replica: str
    network: str | None
    anonymous: bool
    state: str
    outcome: str | None
    number: str | None
    report_id: str | None
    mended_at: str | None
    resubmitted_at: str | None
    reported_at: str | None
    closed_at: str | None
    arrived_at: str | None
    called_at: str | None
    called_by: str | None
    reached: bool | None
    faults: list[Fault]
    duplicates: list[LikelyDuplicate]


class WholeLetter(TypedDict):
    id: int
    queue: str
    handler: str
    event_id: str | None
    event_type: str | None
    subject: str | None
    reason: str
    error: str
    dead_at: str
    state: Literal['open', 'replayed', 'mended', 'dismissed']
    decided_at: str | None
    decided_by: str | None
    replayed_at: str | None
    replayed_by: str | None
    erased_at: str | None
    body: Any
    data: Any
    body_base64: str | None
    mended: Any
    became: Literal['on_its_way', 'handled', 'dead_again'] | None


class WrittenReport(TypedDict):
    notices: NotRequired[list[str]]
    id: str | None
    endangered_id: str
    state: str
    message_id: str | None
    sender: str
    recipient: str | None
    copies: list[str]
    subject: str
    text: str
    dry_run: bool


class BulkAnswer(TypedDict):
    dry_run: bool
    plan: str
    matched: int
    more: bool
    already_applied: NotRequired[bool]
    items: list[BulkItem]


class DeliveriesReplayed(TypedDict):
    dry_run: bool
    plan: str
    matched: int
    more: bool
    already_applied: NotRequired[bool]
    items: list[ReplayedDelivery]


class Delivery(TypedDict):
    id: str
    received_at: str
    source: str
    event: str
    type: str
    outcome: str
    lane: str
    number: str | None
    external_id: str | None
    sent_at: str | None
    reason: str | None
    status: int | None
    replica: str
    replay_of: str | None
    occurred_at: str | None
    actor: str | None
    why: str | None
    size: int
    traceparent: str | None
    erased_at: str | None
    version: int
    decision: str | None
    recorded_at: str
    event_id: str
    digest: str | None
    currency: str | None
    body_form: str
    headers: dict[str, Any]
    body: str | None
    body_base64: str | None
    faults: list[Fault]


Ledger = TypedDict(
    'Ledger',
    {
        'received': NotRequired[int],
        'confirmed': NotRequired[int],
        'spooled': NotRequired[int],
        'quarantined': NotRequired[int],
        'refused': NotRequired[int],
        'outcomes': NotRequired[int],
        'difference': NotRequired[int],
        'from': str,
        'to': str,
        'by_replica': list[ReplicaSums],
        'by_source': list[SourceSums],
        'refused_for': list[RefusedFor],
    },
)


class OrdersResubmitted(TypedDict):
    dry_run: bool
    plan: str
    matched: int
    more: bool
    already_applied: NotRequired[bool]
    items: list[ResubmittedOrder]


class PageUnarrivedOrder(TypedDict):
    items: list[UnarrivedOrder]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class ReportFile(TypedDict):
    draft: Draft
    reports: list[SentReport]
