"""An order's timeline as people look at it: by kind, message by message, and moment by moment. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.client.operations import SERVICES
from console.client.times import as_time

Line = Mapping[str, Any]


def _of(*prefixes: str) -> Callable[[Line], bool]:
    return lambda line: str(line["kind"]).startswith(prefixes)


def _by_people(line: Line) -> bool:
    """What an operator did: an audit record names her role, any other line names somebody who is neither a service nor a shop."""
    actor = line["actor"]
    return "role" in line["details"] or not (
        actor in ("", "system", *SERVICES) or str(line["kind"]).startswith(_MACHINES)
    )


_moved = _of("order.", "tips.", "transactions.", "document.", "workflow.")
_MACHINES = ("hook.", "order.", "chat_message.")
SORTS: Mapping[str, Callable[[Line], bool]] = {
    "hooks": _of("hook."),
    "transitions": lambda line: _moved(line) and "role" not in line["details"],
    "messages": _of("chat_message."),
    "tickets": _of("ticket.", "incident.", "endangered_order."),
    "refunds": _of("refund.", "refund_request."),
    "human acts": _by_people,
}
"""Of which sort a line is; some are of two."""


def of_sort(timeline: Sequence[Line], sort: str | None) -> Sequence[Line]:
    """Return the lines of a sort, or of a service; all of them for None."""
    if sort is None:
        return timeline
    chosen = SORTS.get(sort) or (lambda line: line["service"] == sort)
    return [line for line in timeline if chosen(line)]


def counted(timeline: Sequence[Line]) -> dict[str, int]:
    """Return how many lines there are of each sort."""
    return {sort: len(of_sort(timeline, sort)) for sort in SORTS}


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment at which the order became another, by the shop's clock, and the kind of what happened."""

    at: str
    kind: str


def moments(timeline: Sequence[Line]) -> list[Moment]:
    """Return the moments of an order, the earliest first: what arrived late stands where it happened."""
    found: dict[str, Moment] = {}
    for line in timeline:
        at = line["details"].get("hook_time")
        if str(line["kind"]).startswith("order.") and as_time(at) is not None:
            found[at] = Moment(at, line["kind"])
    return sorted(found.values(), key=lambda each: as_time(each.at) or 0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where among its moments an order is looked at; ``step`` is the last moment that had come, -1 before the first."""

    step: int
    last: int
    earlier: str | None
    later: str | None


def place(found: Sequence[Moment], at: str | None) -> Place:
    """Return where ``at`` stands; None is now: at the last moment."""
    last = len(found) - 1
    then = as_time(at)
    step = (
        last
        if then is None
        else sum(1 for each in found if (came := as_time(each.at)) is not None and came <= then) - 1
    )
    return Place(
        step=step,
        last=last,
        earlier=found[step - 1].at if 0 < step <= last else None,
        later=found[step + 1].at if step < last and at is not None else None,
    )


def words_of(line: Line, messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the message that a line is about, as it was sent; None where it is none, or is kept no longer."""
    if not str(line["kind"]).startswith("chat_message."):
        return None
    details = line["details"]
    copies = (each for each in messages if all(each[name] == details.get(name) for name in ("destination", "kind")))
    wanted = details.get("message_id")
    return next((each for each in copies if not wanted or wanted in each["message_ids"]), None)


def not_told(messages: Sequence[Line] | None, timeline: Sequence[Line]) -> Sequence[Line] | None:
    """Return the messages that no line of the timeline is about: they are still to come, or were kept back."""
    if messages is None:
        return None
    told = [words_of(line, messages) for line in timeline]
    return [each for each in messages if each not in told]


@dataclass(frozen=True, slots=True)
class Changed:
    """A position before and after; None where it was not there."""

    id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @property
    def fields(self) -> tuple[str, ...]:
        """What of it differs."""
        if self.before is None or self.after is None:
            return ()
        return tuple(name for name in _TOLD if self.before.get(name) != self.after.get(name))


_TOLD = ("quantity", "price", "discount_price", "total_price", "total_discount_price", "weight", "name", "replaces")


def changed(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Changed]:
    """Return what differs between two lists of positions, in the order of the first, then of what came anew."""
    was, now = ({str(each["id"]): each for each in each_list} for each_list in (before, after))
    pairs = (Changed(name, was.get(name), now.get(name)) for name in dict.fromkeys((*was, *now)))
    return [pair for pair in pairs if pair.before is None or pair.after is None or pair.fields]
