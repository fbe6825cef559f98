"""What mutes a problem: a silence that somebody set, or another problem that explains it (inhibition). Orders are never muted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from notifier.incidents.model import RANK
from notifier.routing.model import Labels, fits

Purpose = Literal["silence", "maintenance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Nobody is notified of problems that fit ``match`` from ``starts_at`` up to ``ends_at``; a maintenance window is planned."""

    id: int
    match: Mapping[str, tuple[str, ...]]
    purpose: Purpose
    starts_at: datetime
    ends_at: datetime

    def covers(self, labels: Labels, now: datetime) -> bool:
        """Whether it holds now and fits. One that names nothing fits nothing: it would silence everything."""
        return bool(self.match) and self.starts_at <= now < self.ends_at and fits(self.match, labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhibition:
    """While a problem that fits ``source`` is open, nobody is notified of one that fits ``target`` and has the same ``equal`` traits.

    The service is always among them, as the report itself names it: a problem explains nothing elsewhere.
    """

    name: str
    source: Mapping[str, tuple[str, ...]]
    target: Mapping[str, tuple[str, ...]]
    equal: tuple[str, ...] = ()

    def explains(self, source: Labels, target: Labels) -> bool:
        """Whether one problem mutes the other; none does so to itself, nor to a graver one, and what is not known is not equal."""
        return (
            source.fingerprint != target.fingerprint
            and fits(self.source, source)
            and fits(self.target, target)
            and RANK.get(source.severity, 0) >= RANK.get(target.severity, 2)
            and all(_same(source, target, name) for name in {*self.equal, "service"})
        )


def _same(source: Labels, target: Labels, name: str) -> bool:
    field = "named_service" if name == "service" else name
    value = getattr(source, field)
    return bool(value) and value == getattr(target, field)


def silence_of(row: Any) -> Silence:
    """Read a silence's row."""
    return Silence(
        id=row["id"],
        match={label: tuple(patterns) for label, patterns in row["match"].items()},
        purpose=row["purpose"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
    )


def why_muted(
    labels: Labels,
    *,
    now: datetime,
    silences: Sequence[Silence],
    inhibitions: Sequence[Inhibition],
    open_incidents: Sequence[tuple[int, Labels]],
) -> str | None:
    """Return why nobody is notified of a problem, or None. ``open_incidents`` are problems that are not over, with their ids."""
    for silence in silences:
        if silence.covers(labels, now):
            return f"silenced by {silence.purpose} {silence.id} until {silence.ends_at:%Y-%m-%dT%H:%M:%SZ}"
    for rule in inhibitions:
        if not fits(rule.target, labels):
            continue
        for incident_id, source in open_incidents:
            if rule.explains(source, labels):
                return f"inhibited by incident {incident_id} ({rule.name})"
    return None
