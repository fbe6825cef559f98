"""A body as it came, written for reading, with what could not be read marked where it stands. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_MOST_LINES = 2_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the body. ``fault`` says what cannot be read in it, None where all can."""

    text: str
    fault: str | None = None


def pretty(body: str) -> str:
    """Return JSON indented for a person to mend; anything else as it is."""
    try:
        return json.dumps(json.loads(body, strict=False), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return body


def marked(body: str, faults: Iterable[Mapping[str, str]]) -> Sequence[Line]:
    """Return the body's lines with each fault at its place (``positions.0.price``); one that is not there marks what it should stand in.

    What is no JSON comes as it is, and the line at which JSON ends is marked. At most two thousand lines; the last one says so.
    """
    try:
        document = json.loads(body, strict=False)
    except json.JSONDecodeError as error:
        return _cut(
            [Line(text, error.msg if at == error.lineno else None) for at, text in enumerate(body.splitlines(), 1)]
        )
    except (ValueError, RecursionError):
        return _cut([Line(text) for text in body.splitlines()])
    writer = _Writer()
    writer.write(document, path="", depth=0, before="", after="")
    for fault in faults:
        said = f"{fault['message']} ({fault['code']})"
        place = fault["field"]
        while place and place not in writer.places:
            place = place.rpartition(".")[0]
        writer.faults.setdefault(writer.places.get(place, 0), []).append(said)
    return _cut(
        [
            Line(text, "; ".join(writer.faults[at]) if at in writer.faults else None)
            for at, text in enumerate(writer.lines)
        ]
    )


@dataclass(slots=True)
class _Writer:
    """Writes a value over lines and remembers at which line each place begins."""

    lines: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    faults: dict[int, list[str]] = field(default_factory=dict)

    def write(self, value: Any, *, path: str, depth: int, before: str, after: str) -> None:
        """Add the lines of a value; ``before`` and ``after`` stand around it."""
        self.places.setdefault(path, len(self.lines))
        indent = "  " * depth + before
        if isinstance(value, dict) and value:
            parts = [(f"{json.dumps(key, ensure_ascii=False)}: ", str(key), each) for key, each in value.items()]
            self._nested(parts, "{}", path, depth, indent, after)
        elif isinstance(value, list) and value:
            self._nested([("", str(at), each) for at, each in enumerate(value)], "[]", path, depth, indent, after)
        else:
            self.lines.append(indent + json.dumps(value, ensure_ascii=False) + after)

    def _nested(
        self, parts: Sequence[tuple[str, str, Any]], around: str, path: str, depth: int, indent: str, after: str
    ) -> None:
        self.lines.append(indent + around[0])
        for at, (before, name, each) in enumerate(parts):
            comma = "," if at < len(parts) - 1 else ""
            self.write(each, path=f"{path}.{name}" if path else name, depth=depth + 1, before=before, after=comma)
        self.lines.append("  " * depth + around[1] + after)


def _cut(lines: Sequence[Line]) -> Sequence[Line]:
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[:_MOST_LINES], Line(f"… +{len(lines) - _MOST_LINES}")]
