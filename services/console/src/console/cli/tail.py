"""``tail``: what happens, live, one line each, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.commands import Context, add
from console.cli.exits import EndedError, Exit
from console.client.money import currency_of, sum_of
from console.client.things import THINGS, Thing, services_with, thing_of, value

if TYPE_CHECKING:
    from console.client.suite import Suite

_PAGE = 100
_PAGES = 20
_REMEMBERED = 10_000
_AUDITED = ("order", "endangered")
"""Kinds whose every look is a reading of customers' data, which the audit notes: looked at only when they are asked for."""
# For each kind: where its time stands, and what makes a thing news once more.
_KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "intake": ("received_at", ()),
    "order": ("updated_at", ("version", "status")),
    "workflow": ("updated_at", ("version", "state_name")),
    "refund": ("state_since", ("state_name", "attempt")),
    "endangered": ("received_at", ("state", "outcome")),
    "incident": ("last_seen_at", ("version", "state")),
    "ticket": ("created_at", ("state", "assignee")),
    "message": ("created_at", ("delivery_id", "state")),
}
_SAYS = {
    "intake": ("source", "event", "outcome", "number", "reason"),
    "order": ("number", "status", "aggregate_state", "source"),
    "workflow": ("id", "kind", "state_name", "order_number", "error"),
    "refund": ("id", "order_number", "amount", "state_name", "error"),
    "endangered": ("id", "source", "state", "category", "outcome"),
    "incident": ("id", "severity", "state", "kind", "order_number", "summary"),
    "ticket": ("key", "state", "summary", "order_number"),
    "message": ("kind", "channel", "destination", "state", "order_number", "reason"),
    "dead-letter": ("service", "id", "state", "subject", "reason"),
    "audit": ("service", "actor", "action", "target", "reason"),
}


@dataclass
class _Followed:
    """One list that is looked at again and again, newest first; what was seen is not shown twice.

    ``seen``: names and marks. ``more``: the list holds things that were never looked at, below those that were.
    """

    noun: str
    thing: Thing
    seen: dict[str, None] = field(default_factory=dict)
    began: bool = False
    more: bool = False

    def name(self, item: Mapping[str, Any]) -> str:
        return str(value(item, self.thing.id))

    def mark(self, item: Mapping[str, Any]) -> str:
        _, parts = _KINDS.get(self.noun, ("", ("state",)))
        return "\0".join((self.name(item), *(str(value(item, part)) for part in parts)))

    async def news(self, suite: Suite) -> list[Mapping[str, Any]]:
        """Return what is new since the last time. Pages are read until one holds what was seen; what is below all of that only moved up.

        If one cannot be read nothing counts as seen.
        """
        read: list[Mapping[str, Any]] = []
        news: list[Mapping[str, Any]] = []
        cursor = None
        for _ in range(_PAGES):
            page = await self.thing.page(suite, limit=_PAGE, cursor=cursor)
            cursor = page.next_cursor
            read += page.items
            known = [place for place, item in enumerate(page.items) if self.name(item) in self.seen]
            above = page.items[: known[-1] + 1] if known and self.more else page.items
            news += [item for item in above if self.mark(item) not in self.seen]
            if known or not self.began or cursor is None:
                break
        self.more = self.more or (cursor is not None and not known)
        self._remember(read)
        first, self.began = not self.began, True
        return [] if first else news

    def _remember(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Remember them as the last ones; the oldest are forgotten."""
        for item in items:
            for said in (self.name(item), self.mark(item)):
                self.seen.pop(said, None)
                self.seen[said] = None
        while len(self.seen) > _REMEMBERED:
            del self.seen[next(iter(self.seen))]
            self.more = True


async def tail(
    at: Context,
    *,
    only: Annotated[
        str | None,
        typer.Option(
            help=f"kinds, by commas: {', '.join(_SAYS)}; the audit notes each look at {' and '.join(_AUDITED)}"
        ),
    ] = None,
    order: Annotated[str | None, typer.Option(help="only what names this order")] = None,
    every: Annotated[float, typer.Option(min=0.2, max=60, help="seconds between looks")] = 1.0,
    seconds: Annotated[float, typer.Option("--for", min=0, help="end after so many seconds; 0: never")] = 0,
) -> Exit | None:
    """Show what happens from now on, one line each: hooks, workflows, refunds, incidents, messages, what people do; more if asked for."""
    import asyncio

    kinds = (
        tuple(kind.strip() for kind in only.split(","))
        if only
        else tuple(kind for kind in _SAYS if kind not in _AUDITED)
    )
    if strangers := set(kinds) - set(_SAYS):
        raise EndedError(f"--only: no {', '.join(sorted(strangers))}; there are {', '.join(_SAYS)}")
    if only is None:
        at.out.note(f"without {' and '.join(_AUDITED)}, of which the audit notes each look: --only has them")
    followed = [each for kind in kinds for each in _lists(kind)]
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds if seconds else None
    silent: set[str] = set()
    while True:
        looks = await asyncio.gather(*(_look(at, each) for each in followed))
        now_silent = {each.thing.service for each, found in zip(followed, looks, strict=True) if found is None}
        for service in sorted(now_silent ^ silent):
            at.out.note(f"{service} does not answer" if service in now_silent else f"{service} answers again")
        silent = now_silent
        news = [row for found in looks for row in found or ()]
        for row in sorted(news, key=lambda row: str(row["at"])):
            if order is None or order in (
                value(row, "item.number"),
                value(row, "item.order_number"),
                value(row, "item.target"),
            ):
                at.out.line(row, f"{at.out.moment(str(row['at']))}  {row['kind']:<11} {row['says']}")
        if until is not None and loop.time() >= until:
            return Exit.UNREACHABLE if silent else None
        await asyncio.sleep(every)


def _lists(kind: str) -> list[_Followed]:
    if kind in THINGS:
        return [_Followed(kind, THINGS[kind])]
    return [_Followed(kind, thing_of(kind, service)) for service in services_with(kind)]


async def _look(at: Context, followed: _Followed) -> list[dict[str, Any]] | None:
    from console.client.suite import allowed_or_none

    items = await allowed_or_none(followed.news(at.suite))
    if items is None:
        return None
    time = (
        _KINDS[followed.noun][0]
        if followed.noun in _KINDS
        else followed.thing.columns[0 if followed.noun == "audit" else -1]
    )
    return [_row(followed, item, time) for item in items]


def _row(followed: _Followed, item: Mapping[str, Any], time: str) -> dict[str, Any]:
    named = {"service": followed.thing.service, **item}
    currency = currency_of(item)
    said = (sum_of(part, value(named, part), currency) or value(named, part) for part in _SAYS[followed.noun])
    says = "  ".join(str(each) for each in said if each not in (None, ""))
    return {"at": item.get(time) or item.get("created_at"), "kind": followed.noun, "says": says, "item": dict(item)}


def build(app: typer.Typer) -> None:
    """Add it."""
    add(app, "tail", tail)
