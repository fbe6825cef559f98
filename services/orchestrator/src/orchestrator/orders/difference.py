"""What changed between two states of an order: positions added, removed and changed, and other fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.orders.events import Line

FieldChange = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class LineChange:
    """A position before and after."""

    before: Line
    after: Line


@dataclass(frozen=True, slots=True)
class Difference:
    """Positions by kind of change, in the order of the states, and fields as (name, before, after)."""

    added: tuple[Line, ...] = ()
    removed: tuple[Line, ...] = ()
    changed: tuple[LineChange, ...] = ()
    fields: tuple[FieldChange, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changed at all."""
        return bool(self.added or self.removed or self.changed or self.fields)


NOTHING = Difference()


def compare(before: Sequence[Line], after: Sequence[Line], fields: Iterable[FieldChange] = ()) -> Difference:
    """Return the difference between two lists of positions. Quantities compare as numbers: 2 equals 2.00.

    Positions are recognised by their id; where one id stands twice, the occurrences are matched in order, so that a
    position that was split is not lost.
    """
    changes = tuple(change for change in fields if change[1] != change[2])
    if before == after:
        return Difference(fields=changes) if changes else NOTHING
    old = dict(_numbered(before))
    added: list[Line] = []
    changed: list[LineChange] = []
    for key, line in _numbered(after):
        previous = old.pop(key, None)
        if previous is None:
            added.append(line)
        elif previous != line:
            changed.append(LineChange(previous, line))
    return Difference(added=tuple(added), removed=tuple(old.values()), changed=tuple(changed), fields=changes)


def _numbered(lines: Iterable[Line]) -> Iterable[tuple[tuple[str, int], Line]]:
    seen: dict[str, int] = {}
    for line in lines:
        count = seen.get(line.id, 0)
        seen[line.id] = count + 1
        yield (line.id, count), line
