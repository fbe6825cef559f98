"""Incidents: one per problem, whoever reports it and however often. States open → acknowledged → resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from common.errors import Conflict, Unavailable

Severity = Literal["critical", "warning", "info"]
RANK: Mapping[str, int] = {"info": 0, "warning": 1, "critical": 2}
RecipeName: TypeAlias = Literal["retry_workflow", "restart_refund"]
_PATHS: Mapping[RecipeName, str] = {
    "retry_workflow": "/admin/v1/workflows/{}/retry",
    "restart_refund": "/admin/v1/refunds/{}/restart",
}
_WORKFLOW = "workflow:"
REVISING = ("ack", "resolve", "resolved", "ack_expired")
"""Lines of an incident's history that change who has it, or end it: its ``revision`` counts them, and not that it is reported again."""
NOBODY_NOTIFIED = "nobody was told"  # stored: reasons in the notification log begin with it


class IncidentState(StrEnum):
    """Where an incident stands. A problem that comes back after ``resolved`` is a new incident."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemFact:
    """A problem as somebody reports it. ``kind`` is what routes see (``problem.order_conflict``, ``workflow.crashed``).

    Reports with one ``fingerprint`` are one incident. ``summary`` and ``details`` hold no secret and no customer's data. ``environment``
    is given where the report is about another one than this service's own; ``responsible`` are names of people to tag. ``seen_at`` is
    when a sender that repeats itself says that it lasts, ``sender`` who that is, if it says one thing after the other;
    ``named_service`` is the service where the sender named it and it is no guess.
    """

    kind: str
    severity: Severity
    fingerprint: str
    summary: str
    service: str
    occurred_at: datetime
    details: Mapping[str, str] = field(default_factory=dict)
    order_number: str | None = None
    source: str | None = None
    store_id: str | None = None
    zone: str | None = None
    link: str | None = None
    what_to_do: str | None = None
    environment: str | None = None
    alert: str | None = None
    responsible: tuple[str, ...] = ()
    seen_at: datetime | None = None
    sender: str | None = None
    named_service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a report did: ``opened`` a new incident, or came to one that stood at ``severity_before``.

    ``muted``: why nobody has been notified of it yet.
    """

    incident_id: int
    opened: bool
    severity_before: str | None
    occurrences: int
    muted: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe and its target: a workflow's or a refund's id; ``version`` where the operation wants to know what was looked at."""

    name: RecipeName
    target: str
    version: int | None = None

    @classmethod
    def of(cls, name: RecipeName, fact: ProblemFact) -> Recipe | None:
        """Return a recipe for a problem: its target is the workflow of the fingerprint, or the refund of the details; None without one."""
        if name == "retry_workflow":
            target = fact.fingerprint.removeprefix(_WORKFLOW)
            known = fact.fingerprint.startswith(_WORKFLOW) and target.isascii() and target.isdecimal()
            return cls(name=name, target=target) if known else None
        target, version = fact.details.get("refund_id", ""), fact.details.get("version", "")
        if target and _harmless(target) and version.isascii() and version.isdecimal():
            return cls(name=name, target=target, version=int(version))
        return None

    @property
    def path(self) -> str:
        """The admin address that carries it out, at the orchestrator or the refunds service."""
        return _PATHS[self.name].format(self.target)

    def body(self, reason: str) -> Mapping[str, object]:
        """The body that the address takes."""
        return {"reason": reason} if self.version is None else {"reason": reason, "expected_version": self.version}


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident as people act on it."""

    id: int
    state: IncidentState
    fact: ProblemFact
    version: int
    holder: str | None = None
    """Who acknowledged it last."""
    held_since: datetime | None = None
    ack_until: datetime | None = None
    muted: str | None = None
    """Why nobody was notified of it yet."""


def should_notify(report: Reported, severity: str) -> Literal["opened", "graver", "escalated"] | None:
    """Whether people hear of a report: when it opens an incident or makes it graver. Repeats are only counted."""
    if report.opened:
        return "opened"
    if RANK.get(severity, 2) <= RANK.get(report.severity_before or "critical", 2):
        return None
    return "escalated" if severity == "critical" else "graver"


class TakenAlready(Conflict):
    """Somebody else took the incident first."""

    code = "taken_already"


def acknowledge(state: IncidentState, *, by: str, holder: str | None, take_over: bool = False) -> IncidentState:
    """Somebody takes it: compare-and-set on what the caller holds locked.

    Who has it already prolongs it. Of two people the first has it and the other gets ``TakenAlready``, unless the other takes it over
    on purpose. A resolved one raises ``Conflict``.
    """
    if state is IncidentState.RESOLVED:
        raise Conflict("the incident is resolved already")
    if state is IncidentState.ACKNOWLEDGED and holder not in (by, None) and not take_over:
        raise TakenAlready(f"the incident is taken by {holder}")
    return IncidentState.ACKNOWLEDGED


def resolve(state: IncidentState) -> IncidentState:
    """It is over. Resolving again raises ``Conflict``, so that nobody takes another's act for theirs."""
    if state is IncidentState.RESOLVED:
        raise Conflict("the incident is resolved already")
    return IncidentState.RESOLVED


def comment(state: IncidentState) -> IncidentState:
    """A remark changes nothing, in any state."""
    return state


def _harmless(target: str) -> bool:
    """Whether an id can stand in a path as it is."""
    return all(sign.isascii() and (sign.isalnum() or sign == "-") for sign in target)


class CallUnderWay(Unavailable):
    """Somebody is being phoned because of the incident at this very moment; the act is possible as soon as that call is out."""

    code = "call_under_way"
