"""The folder of one backup. Its manifest is written last, so a folder without one is no backup, whatever lies in it.

Everything in it is its owner's alone (0700, files 0600): the databases hold customers' data, the secrets open everything.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from suite_local.errors import BackupError
from suite_local.paths import write_private

FORMAT = 1
_MANIFEST = "manifest.json"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup is of. ``postgres``: ``base`` is a copy of the whole server, ``dumps`` is a dump of each database."""

    release: str
    began_at: str
    ended_at: str
    postgres: Literal["base", "dumps"]
    postgres_major: int
    definitions: bool
    spools: list[str]
    files: dict[str, tuple[int, str]]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class BackupFolder:
    """Where each part lies."""

    root: Path

    @property
    def base(self) -> Path:
        """The copy of the server's data directory."""
        return self.root / "postgres"

    @property
    def dumps(self) -> Path:
        """A dump of each database."""
        return self.root / "databases"

    @property
    def wal(self) -> Path:
        """What the server has written since: grows while it is followed, and stands in no manifest."""
        return self.root / "wal"

    @property
    def definitions(self) -> Path:
        """The broker's users, exchanges, queues and bindings."""
        return self.root / "broker" / "definitions.json"

    @property
    def spools(self) -> Path:
        """A directory for each gateway."""
        return self.root / "spool"

    @property
    def secrets(self) -> Path:
        """Passwords, tokens, and the files that are made with them."""
        return self.root / "secrets"

    def begin(self) -> None:
        """Make the folder. Raises ``BackupError`` when something lies in it: a backup never mixes with another one."""
        if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise BackupError(f"{self.root} is not empty: give each backup a folder of its own")
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, when everything else has reached the disk."""
        os.sync()
        write_private(self.root / _MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
        os.sync()

    def read(self) -> Manifest:
        """Return the manifest after every file was found to be as it says. Raises ``BackupError``."""
        path = self.root / _MANIFEST
        if not path.is_file():
            raise BackupError(f"{self.root} has no {_MANIFEST}: it is no backup, or one that was not finished")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise BackupError(f"{self.root} is of format {found['format']}, which this release does not read")
            manifest = Manifest(**found)
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{path} cannot be read: {error!r}") from None
        for name, (size, digest) in manifest.files.items():
            file = self.root / name
            if not file.is_file():
                raise BackupError(f"{file} is missing: the backup is damaged")
            if file.stat().st_size != size or _digest(file) != digest:
                raise BackupError(f"{file} is not as it was saved: the backup is damaged")
        return manifest

    def sums(self) -> dict[str, tuple[int, str]]:
        """Return size and SHA-256 of every file but what is still growing."""
        files = (path for path in sorted(self.root.rglob("*")) if path.is_file() and self.wal not in path.parents)
        return {str(path.relative_to(self.root)): (path.stat().st_size, _digest(path)) for path in files}


@contextmanager
def private_files() -> Iterator[None]:
    """Let nobody else read what is written meanwhile, also by programs that are started."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
