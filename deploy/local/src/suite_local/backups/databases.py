"""PostgreSQL's own programs: a copy of the whole server with the log that makes it whole, or a dump of each database.

Where the server is ours it is copied: all databases stand at one moment, and the log that is kept behind it leads up to any later one.
Somebody else's server is copied by its owner, or gives us dumps, each of its own moment.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from suite_local.errors import BackupError, InfrastructureMissingError
from suite_local.infrastructure.postgres import find_binaries
from suite_local.programs import inherited_environment

_PR_SET_PDEATHSIG = 1
FOLLOWER = "suite-backup"
"""The name of whoever receives the log, for ``synchronous_standby_names``: then no commit is answered before it is there."""


def major_version() -> int:
    """Return the major version of our own programs."""
    return _binaries()[1]


def copy_server(dsn: str, into: Path) -> None:
    """Copy the running server, its log with it, and have PostgreSQL verify the copy. Raises ``BackupError``."""
    _run(["pg_basebackup", "-D", str(into), "-X", "stream", "-c", "fast", "--manifest-checksums=SHA256"], dsn)
    verify_copy(into)


def verify_copy(copy: Path) -> None:
    """Have PostgreSQL compare a copy with its own manifest, and read its log. Raises ``BackupError``."""
    _run(["pg_verifybackup", "-q", str(copy)])


def follow(dsn: str, into: Path) -> subprocess.Popen[bytes]:
    """Begin to receive what the server writes; each piece is on the disk before the server is told so.

    It reconnects by itself. The server keeps nothing for whoever stays away: what it has recycled meanwhile ends the program, and
    another backup has to be taken. On Linux it ends with this process, whatever ends that: nobody else would end it.
    """
    into.mkdir(mode=0o700, exist_ok=True)
    command, environment = _command(["pg_receivewal", "-D", str(into), "--synchronous"], dsn, name=FOLLOWER)
    libc, ours = ctypes.CDLL(None), os.getpid()

    def end_with_us() -> None:
        if sys.platform == "linux":
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
            if os.getppid() != ours:  # it was too late to be told
                os._exit(1)

    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, preexec_fn=end_with_us)


def dump(dsn: str, database: str, into: Path) -> None:
    """Dump one database as it is at one moment. Raises ``BackupError``."""
    into.parent.mkdir(mode=0o700, exist_ok=True)
    _run(["pg_dump", "--format=custom", f"--file={into}"], _of(dsn, database))


def fill(dsn: str, database: str, dumped: Path) -> None:
    """Bring a dump into an empty database whose roles are there, all of it or nothing. Raises ``BackupError``."""
    _run(
        ["pg_restore", "--exit-on-error", "--single-transaction", "--clean", "--if-exists", str(dumped)],
        _of(dsn, database),
    )


def _of(dsn: str, database: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def _binaries() -> tuple[Path, int]:
    found = find_binaries()
    if found is None:
        raise InfrastructureMissingError("no PostgreSQL programs (pg_dump and others): install the package postgresql")
    return found.directory, found.major


def _run(command: Sequence[str], dsn: str | None = None) -> None:
    words, environment = _command(command, dsn)
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BackupError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")


def _command(command: Sequence[str], dsn: str | None, *, name: str = "suite-local") -> tuple[list[str], dict[str, str]]:
    """Return the words and the environment. The password goes by the environment: everybody may read the words."""
    environment = {**inherited_environment(), "PGAPPNAME": name}
    words = [str(_binaries()[0] / command[0]), *command[1:]]
    if dsn is not None:
        parts = urlsplit(dsn)
        account, _, address = parts.netloc.rpartition("@")
        user, _, password = account.partition(":")
        environment["PGPASSWORD"] = unquote(password)
        words += ["-w", "-d", urlunsplit(parts._replace(netloc=f"{user}@{address}"))]
    return words, environment | {"PATH": os.environ.get("PATH", "")}
