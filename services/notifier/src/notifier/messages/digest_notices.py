"""The digest of a storm: how much of what, what is gravest, since when, and the number of every order that has a problem.

One message, however many problems; numbers that it has no room for stand in lists, each a message of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from notifier.messages.document import Document, Line, Section, Span, bold, code, plain, shorten
from notifier.messages.links import Links
from notifier.messages.words import Words

_LONGEST_SUMMARY = 120
MOST_WORST = 5
_A_LINE = 5
_A_LIST = 2400  # Slack takes 3,000 characters in a section, and the title and marks have their place


def render_digest(
    *,
    tally: Sequence[Mapping[str, Any]],
    worst: Sequence[Mapping[str, Any]],
    orders: Sequence[str] = (),
    listed: tuple[int, int] = (0, 0),
    opened_at: datetime,
    now: datetime,
    over: bool,
    environment: str,
    words: Words,
    links: Links,
    most_kinds: int = 8,
) -> Document:
    """Return the digest. ``tally``: rows of kind, severity, state and count; ``worst``: rows of id, kind, summary, order_number;
    ``orders``: numbers of orders that still have a problem; ``listed``: how many others stand in how many lists. Without an
    address in ``links`` the list is named as an admin address.
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
        for kind in kinds[:most_kinds]
    ]
    if len(kinds) > most_kinds:
        rest = sum(_sum(tally, kind=kind) for kind in kinds[most_kinds:])
        lines.append((plain(f"{words['digest.others']}: "), bold(str(rest)), plain("")))
    title = words["digest.over" if over else "digest.title"]
    sections = [
        Section(
            lines=(
                counts,
                (plain(f"{words['digest.since']} {words.there(opened_at):%H:%M:%S} – {words.there(now):%H:%M:%S %Z}"),),
            )
        ),
        Section(heading=(bold(f"{words['digest.kinds']}:"),), lines=tuple(lines), bullets=True),
    ]
    if worst:
        gravest = tuple(
            _problem({**row, "summary": words.moments(row["summary"])}, links) for row in worst[:MOST_WORST]
        )
        sections.append(Section(heading=(bold(f"{words['digest.worst']}:"),), lines=gravest, bullets=True))
    numbers, lists = listed
    if orders or numbers:
        elsewhere = ((plain(words["digest.listed"].format(count=numbers, lists=lists)),),) if numbers else ()
        heading = (bold(f"{words['orders']}: {len(orders) + numbers}"),)
        sections.append(Section(heading=heading, lines=(*_lines(orders), *elsewhere)))
    every = (
        code("ordersctl incident list --state open")
        if links.base is None
        else Span(words["digest.open"], link=links.incidents())
    )
    sections.append(Section(lines=((plain(f"{words['digest.all']}: "), every),)))
    return Document(title=(bold(f"🌪 [{environment}] {title}: {total}"),), sections=tuple(sections))


def render_list(numbers: Sequence[str], *, part: int, environment: str, words: Words) -> Document:
    """Return one list of orders' numbers; ``part`` counts the lists of a storm."""
    shown = _distinct(numbers)
    return Document(
        title=(bold(f"🌪 [{environment}] {words['digest.list'].format(part=part)}"),),
        sections=(Section(heading=(bold(f"{words['orders']}: {len(shown)}"),), lines=_lines(shown)),),
    )


def part_numbers(
    unlisted: Sequence[tuple[int, str]], *, room: int
) -> tuple[Sequence[Sequence[tuple[int, str]]], Sequence[str]]:
    """Cut lists off the oldest, until the numbers of the rest take at most ``room`` characters; returns (lists, numbers of the rest)."""
    sizes = [len(number) + len(", ") for _, number in unlisted]
    lists: list[Sequence[tuple[int, str]]] = []
    first, left = 0, sum(sizes)
    while left > room:
        past, used = first + 1, sizes[first]
        while past < len(unlisted) and used + sizes[past] <= _A_LIST:
            used += sizes[past]
            past += 1
        lists.append(unlisted[first:past])
        first, left = past, left - used
    return lists, _distinct([number for _, number in unlisted[first:]])


def _distinct(numbers: Sequence[str]) -> Sequence[str]:
    return list(dict.fromkeys(numbers))


def _lines(numbers: Sequence[str]) -> tuple[Line, ...]:
    return tuple((plain(", ".join(numbers[start : start + _A_LINE])),) for start in range(0, len(numbers), _A_LINE))


def _problem(row: Mapping[str, Any], links: Links) -> Line:
    number = Span(f"#{row['id']}", link=links.page("i", row["id"]))
    line: Line = (number, plain(f" {shorten(row['summary'], _LONGEST_SUMMARY)}"))
    return (*line, plain(" · "), code(row["order_number"])) if row["order_number"] else line


def _sum(tally: Sequence[Mapping[str, Any]], **wanted: str) -> int:
    return sum(row["count"] for row in tally if all(row[name] == value for name, value in wanted.items()))
