"""Notices for on-call people: what, where, which order, what to do; how the problem stands by now; and the buttons underneath."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from notifier.incidents.model import IncidentState, ProblemFact, Recipe
from notifier.messages.document import (
    Button,
    Document,
    Keyboard,
    Line,
    Section,
    Span,
    bold,
    buttons_from,
    code,
    one_line,
    plain,
    shorten,
)
from notifier.messages.words import Words
from notifier.people.model import Person

_MOST_DETAILS = 26
_LONGEST_VALUE = 500
_LONGEST_INSTRUCTION = 2000
_LONGEST_NAME = 40
_NAMED = frozenset({"workflow.stopped", "workflow.crashed", "refund.rejected"})
HEARTBEAT = "heartbeat"
STATUS_LINE_ROOM = 160
"""What a status may add to a message's cost later: kept free when problems share a message, so that every edit of it fits."""

Act: TypeAlias = Literal["ack", "resolve", "silence", "recipe", "yes", "no", "handover"]
_ACTS: Mapping[str, Act] = {
    "a": "ack",
    "r": "resolve",
    "s": "silence",
    "w": "recipe",
    "y": "yes",
    "n": "no",
    "h": "handover",
}
_CODES = {act: code for code, act in _ACTS.items()}
_DATA = re.compile(r"n1:([arswynh]):([0-9]{1,19})")


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentNow:
    """The part of an incident that messages about it show. Read in the transaction that claims the message."""

    id: int
    kind: str
    severity: str
    state: IncidentState
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    resolved_by: str | None = None
    resolved_at: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class ButtonData:
    """What a button asks for. ``number``: the incident's; of yes and no the asked recipe's; of a handover the handover's."""

    act: Act
    number: int


def render_problem(
    fact: ProblemFact,
    *,
    transition: str,
    environment: str,
    words: Words,
    people: Sequence[Person] = (),
    links: Line = (),
    order_link: str | None = None,
) -> Document:
    """Return the notice of a problem that was opened, became ``graver`` or critical (``escalated``), or is over (``resolved``).

    ``people`` are tagged, each as its channel does that, unless it is over. What is said of an order is told whole; alerts are shortened.
    ``links`` is the line of the problem's pages.
    """
    what = words[fact.kind] if fact.kind in _NAMED and transition == "opened" else words[f"incident.{transition}"]
    sign = "✅" if transition == "resolved" else words[f"severity.{fact.severity}"]
    title: Line = (bold(f"{sign} [{environment}] {what}: {_short(words.moments(fact.summary))}"),)
    lines: list[Line] = []
    if fact.order_number:
        lines.append((plain(f"{words['order']}: "), replace(code(fact.order_number), link=order_link)))
    for name in ("source", "store_id", "zone"):
        value = getattr(fact, name)
        if value:
            label = {"source": words["source"], "store_id": words["store"].capitalize(), "zone": words["zone"]}[name]
            lines.append((plain(f"{label}: "), plain(_short(value))))
    lines.append((plain(f"{words['service']}: "), plain(_short(fact.service))))
    of_an_order = fact.order_number is not None and fact.alert is None
    if transition != "resolved":
        if people:
            lines.append((plain(f"{words['responsible']}: "), *_tagged(people)))
        for name, held in list(fact.details.items())[:_MOST_DETAILS]:
            value = words.moments(held)
            lines.extend(_lines(plain(f"{_short(words.label(name))}: "), value if of_an_order else _short(value)))
        if len(fact.details) > _MOST_DETAILS:
            lines.append((plain(f"{words['details.more']}: {len(fact.details) - _MOST_DETAILS}"),))
        if fact.what_to_do:
            lines.extend(_lines(bold(f"{words['what_to_do']}:"), f" {shorten(fact.what_to_do, _LONGEST_INSTRUCTION)}"))
    if links:
        lines.append(links)
    again = (plain("№ "), code(fact.order_number), plain(" · "), *title) if fact.order_number else title
    return Document(title=title, sections=(Section(lines=tuple(lines)),), again=again)


def render_follow_up(
    fact: ProblemFact,
    *,
    sentence: str,
    act: str,
    environment: str,
    words: Words,
    buttons: tuple[Button, ...],
    links: Line = (),
) -> Document:
    """Return the notice of what happened to an incident since: who took it, that it waits again, what a recipe did."""
    sign = {"ack": "🙋", "recipe_done": "🔁", "silenced": "🔕"}.get(act, "⏰")
    lines: list[Line] = [(plain(_short(words.moments(fact.summary))),)]
    if fact.order_number:
        lines.append((plain(f"{words['order']}: "), code(fact.order_number)))
    if links:
        lines.append(links)
    return Document(
        title=(bold(f"{sign} [{environment}] {_short(words.moments(sentence))}"),),
        sections=(Section(lines=tuple(lines)),),
        buttons=buttons,
    )


def render_question(question: str, *, environment: str, buttons: tuple[Button, ...]) -> Document:
    """Return what is asked back before a recipe is carried out."""
    return Document(title=(bold(f"❓ [{environment}] {_short(question)}"),), buttons=buttons)


