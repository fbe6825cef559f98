"""The process manager: supervisord with a configuration written from our programs, spoken to over its unix socket.

Guarantees: a program that ends for whatever reason is spawned again within half a second (see `supervisord.py`), without limit
and without growing pauses: `startsecs=0` makes every end an ordinary one, which has neither back-off nor giving up.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from suite_local.errors import NotReadyError, SuiteLocalError
from suite_local.paths import RunDirectory, write_private
from suite_local.programs import MARKER, Program, inherited_environment, last_lines, wait_gone

LISTENER = "suitejson"
LOG_BYTES = "20MB"
LOG_BACKUPS = 3
_QUOTES = ("'", '"')


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What the process manager says about one program; `pid` is None while it does not run."""

    name: str
    group: str
    state: str
    pid: int | None


def render(programs: Sequence[Program], run: RunDirectory) -> str:
    """Return supervisord's configuration. Pure: the same programs give the same text."""
    sections = [
        _section(
            "supervisord",
            pidfile=run.supervisor_pidfile,
            directory=run.root,
            childlogdir=run.logs,
            user=os.getuid(),
            minfds=1024,
            identifier="suite",
            strip_ansi="true",
            **_log("logfile", run.logs / "supervisord.log"),
        ),
        _section("unix_http_server", file=run.supervisor_socket, chmod="0700"),
        _section(
            "rpcinterface:supervisor",
            **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        _section("supervisorctl", serverurl=f"unix://{run.supervisor_socket}"),
        _section(
            f"eventlistener:{LISTENER}",
            command=shlex.join([sys.executable, "-m", "suite_local.pid_listener", str(run.root)]),
            events="PROCESS_STATE_RUNNING",
            buffer_size=1000,
            autorestart="true",
            startsecs=0,
            priority=1,
            stdout_logfile="NONE",  # its stdout is the protocol
            **_log("stderr_logfile", run.logs / f"{LISTENER}.log"),
        ),
    ]
    groups: dict[str, list[Program]] = {}
    for program in programs:
        groups.setdefault(program.group, []).append(program)
    for group, members in groups.items():
        names = ",".join(member.name for member in members)
        sections.append(_section(f"group:{group}", programs=names, priority=min(member.priority for member in members)))
    sections.extend(
        _section(
            f"program:{program.name}",
            command=shlex.join(program.command),
            directory=program.directory,
            environment=_environment(program.environment),
            autostart="false",
            autorestart="true",
            startsecs=0,
            stopsignal=program.stop_signal,
            stopwaitsecs=program.stop_wait_s,
            priority=program.priority,
            redirect_stderr="true",
            **_log("stdout_logfile", run.logs / f"{program.name}.log"),
        )
        for program in programs
    )
    return "\n".join(sections)


def _section(title: str, **settings: object) -> str:
    lines = [f"{name}={value}" for name, value in settings.items()]
    for line in lines:
        # supervisor takes " ;" for a comment, and a line break for the next setting.
        if " ;" in line or "\n" in line:
            raise SuiteLocalError(f"this cannot stand in the process manager's configuration: {line.split('=')[0]}")
    # It expands %(…)s everywhere.
    return "\n".join([f"[{title}]", *(line.replace("%", "%%") for line in lines), ""])


def _log(name: str, path: Path) -> dict[str, object]:
    return {name: path, f"{name}_maxbytes": LOG_BYTES, f"{name}_backups": LOG_BACKUPS}


def _environment(environment: Mapping[str, str]) -> str:
    return ",".join(f"{name}={_quoted(name, value)}" for name, value in sorted(environment.items()))


def _quoted(name: str, value: str) -> str:
    """Quote with whichever mark does not stand in the value; supervisor knows no escapes, and strips both marks at the ends."""
    mark = "'" if '"' in value else '"'
    if mark in value or value[:1] in _QUOTES or value[-1:] in _QUOTES:
        raise SuiteLocalError(f"{name}: the process manager cannot carry these quotes in a variable")
    return f"{mark}{value}{mark}"


class Supervisor:
    """The process manager of one run directory. Whoever changes what runs holds the run directory's lock."""

    def __init__(self, run: RunDirectory) -> None:
        """Speak about the run directory; nothing is started."""
        self._run = run

    @property
    def running(self) -> bool:
        """Say whether this run directory's process manager answers."""
        return self._try("getState") is not None

    @property
    def pid(self) -> int | None:
        """Return the process manager's pid, None when it does not answer."""
        pid = self._try("getPID")
        return int(pid) if pid is not None else None

    def apply(self, programs: Sequence[Program]) -> bool:
        """Make these the known programs, starting supervisord when needed; True when something was new or different.

        Programs whose description changed are stopped; nothing is started.
        """
        text = render(programs, self._run)
        before = self._run.supervisor_conf.read_text() if self._run.supervisor_conf.exists() else None
        if before != text:
            write_private(self._run.supervisor_conf, text)
        if not self.running:
            self._launch()
            return True
        if before == text:
            return False
        added, changed, removed = self._call("reloadConfig")[0]
        for group in (*changed, *removed):
            self._call("stopProcessGroup", group)
            self._call("removeProcessGroup", group)
        for group in (*changed, *added):
            self._call("addProcessGroup", group)
        return True

    def start(self, names: Iterable[str]) -> None:
        """Start the programs that do not run; returns when they are spawned, not when they are ready."""
        states = {state.name: state for state in self.processes()}
        for name in names:
            state = states[name]
            if state.state not in ("RUNNING", "STARTING"):
                with contextlib.suppress(xmlrpc.client.Fault):  # it ended at once: whoever waits for it sees its log
                    self._call("startProcess", f"{state.group}:{name}", False)

    def processes(self) -> list[ProcessState]:
        """Return all programs but the pid listener; an empty list when the process manager does not run."""
        infos = self._try("getAllProcessInfo") or []
        return [
            ProcessState(str(info["name"]), str(info["group"]), str(info["statename"]), int(info["pid"]) or None)
            for info in infos
            if info["name"] != LISTENER
        ]

    def shutdown(self, timeout_s: float = 90) -> None:
        """Stop every program in order, then the process manager; what outlived it is killed. Harmless when nothing runs."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(OSError, xmlrpc.client.Fault):
                # All services at once, then the servers: supervisord's own shutdown goes group by group as well.
                self._call("shutdown")
            with contextlib.suppress(psutil.NoSuchProcess):
                wait_gone([psutil.Process(pid)], timeout_s=timeout_s)
        self._clear()

    def kill(self) -> None:
        """Kill everything at once, as a crash of the machine would, the process manager first."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                process.kill()
                wait_gone([process], timeout_s=10)
        self._clear(force=True)

    def _clear(self, *, force: bool = False) -> None:
        sweep(self._run, force=force)
        self._run.supervisor_socket.unlink(missing_ok=True)
        self._run.supervisor_pidfile.unlink(missing_ok=True)

    def _launch(self) -> None:
        sweep(self._run)  # what a killed process manager left behind would hold our ports
        done = subprocess.run(
            [sys.executable, "-m", "suite_local.supervisord", "-c", str(self._run.supervisor_conf)],
            env={**inherited_environment(), MARKER: str(self._run.root)},
            cwd=self._run.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + 10
        while done.returncode == 0 and not self.running:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            if done.returncode == 0:
                return
        raise NotReadyError(
            f"supervisord does not start:\n{done.stderr}{last_lines(self._run.logs / 'supervisord.log')}"
        )

    def _call(self, method: str, *arguments: Any) -> Any:
        # The transport talks to the socket; the address that ServerProxy insists on is not used.
        transport = SupervisorTransport(None, None, f"unix://{self._run.supervisor_socket}")
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()

    def _try(self, method: str) -> Any:
        if not self._run.supervisor_socket.exists():
            return None
        try:
            return self._call(method)
        except (OSError, xmlrpc.client.Error):
            return None


def strays(run: RunDirectory) -> list[psutil.Process]:
    """Return every living process that this run directory's process manager started, itself included, wherever it went."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(run.root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # not ours to look at, or gone
            continue
    return found


def sweep(run: RunDirectory, *, force: bool = False, timeout_s: float = 10) -> None:
    """End what is left of this run directory's processes (epmd outlives its node; a killed supervisord orphans all)."""
    left = strays(run)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill() if force else process.terminate()
    alive = wait_gone(left, timeout_s=timeout_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_gone(alive, timeout_s=timeout_s)
