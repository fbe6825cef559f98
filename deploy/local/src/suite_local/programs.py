"""A program: one foreground process, described once, run by the process manager or by a test directly."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

from suite_local.errors import NotReadyError

MARKER = "SUITE_LOCAL_INSTANCE"
"""Environment variable that every process we start carries, and its children inherit: the run directory it belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How to run one process in the foreground. `argv[0]` replaces itself by the server: its pid is the server's.

    `niceness`: how far it stands back while processor time is short, as `nice` counts.
    """

    name: str
    argv: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_wait_s: int = 12
    group: str = "services"
    priority: int = 100
    niceness: int = 0

    @property
    def command(self) -> tuple[str, ...]:
        """What is run; `nice` replaces itself, too."""
        return ("nice", "-n", str(self.niceness), *self.argv) if self.niceness else self.argv


class ProgramProcess:
    """One program as our own child, for tests and short jobs; the suite itself runs under the process manager."""

    def __init__(self, program: Program, *, logs: Path) -> None:
        """Describe it; nothing runs before `start`."""
        self.program = program
        self.log = logs / f"{program.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: BinaryIO | None = None

    @property
    def pid(self) -> int:
        """Return the process id; an error when it was never started."""
        if self._process is None:
            raise NotReadyError(f"{self.program.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Say whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C in a terminal does not reach it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self.log.open("ab")
        self._process = subprocess.Popen(
            self.program.command,
            cwd=self.program.directory,
            env={**inherited_environment(), **self.program.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ask it to stop, wait, and kill it when it does not; harmless when it is not running."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.Signals[f"SIG{self.program.stop_signal}"])
        try:
            self._process.wait(timeout=self.program.stop_wait_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """Kill it at once, as a crash would, and wait until its children are gone too."""
        if self._process is None:
            return
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        wait_gone(children, timeout_s=self.program.stop_wait_s)
        self._close()

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def wait_gone(processes: Sequence[psutil.Process], *, timeout_s: float) -> list[psutil.Process]:
    """Wait until the processes have ended, reaped or not (a container's process 1 may be slow at that); return the living."""
    deadline = time.monotonic() + timeout_s
    while True:
        alive = [process for process in processes if _alive(process)]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.05)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def inherited_environment() -> dict[str, str]:
    """Return our environment without what would change how a server behaves (its own settings of another instance)."""
    foreign = ("RABBITMQ_", "PG", "ERL_", "SUPERVISOR_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def last_lines(path: Path, count: int = 15) -> str:
    """Return the end of a log for an error message; an empty string when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 65_536))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-count:])
