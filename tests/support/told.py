"""Whether what people were told is what a change named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from common.contracts.notices import NOTHING


def unlike(named: Iterable[str], told: Iterable[str]) -> list[str]:
    """Return the notices by which both differ.

    What is named for certain has to be told, each so often; of a line with several events (``a or b of N: whom``) any may be told, of
    that order and to those people, and without ``nothing`` among them one has to.
    """
    lines = list(named)
    certain = Counter(line for line in lines if " or " not in line)
    rest = Counter(told)
    missing = certain - rest
    rest -= certain
    for line in (line for line in lines if " or " in line):
        fits = Counter({one: count for one, count in rest.items() if one == line or _one_of(line, one)})
        if not fits and NOTHING not in _events(line):
            missing[line] += 1
        rest -= fits
    return sorted([*missing.elements(), *rest.elements()])


def _one_of(line: str, told: str) -> bool:
    return _about(line) == _about(told) and set(_events(told)) <= set(_events(line))


def _events(line: str) -> list[str]:
    """The events of a line, without the kinds of problems."""
    return [event.partition(" (")[0] for event in line.partition(": ")[0].partition(" of ")[0].split(" or ")]


def _about(line: str) -> tuple[str, str]:
    before, _, whom = line.partition(": ")
    return before.partition(" of ")[2], whom