def render_handover(title: str, lines: Sequence[str], *, environment: str, buttons: tuple[Button, ...]) -> Document:
    """Return a notice about the duty roster: a handover, or one that nobody confirmed."""
    return Document(
        title=(bold(f"📟 [{environment}] {_short(title)}"),),
        sections=(Section(lines=tuple((plain(_short(line)),) for line in lines)),),
        buttons=buttons,
    )


def render_heartbeat(at: datetime, *, environment: str, words: Words) -> Document:
    """Return the dead-man's switch's message."""
    return Document(title=(plain(f"💓 [{environment}] {words['heartbeat']} {words.there(at):%Y-%m-%d %H:%M:%S %Z}"),))


def render_test(text: str, *, environment: str, words: Words) -> Document:
    """Return a test message (`POST /admin/v1/test-message`)."""
    lines: tuple[Line, ...] = ((plain(_short(text)),),) if text else ()
    return Document(title=(bold(f"[{environment}] {words['test']}"),), sections=(Section(lines=lines),))


def status_line(incident: IncidentNow | None, words: Words, *, name_of: Callable[[str], str] = str) -> str | None:
    """Return what a message says of who took the problem or that it is over; None while it is simply open. At most 100 characters.

    ``name_of``: from the id that the incident keeps to the name that people know.
    """
    if incident is None:
        return None
    if incident.state is IncidentState.RESOLVED:
        return _said(words["state.resolved"], incident.resolved_by, incident.resolved_at, name_of, words)
    if incident.state is IncidentState.ACKNOWLEDGED:
        return _said(words["state.acknowledged"], incident.acknowledged_by, incident.acknowledged_at, name_of, words)
    return None


def data_of(act: Act, number: int) -> str:
    """Return a button's data: a version, a letter and a number, 25 bytes at most."""
    return f"n1:{_CODES[act]}:{number}"


def read_data(data: str) -> ButtonData | None:
    """Read a button's data; None for anything that we never made."""
    found = _DATA.fullmatch(data)
    if found is None or int(found[2]) >= 2**63:
        return None
    return ButtonData(_ACTS[found[1]], int(found[2]))


def incident_buttons(incident_id: int, *, recipe: Recipe | None, words: Words) -> tuple[Button, ...]:
    """Return the buttons of an incident that needs somebody: mine, the recipe if there is one, resolve, silence an hour."""
    made = [Button(label=words["button.ack"], data=data_of("ack", incident_id), style="primary")]
    if recipe is not None:
        made.append(Button(label=words[f"button.{recipe.name}"], data=data_of("recipe", incident_id)))
    made.append(Button(label=words["button.resolve"], data=data_of("resolve", incident_id)))
    made.append(Button(label=words["button.silence"], data=data_of("silence", incident_id)))
    return tuple(made)


def question_buttons(request_id: int, *, words: Words) -> tuple[Button, ...]:
    """Return the buttons that ask back before a recipe is carried out."""
    return (
        Button(label=words["button.yes"], data=data_of("yes", request_id), style="danger"),
        Button(label=words["button.no"], data=data_of("no", request_id)),
    )


def keyboard_of(documents: Sequence[tuple[Mapping[str, Any], IncidentState | None]]) -> Keyboard:
    """Return the rows of buttons under a message that holds these documents (as JSON), each with how its incident stands now.

    Alone, a notice has all its buttons, two a row. In a shared message each has only its first, with the incident's number.
    A problem that is over has none, and one that somebody has taken is not to be taken again. No button stands there twice, however many
    notices are about one incident: Slack refuses a message with two of one ``action_id``.
    """
    each = [_fitting(buttons_from(document.get("buttons") or ()), state) for document, state in documents]
    if len(each) == 1:
        return tuple(each[0][start : start + 2] for start in range(0, len(each[0]), 2))
    firsts = {buttons[0].data: buttons[0] for buttons in each if buttons}
    return tuple(
        (replace(button, label=f"{button.label} №{button.data.rpartition(':')[2]}"),) for button in firsts.values()
    )


def _tagged(people: Sequence[Person]) -> Line:
    spans: list[Span] = []
    for person in people:
        handles = tuple(
            (channel, handle)
            for channel, handle in (("telegram", person.mention or person.telegram), ("slack", person.slack))
            if handle
        )
        spans += [plain(", ")] if spans else []
        spans.append(Span(one_line(_short(person.name)), handles=handles))
    return tuple(spans)


def _lines(heading: Span, text: str) -> list[Line]:
    """Return a text under a heading, its lines as they are."""
    first, *others = [line for line in text.splitlines() if line.strip()] or [""]
    return [(heading, plain(first)), *((plain(line),) for line in others)]


def _short(text: str) -> str:
    return shorten(text, _LONGEST_VALUE)


def _said(what: str, who: str | None, when: datetime | None, name_of: Callable[[str], str], words: Words) -> str:
    name = f": {shorten(name_of(who), _LONGEST_NAME)}" if who else ""
    return f"{what}{name}{f', {words.there(when):%H:%M %Z}' if when else ''}"


def _fitting(buttons: tuple[Button, ...], state: IncidentState | None) -> tuple[Button, ...]:
    if state is IncidentState.RESOLVED:
        return ()
    if state is IncidentState.ACKNOWLEDGED:
        return tuple(button for button in buttons if (read := read_data(button.data)) is None or read.act != "ack")
    return buttons
