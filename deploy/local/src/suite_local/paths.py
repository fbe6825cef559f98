"""Where everything that a run leaves behind lies: one run directory, `.run/` unless `SUITE_RUN_DIR` says otherwise."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

UNIX_SOCKET_PATH_LIMIT = 100
"""Bytes; Linux allows 107, and supervisor appends its pid while it creates the socket."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The files of one running suite. Two suites with different run directories share nothing."""

    root: Path

    @property
    def logs(self) -> Path:
        """Logs of every program, rotated by the process manager. Mode 700: a server's may quote a row that it refuses."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """Generated passwords and tokens: mode 700, every file in it 600."""
        return self.root / "secrets"

    @property
    def state_file(self) -> Path:
        """What has to stay the same from one start to the next: the chosen ports."""
        return self.root / "state.json"

    @property
    def layout_file(self) -> Path:
        """`suite.json` without process ids; the pid listener fills them in."""
        return self.root / "layout.json"

    @property
    def suite_json(self) -> Path:
        """What the outside reads: addresses, pids, tokens. Mode 600."""
        return self.root / "suite.json"

    @property
    def supervisor_conf(self) -> Path:
        """The generated configuration of the process manager. Mode 600: it carries passwords."""
        return self.root / "supervisord.conf"

    @property
    def supervisor_pidfile(self) -> Path:
        """The process manager's pid."""
        return self.root / "supervisord.pid"

    @property
    def sandbox_file(self) -> Path:
        """What the sandbox's outside world still knows when the suite is started again."""
        return self.root / "sandbox.sqlite3"

    @property
    def unfinished_restore(self) -> Path:
        """There while a backup is brought in: what lies here is half of it, and nothing is started from that."""
        return self.root / "restore-unfinished"

    @property
    def lock_file(self) -> Path:
        """Held while somebody changes what runs here, so that two `up` do not meet."""
        return self.root / "lock"

    @property
    def supervisor_socket(self) -> Path:
        """The process manager's control socket, moved to the temporary directory when the path here is too long."""
        here = self.root / "supervisor.sock"
        if len(os.fsencode(here)) <= UNIX_SOCKET_PATH_LIMIT:
            return here
        return Path(tempfile.gettempdir()) / f"suite-local-{os.getuid()}-{self.digest}.sock"

    @property
    def digest(self) -> str:
        """A short name of this run directory, for what must lie outside it."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]

    def create(self) -> None:
        """Make the directories; harmless when they are there."""
        self.root.mkdir(parents=True, exist_ok=True)
        for private in (self.logs, self.secrets):
            private.mkdir(mode=0o700, exist_ok=True)
            private.chmod(0o700)


def repository_root() -> Path:
    """Return the root of the checkout that this package was installed from (it is always an editable install)."""
    return Path(__file__).resolve().parents[4]


def run_directory(environ: Mapping[str, str] | None = None) -> RunDirectory:
    """Return the run directory that `SUITE_RUN_DIR` names, else the checkout's own `.run/`."""
    environ = os.environ if environ is None else environ
    named = environ.get("SUITE_RUN_DIR")
    return RunDirectory(Path(named).resolve() if named else repository_root() / ".run")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file's lock, waiting for it; a holder that dies lets go of it."""
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; it is never readable by others, not even for a moment."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
