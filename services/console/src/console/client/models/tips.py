"""Answers of tips, made of its OpenAPI document by `python -m tests.contract.surface`; not written by hand."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


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


class ConstantsView(TypedDict):
    cashless_methods: list[str]
    maximum: int | None
    maximum_share: str
    negative_rating: int
    hold_after: float
    hold_until: float


class Empty(TypedDict):
    pass


class FeedbackView(TypedDict):
    rating: int | None
    tips_type: str | None
    tips_value: str | None
    choice: str | None
    done: bool
    updated_at: str


class HoldAnswer(TypedDict):
    need_hold_tips: bool


class OrderView(TypedDict):
    order_id: str
    version: int
    finished: bool
    finished_at: str | None
    cashless: bool
    refunded: bool
    zeroed: bool
    currency: str
    cost: int
    tips: int
    held_sum: int | None
    feedback_applied_at: str | None
    zone: str
    tariff: str


class PageAuditRecord(TypedDict):
    items: list[AuditRecord]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class StepView(TypedDict):
    rule: str
    outcome: str
    detail: str
    source: str


class TipsView(TypedDict):
    amount: int
    write: str
    steps: list[StepView]


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


class HoldView(TypedDict):
    need_hold_tips: bool
    steps: list[StepView]


class ExplanationView(TypedDict):
    order: OrderView
    feedback: FeedbackView | None
    constants: ConstantsView
    tips: TipsView
    hold: HoldView
