"""The page of personal data, as tests read it."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/personal-data.md"


def sections() -> dict[str, list[list[str]]]:
    """The cells of every table of the page, by heading."""
    found: dict[str, list[list[str]]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            rows = found.setdefault(line[3:], [])
        elif line.startswith("| ") and not line.startswith("| where |"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def code(cells: list[str]) -> set[str]:
    """What stands as code in these cells."""
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def listed(section: str) -> set[str]:
    """The places that a section of the page names."""
    return {place for row in sections()[section] for place in code(row[:1])}
