"""Context ``alerts``: problems that a person should know of. Any service sends them; the notifier decides who is notified and how."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from common.contracts.envelope import Message, Moment
from common.ids import derived_id

Severity = Literal["critical", "warning", "info"]


class ProblemRaisedV1(Message):
    """Something is wrong. Events with one ``fingerprint`` are one problem.

    ``details`` and ``summary`` hold no secret and no customer's data: they go to chats.
    """

    TYPE: ClassVar[str] = "alerts.problem.raised.v1"
    kind: str
    severity: Severity
    fingerprint: str
    summary: str
    details: dict[str, str] = Field(default_factory=dict)
    service: str
    order_number: str | None = None
    source: str | None = None
    store_id: str | None = None
    zone: str | None = None
    link: str | None = None
    occurred_at: Moment


def unreachable_fingerprint(number: str) -> str:
    """Return what makes one problem of a website order whose customer nobody can reach: the gateway raises it, the orchestrator ends it."""
    return derived_id("unreachable", number)


class ProblemResolvedV1(Message):
    """The problem with this fingerprint is over."""

    TYPE: ClassVar[str] = "alerts.problem.resolved.v1"
    fingerprint: str
    summary: str
    service: str
    occurred_at: Moment


class HeartbeatV1(Message):
    """The dead-man's switch: goes the way of every problem into a chat that nobody reads; its absence is the alarm."""

    TYPE: ClassVar[str] = "alerts.heartbeat.sent.v1"
    service: str
    occurred_at: Moment
