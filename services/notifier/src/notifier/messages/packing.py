"""What goes into the next message of a lane.

Normally one notice a message. When more wait than the limits let through soon, as many complete notices as fit share a message
(DECISIONS "People"): twenty messages a minute to a group must carry a thousand orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from notifier.messages.channels import Layout
from notifier.messages.document import Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A waiting delivery: its pages, how many of them were sent before, the mark it needs, whether it must be alone.

    ``room`` is kept free in a message that it shares with others, for what an edit may add to it later. ``shrink``: how often its message
    was too long for the provider; each time it takes half as much.
    """

    id: int
    pages: tuple[Page, ...]
    done: int = 0
    mark: str | None = None
    alone: bool = False
    room: int = 0
    shrink: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Pages ``first`` (from 0) up to ``end`` (excluded) of a delivery."""

    id: int
    first: int
    end: int


def must_combine(*, waiting: int, free: int, patience: int) -> bool:
    """Whether the backlog forces several notices into a message.

    ``waiting`` notices want to go, ``free`` messages may go in the running period, and a reader should not wait for more than
    ``patience`` messages (about as many seconds).
    """
    return waiting > min(free, patience)


def pack(candidates: Sequence[Candidate], layout: Layout, *, combine: bool) -> tuple[Part, ...]:
    """Choose what goes into one message, in the given order.

    The first candidate always goes: as many of its remaining pages as fit. Others join only when ``combine`` is set and only
    whole, up to the first that does not fit, so that the order is kept.
    """
    if not candidates:
        return ()
    first = candidates[0]
    limit = layout.limit >> first.shrink
    used = 0
    end = first.done
    for page in first.pages[first.done : first.done + max(1, layout.most_pages >> first.shrink)]:
        price = layout.cost(page, first.mark if end == first.done else None)
        if end > first.done and used + price > limit:
            break
        used += price
        end += 1
    parts = [Part(first.id, first.done, end)]
    pages = end - first.done
    if not combine or first.alone or end < len(first.pages):
        return tuple(parts)
    used += first.room
    for candidate in candidates[1:]:
        rest = candidate.pages[candidate.done :]
        price = sum(layout.cost(page, candidate.mark if index == 0 else None) for index, page in enumerate(rest))
        price += candidate.room
        if candidate.alone or used + price > layout.limit or pages + len(rest) > layout.most_pages:
            break
        parts.append(Part(candidate.id, candidate.done, len(candidate.pages)))
        used += price
        pages += len(rest)
    return tuple(parts)
