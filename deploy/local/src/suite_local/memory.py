"""Throw-away servers keep their data in memory where there is room: cloning a database takes a twentieth of the time there.

A link in the run directory leads to it. Nothing of it is wanted after the servers' end, let alone after the machine's.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from suite_local.paths import RunDirectory

TMPFS = Path("/dev/shm")  # noqa: S108 -- the system's file system in memory is wanted, under a name that only we use
ROOM = 3 * 1024**3
"""Bytes that must be free: a few dozen small databases, and the logs of both servers at their longest."""
SPARE = 2 * ROOM
"""Bytes of memory that must be free, so that everybody else keeps as much again."""
_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def place(run: RunDirectory, names: Sequence[str], *, tmpfs: Path = TMPFS) -> None:
    """Make the named directories of the run directory anew and empty: in memory if there is room, else where they are."""
    forget(run, names, tmpfs=tmpfs)
    home = _home(run, tmpfs)
    try:
        roomy = has_room(tmpfs)
        for name in names if roomy else ():
            (home / name).mkdir(parents=True)
    except OSError:  # nobody may write there, or only somebody else
        roomy = False
    for name in names:
        if roomy:
            (run.root / name).symlink_to(home / name, target_is_directory=True)
        else:
            (run.root / name).mkdir()


def forget(run: RunDirectory, names: Sequence[str], *, tmpfs: Path = TMPFS) -> None:
    """Remove the named directories, wherever they are. Harmless when they are not there."""
    for name in names:
        path = run.root / name
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(_home(run, tmpfs), ignore_errors=True)


def has_room(tmpfs: Path = TMPFS) -> bool:
    """Say whether the file system is there, and large enough, and the memory behind it too, also by a container's limits."""
    try:
        return shutil.disk_usage(tmpfs).free >= ROOM and _available() >= SPARE
    except OSError:
        return False


def _available() -> int:
    available: int = psutil.virtual_memory().available
    for limit, used in _LIMITS:
        try:
            available = min(available, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such group, or no limit ("max")
            continue
    return available


def _home(run: RunDirectory, tmpfs: Path) -> Path:
    return tmpfs / f"suite-test-{run.digest}"
