"""Answers of refunds, made of its OpenAPI document by `python -m tests.contract.surface`; not written by hand."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class AttemptView(TypedDict):
    attempt: int
    gateway: str
    gateway_key: str
    began_at: str
    sent_at: str | None
    gateway_refund_id: str | None


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


class CallView(TypedDict):
    attempt: int
    at: str
    operation: str
    request: str
    outcome: str
    answer: str
    seconds: float


CloseOutcome: TypeAlias = Literal['closed', 'paid_at_gateway']


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


class DifferenceView(TypedDict):
    kind: str
    gateway: str
    subject: str
    order_number: str | None
    detail: str


class Erased(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    places: int
    by_kind: dict[str, int]
    kept: dict[str, str]


class EvidenceView(TypedDict):
    attempts: list[AttemptView]
    calls: list[CallView]


GatewayStatus: TypeAlias = Literal['opened', 'pending', 'succeeded', 'failed', 'missing']


class HistoryView(TypedDict):
    version: int
    attempt: int
    before: int | None
    before_name: str | None
    after: int
    after_name: str
    happened: str
    actor: str
    detail: str
    at: str


LineKind: TypeAlias = Literal['position', 'delivery', 'tips']


class LineView(TypedDict):
    id: str
    kind: LineKind
    quantity: str
    of_quantity: str
    paid: int
    amount: int


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


class PaymentView(TypedDict):
    payment_id: str
    gateway: str
    captured: int | None
    captured_at: str | None
    currency: str | None
    reserved: int
    refunded: int
    left: int | None
    refunds: int


Proof: TypeAlias = Literal['never_sent', 'never_started', 'not_started', 'absent', 'failed', 'pending', 'succeeded', 'nothing']


class ReconciliationView(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    since: str
    until: str
    registers: dict[str, str]
    examined: int
    advanced: int
    unanswered: int
    differences: list[DifferenceView]
    failed: NotRequired[list[str]]
    at: NotRequired[str | None]


class RefundAccepted(TypedDict):
    notices: NotRequired[list[str]]
    id: str
    state: int
    state_name: str


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


Settled: TypeAlias = Literal['outside', 'given_up']


class StoredDifferenceView(TypedDict):
    kind: str
    gateway: str
    subject: str
    order_number: str | None
    detail: str
    id: int
    version: int
    payment_id: str | None
    amount: int | None
    currency: str | None
    found_at: str
    acknowledged_at: str | None
    acknowledged_by: str | None
    over_at: str | None
    adopted_as: str | None


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


class BulkAnswer(TypedDict):
    dry_run: bool
    plan: str
    matched: int
    more: bool
    already_applied: NotRequired[bool]
    items: list[BulkItem]


class HistoryList(TypedDict):
    items: list[HistoryView]
    next_cursor: NotRequired[str | None]


class PagePaymentView(TypedDict):
    items: list[PaymentView]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageStoredDifferenceView(TypedDict):
    items: list[StoredDifferenceView]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class RefundView(TypedDict):
    notices: NotRequired[list[str]]
    id: str
    state: int
    state_name: str
    business_key: str
    order_number: str
    payment_id: str
    amount: int | None
    currency: str
    reason: str
    version: int
    attempt: int
    settled: Settled | None
    error: str | None
    next_attempt_at: str | None
    created_at: str
    state_since: str
    lines: NotRequired[list[LineView]]


class RestartAnswer(TypedDict):
    notices: NotRequired[list[str]]
    outcome: str
    dry_run: bool
    refund: RefundView


class RestartedRefund(TypedDict):
    notices: NotRequired[list[str]]
    id: int | str
    version: int | str | None
    outcome: str
    code: NotRequired[str | None]
    detail: NotRequired[str | None]
    refund: NotRequired[RefundView | None]


class SettlingAnswer(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    difference: StoredDifferenceView
    refund: RefundView | None


class CheckAnswer(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    gateway: GatewayStatus | None
    refund: RefundView
    difference: DifferenceView | None


class CloseAnswer(TypedDict):
    notices: NotRequired[list[str]]
    outcome: CloseOutcome
    gateway: Proof
    dry_run: bool
    refund: RefundView


class PageRefundView(TypedDict):
    items: list[RefundView]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class RefundsRestarted(TypedDict):
    dry_run: bool
    plan: str
    matched: int
    more: bool
    already_applied: NotRequired[bool]
    items: list[RestartedRefund]
