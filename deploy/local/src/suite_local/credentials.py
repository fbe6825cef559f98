"""Passwords and tokens: generated once for a run directory, kept there with mode 600, never printed."""

from __future__ import annotations

import secrets
from pathlib import Path

from suite_local.paths import write_private


class Credentials:
    """The generated secrets of one run directory, a file each, so that a program can be given the path of just its own."""

    def __init__(self, directory: Path) -> None:
        """Use the directory; it must exist."""
        self.directory = directory

    def get(self, name: str) -> str:
        """Return the secret of that name, made at the first call: 32 characters that are safe in an address."""
        path = self.path(name)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        return path.read_text(encoding="utf-8").strip()

    def path(self, name: str) -> Path:
        """Return where the secret lies; call `get` first, which makes it."""
        return self.directory / name
