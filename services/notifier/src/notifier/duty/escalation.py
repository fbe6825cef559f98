"""The escalation chain: who is reminded or phoned, and when, until somebody takes the incident. Pure; timers lie in the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from notifier.incidents.model import IncidentState
from notifier.people.model import Directory

Whom: TypeAlias = Literal["on_duty", "backup", "owners"]
_CHAIN: tuple[Whom, ...] = ("on_duty", "backup", "owners")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: ``after`` the step before it (the first: after the incident became critical), remind or call somebody."""

    after: timedelta
    act: Literal["remind", "call"]
    whom: Whom


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The whole chain. It is gone through ``rounds`` times, ``pause`` apart; an acknowledgement holds for ``ack_lasts``."""

    steps: tuple[Step, ...]
    rounds: int = 3
    pause: timedelta = timedelta(minutes=30)
    ack_lasts: timedelta = timedelta(hours=1)

    def first_due(self, since: datetime) -> datetime | None:
        """Return when the first step is due, None when there is none."""
        return since + self.steps[0].after if self.steps else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Who answers now. ``previous`` still does while the newcomer has not confirmed the handover in time."""

    on_duty: str | None
    backup: str | None = None
    previous: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What a timer that is due does. ``reopen``: the acknowledgement ended. ``due`` None: nothing more will come by itself."""

    step: int
    round: int
    due: datetime | None
    reopen: bool = False
    act: Literal["remind", "call"] | None = None
    whom: Whom | None = None


def fire(
    state: IncidentState,
    *,
    critical: bool,
    step: int,
    round_: int,
    ack_until: datetime | None,
    policy: Policy,
    now: datetime,
) -> Firing:
    """Decide what a due timer does, for every state of its incident.

    Open: the step is carried out and the next one is set. Acknowledged: nothing until the acknowledgement ends; then the incident
    opens again and the chain starts anew, with a reminder. Resolved: the chain ends. Nobody is reminded or phoned because of what is
    not critical, but the end of an acknowledgement is notified.
    """
    if state is IncidentState.RESOLVED:
        return Firing(step=step, round=round_, due=None)
    if state is IncidentState.ACKNOWLEDGED:
        if ack_until is not None and ack_until > now:
            return Firing(step=step, round=round_, due=ack_until)
        return Firing(step=0, round=0, due=policy.first_due(now) if critical else None, reopen=True)
    if not critical or not policy.steps:
        return Firing(step=step, round=round_, due=None)
    current = policy.steps[min(step, len(policy.steps) - 1)]
    if step + 1 < len(policy.steps):
        due = now + policy.steps[step + 1].after
        return Firing(step=step + 1, round=round_, due=due, act=current.act, whom=current.whom)
    more = round_ + 1 < policy.rounds
    again = now + policy.pause + policy.steps[0].after if more else None
    return Firing(step=0 if more else step, round=round_ + more, due=again, act=current.act, whom=current.whom)


def people_of(whom: Whom, duty: Duty, directory: Directory, *, source: str | None, service: str) -> tuple[str, ...]:
    """Return who is meant, each once; empty when nobody is on duty (a gap) or nobody is the backup."""
    if whom == "on_duty":
        meant: tuple[str | None, ...] = (duty.on_duty, duty.previous)
    elif whom == "backup":
        meant = (duty.backup,)
    else:
        meant = directory.owners_of(source=source, service=service)
    return tuple(dict.fromkeys(person for person in meant if person is not None))


def people_to_call(
    step: int,
    policy: Policy,
    duty: Duty,
    directory: Directory,
    *,
    called: Mapping[str, Collection[int]],
    source: str | None,
    service: str,
) -> tuple[str, ...]:
    """Return whom a step phones: whom it means, and whom an earlier step would mean now, if the roster was changed since.

    ``called``: the steps of this round at which each was phoned. Nobody is phoned twice in a round, unless the chain means the same
    place twice.
    """
    people: dict[str, None] = {}
    for place, each in enumerate(policy.steps[: step + 1]):
        if each.act != "call":
            continue
        for person in people_of(each.whom, duty, directory, source=source, service=service):
            before = [policy.steps[at].whom for at in called.get(person, ()) if at < len(policy.steps)]
            if not before or (place == step and set(before) == {each.whom}):
                people[person] = None
    return tuple(people)


def may_be_called(duty: Duty, directory: Directory, *, source: str | None, service: str) -> frozenset[str]:
    """Return everybody whom the chain could phone: their word "no need to call" is an acknowledgement."""
    return frozenset(
        person for whom in _CHAIN for person in people_of(whom, duty, directory, source=source, service=service)
    )
