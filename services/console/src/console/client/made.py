"""What a change makes, where its answer names it (an order, a refund, a silence), and which change comes next. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from console.client.acts import ACTS, Act
from console.client.effects import RECIPES
from console.client.items import Item
from console.client.things import value


@dataclass(frozen=True, slots=True)
class Made:
    """One thing that a change made, or set going: its kind and its name.

    ``of``: the name is that of an order, whose things of this kind are meant: their own names come later.
    """

    noun: str
    name: str
    of: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """Where it stands in an answer. ``noun``: its kind, None of what has no page.

    ``early``: a rehearsal knows the name already, and the change keeps to it.
    """

    at: str
    noun: str | None
    early: bool = False


_HOOK = (_Named(at="number", noun="order", early=True), _Named(at="delivery_id", noun="intake"))
_EVENT = (_Named(at="appended.id", noun="event", early=True),)
_OF_STEP = (_Named(at="event_id", noun=None),)
MADE: Mapping[str, tuple[_Named, ...]] = {
    "order refund": (_Named(at="business_key", noun=None),),
    **{f"order {verb}": _OF_STEP for verb in ("cancel", "deliver", "correct")},
    "order enter-event": _HOOK,
    "intake replay": _HOOK,
    "intake mend": _HOOK,
    "endangered resubmit": (_Named(at="detail", noun="order", early=True),),
    "event reprocess": _EVENT,
    "event mend": _EVENT,
    "difference adopt": (_Named(at="refund.id", noun="refund"), _Named(at="refund.business_key", noun=None)),
    "ticket open": (_Named(at="key", noun="ticket"), _Named(at="id", noun="ticket")),
    "ticket comment": (_Named(at="id", noun=None),),
    "ticket summon": (_Named(at="incident_id", noun="incident"),),
    "ticket development-ticket": (_Named(at="development_ticket", noun="ticket"), _Named(at="id", noun="ticket")),
    "silence add": (_Named(at="id", noun="silence"),),
    "known-defect add": (_Named(at="defect.id", noun="known-defect"),),
    "duty override": (_Named(at="id", noun="duty"),),
    "message test": (_Named(at="notice_id", noun="message"),),
}
"""By act. Of several names of one kind the first that is there is its name."""


def names_in(act: str) -> tuple[str, ...]:
    """Return where the answer of an act names what it made."""
    return tuple(named.at for named in MADE.get(act, ()))


def made_by(act: str, item: Item) -> tuple[Made, ...]:
    """Return what a change made of one thing, each once, of those kinds that have a page; nothing where it was refused."""
    if item.code is not None or item.outcome == "unknown":
        return ()
    found: dict[str, str] = {}
    for named in MADE.get(act, ()):
        name = item.detail if named.at == "detail" else value(item.shown, named.at)
        if named.noun is not None and name not in (None, ""):
            found.setdefault(named.noun, str(name))
    made = [Made(noun, name) for noun, name in found.items()]
    made += [Made("duty", str(each["id"])) for each in _others(act, item)]
    if act == "incident recipe" and (noun := RECIPES.get(str(item.shown.get("name")))) is not None:
        made.append(Made(noun, str(item.shown["target"])))
    if act == "order refund":
        made.append(Made("refund", item.id, of=True))
    return tuple(made)


def _others(act: str, item: Item) -> Iterator[Mapping[str, Any]]:
    """Of weeks that change places each override but the first, which gives the answer its name."""
    if act == "duty override":
        yield from (
            each for each in item.shown.get("items") or () if each.get("id") not in (None, item.shown.get("id"))
        )


_MENDED_FIRST = frozenset({"unprocessable", "erased"})
"""Codes of what is still to be sent, and cannot be as it is. Of what was sent or closed before the code is another."""


def next_of(act: str, item: Item, *, done: bool = True) -> Act | None:
    """Return the change of the same thing that leads on, None where none is wanted. ``done``: and not only rehearsed.

    A mended order is still no order; what cannot be sent again as it came can be once it is mended, a likely duplicate once it is told.
    """
    if act == "endangered mend" and done and item.code is None and item.outcome != "unknown":
        return ACTS["endangered resubmit"]
    noun, _, verb = act.partition(" ")
    if verb in ("replay", "resubmit") and item.code in _MENDED_FIRST and f"{noun} mend" in ACTS:
        return ACTS[f"{noun} mend"]
    return ACTS[act] if item.code == "likely_duplicates" else None


def not_made_yet(act: str, item: Item) -> Item:
    """Return an item of a plan without names that only the change itself gives: a rehearsal's would be another's afterwards."""
    late = [named.at for named in MADE.get(act, ()) if not named.early and named.at != "detail"]
    return replace(item, shown=_without(item.shown, late)) if late else item


def _without(shown: Mapping[str, Any], paths: list[str]) -> dict[str, Any]:
    left = dict(shown)
    for path in paths:
        first, _, rest = path.partition(".")
        if not rest:
            left = {name: held for name, held in left.items() if name != first or held is None}
        elif isinstance(left.get(first), Mapping):
            left[first] = _without(left[first], [rest])
    if "id" in paths and isinstance(left.get("items"), list):
        left["items"] = [{name: held for name, held in each.items() if name != "id"} for each in left["items"]]
    return left
