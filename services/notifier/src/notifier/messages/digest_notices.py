"""The digest of a storm: how much of what, what is gravest, and since when. One message, however many problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from notifier.messages.document import Document, Line, Section, bold, code, plain, shorten
from notifier.messages.words import Words

_MOST_KINDS = 8
_LONGEST_SUMMARY = 120
MOST_WORST = 5
_A_LINE = 5
_ROOM_FOR_ORDERS = 1400  # Slack takes 3,000 characters in all, and the rest has its place


def render_digest(
    *,
    tally: Sequence[Mapping[str, Any]],
    worst: Sequence[Mapping[str, Any]],
    orders: Sequence[str] = (),
    opened_at: datetime,
    now: datetime,
    over: bool,
    environment: str,
    words: Words,
) -> Document:
    """Return the digest. ``tally``: rows of kind, severity, state and count; ``worst``: rows of id, kind, summary, order_number;
    ``orders``: the numbers of every order that still has a problem.
    """
    total = sum(row["count"] for row in tally)
    by_severity = {name: _sum(tally, severity=name) for name in ("critical", "warning", "info")}
    signs = " · ".join(f"{words[f'severity.{name}']} {count}" for name, count in by_severity.items() if count)
    taken, resolved = _sum(tally, state="acknowledged"), _sum(tally, state="resolved")
    counts: Line = (plain(f"{signs} · {words['state.acknowledged']}: {taken} · {words['state.resolved']}: {resolved}"),)
    kinds = sorted({row["kind"] for row in tally}, key=lambda kind: (-_sum(tally, kind=kind), kind))
    lines = [
        (
            plain(f"{shorten(kind, 60)}: "),
            bold(str(_sum(tally, kind=kind))),
            plain(f" ({words['digest.open']}: {_sum(tally, kind=kind, state='open')})"),
        )
        for kind in kinds[:_MOST_KINDS]
    ]
    if len(kinds) > _MOST_KINDS:
        rest = sum(_sum(tally, kind=kind) for kind in kinds[_MOST_KINDS:])
        lines.append((plain(f"{words['digest.others']}: "), bold(str(rest)), plain("")))
    title = words["digest.over" if over else "digest.title"]
    sections = [
        Section(lines=(counts, (plain(f"{words['digest.since']} {opened_at:%H:%M:%S} – {now:%H:%M:%S} UTC"),))),
        Section(heading=(bold(f"{words['digest.kinds']}:"),), lines=tuple(lines), bullets=True),
    ]
    if worst:
        gravest = tuple(_problem(row) for row in worst[:MOST_WORST])
        sections.append(Section(heading=(bold(f"{words['digest.worst']}:"),), lines=gravest, bullets=True))
    if orders:
        sections.append(Section(heading=(bold(f"{words['orders']}: {len(orders)}"),), lines=_numbers(orders, words)))
    sections.append(Section(lines=((plain(f"{words['digest.all']}: "), code("GET /admin/v1/incidents?state=open")),)))
    return Document(title=(bold(f"🌪 [{environment}] {title}: {total}"),), sections=tuple(sections))


def _numbers(orders: Sequence[str], words: Words) -> tuple[Line, ...]:
    """Return the numbers, some a line, as many as a message has room for; how many more there are is said."""
    shown: list[str] = []
    room = _ROOM_FOR_ORDERS
    for number in orders:
        room -= len(number) + 2
        if room < 0:
            break
        shown.append(number)
    lines = [(plain(", ".join(shown[start : start + _A_LINE])),) for start in range(0, len(shown), _A_LINE)]
    more = len(orders) - len(shown)
    return (*lines, (plain(words["labels.more"].format(count=more)),)) if more else tuple(lines)


def _problem(row: Mapping[str, Any]) -> Line:
    line: Line = (plain(f"#{row['id']} {shorten(row['summary'], _LONGEST_SUMMARY)}"),)
    return (*line, plain(" · "), code(row["order_number"])) if row["order_number"] else line


def _sum(tally: Sequence[Mapping[str, Any]], **wanted: str) -> int:
    return sum(row["count"] for row in tally if all(row[name] == value for name, value in wanted.items()))
