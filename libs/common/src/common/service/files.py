"""Files that people change while a service runs: read again within seconds; a broken one changes nothing, and somebody hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from common.errors import ConfigurationError
from common.service.jobs import PeriodicJob, every
from common.service.lifecycle import Lifecycle
from common.telemetry import get_logger

_log = get_logger()
_SECONDS = 2.0

ReadFile = Callable[[bytes], None]
"""Takes a file's content over. Raises ``ConfigurationError``, with no secret in it, and leaves everything as it was."""

Watched = tuple[Path | tuple[Path, ...], ReadFile]


def read_file(path: Path, what: str) -> bytes:
    """Return the content of a file that the service cannot start without. Raises ``ConfigurationError``, which says what is in it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the {what} file {path} cannot be read: {error.strerror}") from None


class _WatchedFile:
    def __init__(self, name: str, paths: Sequence[Path], read: ReadFile, broken: Gauge) -> None:
        self._name = name
        self._paths = paths
        self._read = read
        self._broken = broken.labels(name)
        self._seen: tuple[bytes | None, str | None] | None = None

    async def look(self) -> None:
        """Read the file if it is not what it was at the last look."""
        try:
            found: bytes | None = await asyncio.to_thread(self._content)
            complaint = None
        except OSError as error:
            found, complaint = None, f"cannot be read: {error.strerror}"
        if (found, complaint) == self._seen:
            return
        first, self._seen = self._seen is None, (found, complaint)
        if found is not None:
            try:
                self._read(found)
            except ConfigurationError as error:
                complaint = error.detail
        self._broken.set(complaint is not None)
        if complaint is not None:
            _log.error("file_broken", file=self._name, reason=complaint)
        elif not first:
            _log.info("file_read_again", file=self._name)

    def _content(self) -> bytes:
        return b"".join(path.read_bytes() for path in self._paths)


def watch_files(lifecycle: Lifecycle, registry: CollectorRegistry, files: Mapping[str, Watched]) -> PeriodicJob:
    """Have each file (by the name that its metric says) read again within five seconds of a change.

    A file that is half-written, malformed or gone is logged, raises ``configuration_file_broken``, and leaves what was read before in
    force until a sound one is there. Several files under one name are read together. However one is replaced, renamed over or written
    in place, its content decides.
    """
    broken = Gauge(
        "configuration_file_broken",
        "1 while a file that people change cannot be used: the one before it is in force.",
        ["file"],
        registry=registry,
    )
    watched = [
        _WatchedFile(name, (path,) if isinstance(path, Path) else path, read, broken)
        for name, (path, read) in files.items()
    ]

    async def look_at_all() -> None:
        """Read again each file that has changed."""
        for file in watched:
            await file.look()

    return every(lifecycle, _SECONDS, look_at_all, name="files")
