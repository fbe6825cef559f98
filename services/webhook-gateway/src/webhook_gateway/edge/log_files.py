"""The edge's log on disk: its files, and the whole lines of each from where reading stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PATTERN = "intake*"
_COMPRESSED = frozenset({".gz", ".xz", ".zst", ".bz2"})
_LONGEST_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file that has at least one whole line. ``first_line`` is its SHA-256: what the file is known by, whatever it is called."""

    path: Path
    first_line: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines, and where they end; a last line without an end waits for it."""

    lines: Sequence[bytes]
    end: int


def log_files(directory: Path) -> list[LogFile]:
    """Return the files of the log, the oldest first; compressed ones were read before that."""
    found: list[tuple[float, LogFile]] = []
    for path in directory.glob(_PATTERN):
        if path.suffix in _COMPRESSED:
            continue
        try:
            with path.open("rb") as file:
                first = file.readline(_LONGEST_LINE)
            if first.endswith(b"\n"):
                found.append((path.stat().st_mtime, LogFile(path, hashlib.sha256(first).digest())))
        except FileNotFoundError:
            continue  # renamed just now: it is found under its new name next time
    return [file for _, file in sorted(found, key=lambda one: (one[0], one[1].path))]


def read_piece(file: LogFile, start: int, most: int) -> Piece:
    """Read at most ``most`` bytes of whole lines. Nothing, when the name belongs to another file by now."""
    try:
        with file.path.open("rb") as opened:
            if hashlib.sha256(opened.readline(_LONGEST_LINE)).digest() != file.first_line:
                return Piece((), start)
            opened.seek(start)
            data = opened.read(most)
    except FileNotFoundError:
        return Piece((), start)
    end = data.rfind(b"\n") + 1
    if not end and len(data) == most:
        end = len(data)  # no line of ours is as long: it counts as unreadable
    return Piece(data[:end].splitlines(), start + end)
