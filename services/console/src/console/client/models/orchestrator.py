"""Answers of orchestrator, made of its OpenAPI document by `python -m tests.contract.surface`; not written by hand."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing import TypedDict


class AddressView(TypedDict):
    text: str
    parts: dict[str, str]


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


class BulkItem(TypedDict):
    notices: NotRequired[list[str]]
    id: int | str
    version: int | str | None
    outcome: str
    code: NotRequired[str | None]
    detail: NotRequired[str | None]


class CancellationView(TypedDict):
    slug: str | None
    description: str | None


class CustomerView(TypedDict):
    name: str | None
    phone: str | None
    email: str | None


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


class DocumentVersion(TypedDict):
    version: int
    digest: str
    issued_at: str
    issued_by: str
    reason: str


class DocumentView(TypedDict):
    version: int
    digest: str
    issued_at: str
    issued_by: str
    reason: str
    number: str
    content_type: str
    content: str
    order_revision: int


class Erased(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    places: int
    by_kind: dict[str, int]
    kept: dict[str, str]


class EventFailure(TypedDict):
    code: str
    error: str
    error_stack: str
    attempts: int
    failed_at: str
    ended_at: str | None
    ended_by: str | None
    ended_why: str | None
    replaced_by: str | None


class FeedbackTaken(TypedDict):
    number: str
    started: bool


class FlagSet(TypedDict):
    notices: NotRequired[list[str]]
    name: str
    enabled: bool
    share: int
    version: int
    updated_at: str
    updated_by: str
    percent: float


class FlagView(TypedDict):
    name: str
    enabled: bool
    share: int
    version: int
    updated_at: str
    updated_by: str
    percent: float


class Flags(TypedDict):
    items: list[FlagView]


class GoodsBack(TypedDict):
    id: str
    quantity: str
    amount: int | None


class IncidentView(TypedDict):
    kind: str
    hook: str
    moment: str


class PageAuditRecord(TypedDict):
    items: list[AuditRecord]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageDeadLetter(TypedDict):
    items: list[DeadLetter]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageDocumentVersion(TypedDict):
    items: list[DocumentVersion]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class ParkedOrder(TypedDict):
    order_number: str
    workflow_id: int
    source: str
    hook: str
    since: str
    alerted_at: str | None


class PaymentView(TypedDict):
    method: str | None
    id: str | None
    paid: bool
    paid_at: str | None
    refunded: bool | None


class Position(TypedDict):
    id: str
    name: NotRequired[str | None]
    quantity: str
    original_quantity: NotRequired[str | None]
    price: NotRequired[int | None]
    discount_price: NotRequired[int | None]
    total_price: NotRequired[int | None]
    total_discount_price: NotRequired[int | None]
    weight: NotRequired[str | None]
    replaces: NotRequired[str | None]


class PositionChange(TypedDict):
    before: Position
    after: Position


class PositionView(TypedDict):
    id: str
    name: str | None
    quantity: str
    original_quantity: str | None
    price: int | None
    discount_price: int | None
    total_price: int | None
    total_discount_price: int | None
    weight: str | None
    replaces: NotRequired[str | None]


class Recalculated(TypedDict):
    notices: NotRequired[list[str]]
    number: str
    dry_run: bool
    before: str
    after: str


class RecalculatedOrder(TypedDict):
    notices: NotRequired[list[str]]
    id: int | str
    version: int | str | None
    outcome: str
    code: NotRequired[str | None]
    detail: NotRequired[str | None]
    number: NotRequired[str | None]
    before: NotRequired[str | None]
    after: NotRequired[str | None]


class RefundLine(TypedDict):
    id: str
    kind: NotRequired[Literal['position', 'delivery', 'tips']]
    quantity: NotRequired[str]
    of_quantity: NotRequired[str]
    paid: int


class RefundRequestView(TypedDict):
    business_key: str
    payment_id: str
    amount: int | None
    tips: int
    currency: str
    reason: str
    requested_by: str
    requested_at: str
    rejected: str | None
    refund_id: str | None
    state: str | None


class RefundRequests(TypedDict):
    items: list[RefundRequestView]


class RefundWantedV1(TypedDict):
    order_number: str
    payment_id: str
    amount: int | None
    currency: str
    reason: str
    business_key: str
    lines: NotRequired[list[RefundLine]]
    source: NotRequired[str | None]


class ReissueTaken(TypedDict):
    notices: NotRequired[list[str]]
    number: str
    dry_run: bool
    replaces: int


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


class RuleDiffered(TypedDict):
    decision: str
    rule: str | None
    orders: int
    last_at: str


class ShadowDifference(TypedDict):
    order_number: str
    differed_at: str
    decision: str
    rule: str | None
    own_amount: int
    service_amount: int
    own_hold: bool
    service_hold: bool
    currency: str | None


class StockMovement(TypedDict):
    id: int
    number: str
    store_id: str
    position_id: str
    quantity: str
    kind: str
    occurred_at: str
    recorded_at: str


class TimelineItem(TypedDict):
    at: str
    service: str
    kind: str
    actor: str
    summary: str
    details: dict[str, Any]
    trace_id: str | None


class TipsView(TypedDict):
    amount: int
    type: str | None
    choice: str | None
    done: bool
    feedback_at: str | None
    held_amount: int | None
    held_at: str | None


class TipsZeroed(TypedDict):
    number: str
    reason: str
    changed: bool


class TotalsView(TypedDict):
    currency: str
    total_price: int | None
    total_discount_price: int | None
    cost: int | None


class TransactionsView(TypedDict):
    number: str
    sum_to_pay: int
    refunded: int
    tips: int
    currency: str
    decided_by: str
    fallback: str | None
    iterations: int
    computed_at: str
    next_check_at: str | None


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


class WindowView(TypedDict):
    starts: str | None
    ends: str | None
    text: str


class WorkflowAct(TypedDict):
    at: str
    actor: str
    role: str
    action: str
    reason: str
    before: Any
    after: Any


class WorkflowEventView(TypedDict):
    id: str
    workflow_id: int
    seq: int
    type: str
    event_id: str
    state: int
    state_name: str
    attributes: dict[str, Any]
    received_at: str
    recorded_at: str
    failure: NotRequired[EventFailure | None]


class WorkflowFound(TypedDict):
    id: int
    order_number: str
    kind: str
    key: str
    state: int
    state_name: str
    version: int
    last_seq: int
    done_seq: int
    pending: int
    failed_events: int
    error: str | None
    error_stack: str | None
    failed_at: str | None
    created_at: str
    updated_at: str
    refusals: NotRequired[dict[str, str]]


class WorkflowGroup(TypedDict):
    kind: str
    state: int
    state_name: str
    code: str | None
    error: str | None
    workflows: int
    failed_events: int
    first_failed_at: str | None
    last_failed_at: str | None


class WorkflowGroups(TypedDict):
    items: list[WorkflowGroup]


class WorkflowView(TypedDict):
    id: int
    order_number: str
    kind: str
    key: str
    state: int
    state_name: str
    version: int
    last_seq: int
    done_seq: int
    pending: int
    failed_events: int
    error: str | None
    error_stack: str | None
    failed_at: str | None
    created_at: str
    updated_at: str


class BulkAnswer(TypedDict):
    dry_run: bool
    plan: str
    matched: int
    more: bool
    already_applied: NotRequired[bool]
    items: list[BulkItem]


class EventReprocessed(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    original: WorkflowEventView
    appended: WorkflowEventView
    workflow: WorkflowView


class OperatedWorkflow(TypedDict):
    notices: NotRequired[list[str]]
    id: int | str
    version: int | str | None
    outcome: str
    code: NotRequired[str | None]
    detail: NotRequired[str | None]
    workflow: NotRequired[WorkflowView | None]


class OrderDifference(TypedDict):
    added: NotRequired[list[Position]]
    removed: NotRequired[list[Position]]
    changed: NotRequired[list[PositionChange]]
    fields: NotRequired[list[tuple[str, str | None, str | None]]]


class OrderSummary(TypedDict):
    number: str
    source: str
    external_id: str
    status: Literal['created', 'paid', 'received', 'delivered', 'cancelled']
    aggregate_state: str
    closed_for_changes: bool
    shipped: bool
    version: int
    store_id: str | None
    zone: str
    tariff: str
    currency: str
    cost: int | None
    customer: CustomerView | None
    address: AddressView | None
    delivery_window: WindowView | None
    created_at: str
    updated_at: str


class OrderView(TypedDict):
    number: str
    source: str
    external_id: str
    status: Literal['created', 'paid', 'received', 'delivered', 'cancelled']
    aggregate_state: str
    closed_for_changes: bool
    shipped: bool
    version: int | None
    positions: list[PositionView]
    totals: TotalsView
    payment: PaymentView
    tips: TipsView | None
    customer: CustomerView | None
    address: AddressView | None
    delivery_window: WindowView | None
    zone: str
    tariff: str
    store_id: str | None
    comment: str | None
    shipment_method: str | None
    replacement_policy: str | None
    cancellation: CancellationView | None
    incidents: list[IncidentView]
    created_at: str
    shipped_at: str | None
    finished_at: str | None
    cancelled_at: str | None
    updated_at: str


class OrdersRecalculated(TypedDict):
    dry_run: bool
    plan: NotRequired[str | None]
    matched: NotRequired[int]
    more: NotRequired[bool]
    already_applied: NotRequired[bool]
    items: list[RecalculatedOrder]
    orders: NotRequired[int]
    differing: NotRequired[int]
    queued: NotRequired[int]


class PageOrderSummary(TypedDict):
    items: list[OrderSummary]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageParkedOrder(TypedDict):
    items: list[ParkedOrder]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageStockMovement(TypedDict):
    items: list[StockMovement]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageTimelineItem(TypedDict):
    items: list[TimelineItem]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageWorkflowEventView(TypedDict):
    items: list[WorkflowEventView]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageWorkflowFound(TypedDict):
    items: list[WorkflowFound]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class RefundAsked(TypedDict):
    notices: NotRequired[list[str]]
    number: str
    dry_run: bool
    business_key: str
    payment_id: str
    amount: int | None
    amount_is: Literal['asked', 'worth_of_positions', 'left_of_positions', 'left_of_payment']
    currency: str
    positions: list[GoodsBack]
    tips: int
    lines: NotRequired[list[RefundLine]]


class ShadowAgreement(TypedDict):
    since: str
    first_at: str | None
    compared: int
    agreed: int
    differed: int
    failed: int
    rules: list[RuleDiffered]
    differences: list[ShadowDifference]


class WorkflowChanged(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    before: WorkflowView
    after: WorkflowView


class WorkflowDetail(TypedDict):
    id: int
    order_number: str
    kind: str
    key: str
    state: int
    state_name: str
    version: int
    last_seq: int
    done_seq: int
    pending: int
    failed_events: int
    error: str | None
    error_stack: str | None
    failed_at: str | None
    created_at: str
    updated_at: str
    refusals: NotRequired[dict[str, str]]
    runbook: NotRequired[str | None]
    events: list[WorkflowEventView]
    acts: list[WorkflowAct]


class WorkflowsOperated(TypedDict):
    dry_run: bool
    plan: str
    matched: int
    more: bool
    already_applied: NotRequired[bool]
    items: list[OperatedWorkflow]


class WorkflowsStopped(TypedDict):
    dry_run: bool
    plan: str
    matched: int
    more: bool
    already_applied: NotRequired[bool]
    items: list[OperatedWorkflow]
    stopped: NotRequired[int]


class EventEffect(TypedDict):
    summary: str
    currency: str
    difference: OrderDifference


class FailureEnded(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    event: WorkflowEventView
    appended: NotRequired[WorkflowEventView | None]
    effect: NotRequired[EventEffect | None]
    workflow: WorkflowView


class OperatorEventAdded(TypedDict):
    notices: NotRequired[list[str]]
    number: str
    dry_run: bool
    event: str
    event_id: str
    version: int
    workflow_state: str
    status_before: Literal['created', 'paid', 'received', 'delivered', 'cancelled']
    status_after: Literal['created', 'paid', 'received', 'delivered', 'cancelled']
    currency: str
    difference: OrderDifference
    refund: str | None
