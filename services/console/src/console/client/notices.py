"""How the messages that follow from a change are read: by pages, and by people at a terminal. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.contracts.notices import (
    FOLLOWERS,
    IF_IT_FAILS,
    IF_IT_SUCCEEDS,
    NOBODY,
    NOTHING,
    ON_CALL,
    ORDERS_PEOPLE,
    WHO_KNOWS,
)
from console.client.sentences import sentences
from console.client.words import label, words

_WHOM = frozenset({ORDERS_PEOPLE, NOBODY, ON_CALL, WHO_KNOWS, FOLLOWERS})
_NOTIFIERS = {
    *(f"incident.{word}" for word in ("opened", "graver", "escalated", "resolved", "recipe_done", "recipe_failed")),
    *(f"ticket.{word}" for word in ("opened", "commented", "closed")),
    *("message.edited", "digest", "announced", "unconfirmed", "test"),
    *("calls.end", "calls.pause", "calls.resume", "call.dropped", "call.waits", "reminder.waits"),
}
_OTHERS = {"problem.raised", "problem.resolved", "refund.rejected", "order.corrected", "mail"}
NOTICES = _WHOM | _OTHERS | {NOTHING, IF_IT_SUCCEEDS, IF_IT_FAILS} | _NOTIFIERS
"""What people are told of when an act is done, and who, beside what happens to orders and workflows."""
TELLS, MAY_TELL, TELLS_NOBODY = (
    "tells %(whom)s: %(what)s",
    "may tell %(whom)s: %(what)s",
    "tells %(nobody)s: %(what)s",
)
"""How a notice is said: what will be told, what may be or may not, and what nobody hears."""
_ENVELOPE = re.compile(r"^(?:alerts|orders|refunds)\.|\.v\d+$")
_NOTICE = re.compile(
    rf"(?:(?P<when>{IF_IT_SUCCEEDS}|{IF_IT_FAILS}): )?"
    r"(?P<events>[\w.]+(?: \([\w.]+\))?(?: or [\w.]+(?: \([\w.]+\))?)*)(?: of (?P<of>\S+))?: (?P<to>.+)"
)


@dataclass(frozen=True, slots=True)
class Told:
    """A notice as people read it: the name of each event and the kind of its problem, the order, whom. Without events it is no such.

    ``when``: of which outcome it follows, where it depends on that. ``perhaps``: it may be that there is none.
    """

    events: tuple[tuple[str, str], ...] = ()
    of: str | None = None
    to: str | None = None
    when: str | None = None
    perhaps: bool = False

    @property
    def is_known(self) -> bool:
        """Tell whether it is for people who have a name here, not for an address."""
        return self.to in _WHOM


def told(notice: str) -> Told:
    """Read a notice, without what only machines need of it."""
    found = _NOTICE.fullmatch(notice)
    if found is None:
        return Told()
    lines = found["events"].split(" or ")
    events = (event.rstrip(")").partition(" (") for event in lines if event != NOTHING)
    named = tuple((_ENVELOPE.sub("", name), kind) for name, _, kind in events)
    return Told(named, found["of"], found["to"], found["when"], perhaps=NOTHING in lines)


def in_words(notice: str, *, language: str) -> str:
    """Write a notice for a person: whom it tells, and what. Raw it stands in every form for programs."""
    read = told(notice)
    if not read.events:
        return notice
    translate = words(language).gettext

    def name(text: str) -> str:
        return translate(label(text))

    events = f" {translate('or')} ".join(
        name(each) + (f" ({name(kind)})" if kind else "") for each, kind in read.events
    )
    to = name(str(read.to)) if read.is_known else sentences(language)(str(read.to))
    if language == "en" and read.to == ON_CALL:
        to = "who is on call"
    what = events + (f" · {read.of}" if read.of else "")
    said = TELLS_NOBODY if str(read.to).startswith(NOBODY) else MAY_TELL if read.perhaps else TELLS
    sentence = translate(said) % {"whom": to, "nobody": to, "what": what}
    return f"{name(read.when)}, {sentence}" if read.when else sentence
