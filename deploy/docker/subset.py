"""Print the part of requirements.lock that some distributions need, pins and hashes as they stand there.

An image holds one service, the lock all of them. Which package needs which is read from the lock's own ``# via`` comments, so this
needs no network and installs nothing, and what is printed can be installed with ``pip install --require-hashes --no-deps``.
Used by deploy/docker/Dockerfile: ``python subset.py requirements.lock <name or pyproject.toml>…``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==")
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_OWN = "suite-"


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of the lock: its lines without comments, and the names of the packages that asked for it."""

    lines: tuple[str, ...]
    wanted_by: frozenset[str]


def normalized(name: str) -> str:
    """Return a distribution's name as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_lock(text: str) -> dict[str, Pin]:
    """Return the lock's entries by normalized name. Raises ``ValueError`` for a line that belongs to no entry."""
    lines: dict[str, list[str]] = {}
    wanted_by: dict[str, set[str]] = {}
    current = ""
    for line in text.splitlines():
        if match := _PIN.match(line):
            current = normalized(match.group(1))
            lines[current], wanted_by[current] = [line], set()
        elif line.lstrip().startswith("#"):
            reason = line.strip().lstrip("#").strip().removeprefix("via").strip()
            if current and reason and not reason.startswith("-"):
                wanted_by[current].add(normalized(reason))
        elif line.strip():
            if not current:
                raise ValueError(f"the lock's line {line.strip()!r} belongs to no package")
            lines[current].append(line)
    return {name: Pin(tuple(lines[name]), frozenset(wanted_by[name])) for name in lines}


def closure(pins: Mapping[str, Pin], roots: Iterable[str]) -> list[str]:
    """Return the names of the roots and of all that they need, sorted. Raises ``ValueError`` for a root that is not pinned."""
    found: set[str] = set()
    waiting = [normalized(root) for root in roots]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in pins:
            raise ValueError(f"{name} is not in the lock")
        found.add(name)
        waiting += [other for other, pin in pins.items() if name in pin.wanted_by]
    return sorted(found)


def requirements_of(pyproject: Path) -> set[str]:
    """Return what one of our own packages asks for, without the others of ours (they are given as arguments of their own)."""
    project = tomllib.loads(pyproject.read_text())["project"]
    names = {normalized(match.group(1)) for text in project["dependencies"] if (match := _REQUIREMENT.match(text))}
    return {name for name in names if not name.startswith(_OWN)}


def main(arguments: list[str]) -> None:
    """Print the subset to stdout."""
    lock, *wanted = arguments
    roots: set[str] = set()
    for item in wanted:
        roots |= requirements_of(Path(item)) if item.endswith(".toml") else {item}
    pins = parse_lock(Path(lock).read_text())
    text = "\n".join(line for name in closure(pins, roots) for line in pins[name].lines)
    # A backslash at the end of an entry's last line would have continued into a comment that is gone.
    sys.stdout.write(re.sub(r" \\\n(?! )", "\n", text + "\n"))


if __name__ == "__main__":
    main(sys.argv[1:])
