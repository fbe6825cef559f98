"""Notices about problems, for on-call people: what, where, which order, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from notifier.incidents.model import ProblemFact
from notifier.messages.buttons import Button
from notifier.messages.document import Document, Line, Section, Span, bold, code, one_line, plain, shorten
from notifier.messages.wording import Words
from notifier.people.model import Person

_MOST_DETAILS = 20
_LONGEST_VALUE = 500
_LONGEST_INSTRUCTION = 2000
_LONGEST_LINK = 500  # a generator's address may hold a whole query; the incident itself keeps it
_NAMED = frozenset({"workflow.stopped", "workflow.crashed", "refund.rejected"})


HEARTBEAT = "heartbeat"


def render_problem(
    fact: ProblemFact, *, transition: str, environment: str, words: Words, people: Sequence[Person] = ()
) -> Document:
    """Return the notice of a problem that was opened, became critical (``escalated``) or is over (``resolved``).

    ``people`` are tagged, each as its channel does that, unless it is over.
    """
    what = words[fact.kind] if fact.kind in _NAMED and transition == "opened" else words[f"incident.{transition}"]
    sign = "✅" if transition == "resolved" else words[f"severity.{fact.severity}"]
    title: Line = (bold(f"{sign} [{environment}] {what}: {_short(fact.summary)}"),)
    lines: list[Line] = []
    if fact.order_number:
        lines.append((plain(f"{words['order']}: "), code(fact.order_number)))
    for name in ("source", "store_id", "zone"):
        value = getattr(fact, name)
        if value:
            label = {"source": words["source"], "store_id": words["store"].capitalize(), "zone": "zone"}[name]
            lines.append((plain(f"{label}: "), plain(_short(value))))
    lines.append((plain(f"{words['service']}: "), plain(_short(fact.service))))
    if transition != "resolved":
        if people:
            lines.append((plain(f"{words['responsible']}: "), *_tagged(people)))
        lines.extend(
            (plain(f"{_short(words.label(name))}: "), plain(_short(value)))
            for name, value in list(fact.details.items())[:_MOST_DETAILS]
        )
        if fact.instruction:
            lines.append(
                (bold(f"{words['what_to_do']}:"), plain(f" {shorten(fact.instruction, _LONGEST_INSTRUCTION)}"))
            )
        if fact.link and len(fact.link) <= _LONGEST_LINK:
            lines.append(_link(fact.link, words))
    return Document(title=title, sections=(Section(lines=tuple(lines)),))


def render_follow_up(
    fact: ProblemFact, *, sentence: str, act: str, environment: str, words: Words, buttons: tuple[Button, ...]
) -> Document:
    """Return the notice of what happened to an incident since: who took it, that it waits again, what a recipe did."""
    sign = {"ack": "🙋", "recipe_done": "✅", "silenced": "🔕"}.get(act, "⏰")
    lines: list[Line] = [(plain(_short(fact.summary)),)]
    if fact.order_number:
        lines.append((plain(f"{words['order']}: "), code(fact.order_number)))
    return Document(
        title=(bold(f"{sign} [{environment}] {_short(sentence)}"),),
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
    return Document(title=(plain(f"💓 [{environment}] {words['heartbeat']} {at:%Y-%m-%d %H:%M:%S} UTC"),))


def render_test(text: str, *, environment: str, words: Words) -> Document:
    """Return a test message (`POST /admin/v1/test-message`)."""
    lines: tuple[Line, ...] = ((plain(_short(text)),),) if text else ()
    return Document(title=(bold(f"[{environment}] {words['test']}"),), sections=(Section(lines=lines),))


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


def _link(link: str, words: Words) -> Line:
    if link.startswith(("https://", "http://")):
        return (Span(words["link"], "plain", one_line(link)),)
    return (plain(f"{words['link']}: "), plain(link))


def _short(text: str) -> str:
    return shorten(text, _LONGEST_VALUE)
