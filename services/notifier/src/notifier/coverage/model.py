"""The links of the chain from a critical problem to a person, and which of them are missing. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from notifier.duty.escalation import Duty, Policy
from notifier.incidents.kinds import KINDS
from notifier.people.model import Directory
from notifier.routing.model import Labels, Routes

What: TypeAlias = Literal["routes", "channels", "people", "roster", "call_provider", "escalation", "alerts"]
WHAT: tuple[What, ...] = get_args(What)
_KINDS = (*(name for name, kind in KINDS.items() if kind.severity in {"critical", "its own"}), "problem.any")
"""Kinds of problems that are or may be critical; `problem.any` stands for one that a service raises and this release does not know."""


@dataclass(frozen=True, slots=True)
class Hole:
    """What is missing, and one sentence that says where."""

    what: What
    detail: str


def holes(
    *,
    routes: Routes,
    environment: str,
    channels: Collection[str],
    directory: Directory,
    duty: Duty,
    calls: bool,
    policy: Policy,
    silent: Collection[str] = (),
) -> tuple[Hole, ...]:
    """Return everything that keeps a critical problem from a chat with people in it, and from a phone.

    ``channels`` can send; ``duty`` is who answers now; ``calls``: there is a call provider; ``policy`` is the
    escalation chain; ``silent``: senders of alerts from whom nothing comes.
    """
    found = [*_of_routes(routes, environment, channels)]
    able = [person for person in directory.people.values() if person.may_act]
    if not able:
        found.append(Hole("people", "the people file names nobody who may take a problem"))
    if invented := [person.id for person in directory.people.values() if person.invented]:
        found.append(Hole("people", f"{', '.join(invented)} are invented people: the people file is an example"))
    found.extend(_of_duty(duty, directory))
    if not calls:
        found.append(Hole("call_provider", "there is no call provider: nobody is phoned"))
    if not any(step.act == "call" for step in policy.steps):
        found.append(Hole("escalation", "the escalation chain has no step that phones anybody"))
    found.extend(Hole("alerts", f"no alerts come from {name}") for name in silent)
    return tuple(found)


def _of_routes(routes: Routes, environment: str, channels: Collection[str]) -> list[Hole]:
    chosen = {kind: routes.choose(Labels(environment=environment, kind=kind, severity="critical")) for kind in _KINDS}
    found = []
    if unrouted := [kind for kind in _KINDS if not chosen[kind]]:
        detail = f"no route takes a critical {', '.join(unrouted)} of the environment {environment}"
        found.append(Hole("routes", detail))
    unsent: dict[str, list[str]] = {}
    invented: dict[str, None] = {}
    for kind, places in chosen.items():
        invented |= {each.destination.name: None for each in places if each.destination.invented}
        if places and not any(each.destination.channel in channels for each in places):
            unsent.setdefault(", ".join(each.destination.name for each in places), []).append(kind)
    for names, kinds in unsent.items():
        detail = f"a critical {', '.join(kinds)} goes to {names}, and none of their channels can send"
        found.append(Hole("channels", detail))
    for name in invented:
        detail = f"the destination {name} is an invented chat: the routes file is an example"
        found.append(Hole("routes", detail))
    return found


def _of_duty(duty: Duty, directory: Directory) -> list[Hole]:
    if duty.on_duty is None:
        return [Hole("roster", "nobody is on duty now")]
    person = directory.person(duty.on_duty)
    if person is None:
        return [Hole("roster", f"{duty.on_duty} is on duty and is not in the people file")]
    found = [] if person.may_act else [Hole("roster", f"{duty.on_duty} is on duty and may take no problem")]
    return found if person.phone else [*found, Hole("roster", f"{duty.on_duty} is on duty and has no phone")]
