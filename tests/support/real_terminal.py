"""``ordersctl`` in a process of its own at a real terminal: a pseudo-terminal of a given size, which is its controlling one."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import multiprocessing
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

_WITHIN_S = 120.0
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][0-9A-B])")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CTRL_C, CTRL_D, TAB, ENTER = "\x03", "\x04", "\t", "\r"


@dataclass(frozen=True, slots=True)
class Shown:
    """How a command ended, and everything that its terminal received, both streams as they came."""

    code: int
    raw: str

    @property
    def text(self) -> str:
        """What a person reads."""
        return plain(self.raw)

    @property
    def colours(self) -> list[str]:
        """The sequences that change colour or weight."""
        return [each for each in _COLOUR.findall(self.raw) if each != "\x1b[0m"]


@dataclass(frozen=True, slots=True)
class Piped:
    """How a command ended without a terminal, and its two streams."""

    code: int
    out: str
    remarks: str

    @property
    def json(self) -> Any:
        """The result."""
        assert self.out, self.remarks
        return json.loads(self.out)


def plain(raw: str) -> str:
    """Return what stands on the terminal without what steers it."""
    return _SEQUENCE.sub("", raw).replace("\r\n", "\n")


class Session:
    """A command at its terminal, while it runs."""

    def __init__(self, process: ForkServerProcess | asyncio.subprocess.Process, terminal: int) -> None:
        self._process, self._terminal = process, terminal
        self._raw = b""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(terminal, self._read)

    @property
    def text(self) -> str:
        """What a person has read so far."""
        return plain(self._raw.decode(errors="replace"))

    def types(self, keys: str) -> None:
        """Press keys; Ctrl-C reaches whoever is in the foreground."""
        os.write(self._terminal, keys.encode())

    def resized(self, columns: int, rows: int = 40) -> None:
        """Make the window larger or smaller."""
        _resize(self._terminal, columns, rows)

    async def shows(self, words: str, *, times: int = 1) -> None:
        """Wait until words stand there so many times. ``AssertionError`` when it ends before, or two minutes are over."""
        deadline = time.monotonic() + _WITHIN_S
        while self.text.count(words) < times:
            over = self._ended
            self._more.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), 0.05)
            assert not (over and self.text.count(words) < times), f"it ended without {words!r}:\n{self.text}"
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.text}"

    async def ended(self) -> Shown:
        """Wait for its end and return all of it."""
        if isinstance(self._process, asyncio.subprocess.Process):
            code = await asyncio.wait_for(self._process.wait(), _WITHIN_S)
        else:
            ended = await _end_of(self._process)
            assert ended is not None, f"it goes on:\n{self.text}"
            code = ended
        while self._read():
            pass
        return Shown(code, self._raw.decode(errors="replace"))

    async def gives_up(self, keys: str) -> Shown:
        """Press keys as somebody who wants out, again while it goes on: a Ctrl-C between a question and its reading is only noted."""
        ending = asyncio.create_task(self.ended())
        while not ending.done():
            self.types(keys)
            await asyncio.wait({ending}, timeout=3)
        return await ending

    def close(self) -> None:
        """Hang up, and end what does not end by that."""
        asyncio.get_running_loop().remove_reader(self._terminal)
        os.close(self._terminal)
        with contextlib.suppress(ProcessLookupError):
            if not self._ended:
                self._process.kill()

    @property
    def _ended(self) -> bool:
        if isinstance(self._process, asyncio.subprocess.Process):
            return self._process.returncode is not None
        return self._process.exitcode is not None

    def _read(self) -> bool:
        try:
            came = os.read(self._terminal, 65536)
        except (BlockingIOError, OSError):  # nothing more now, or for ever: the other end is closed
            came = b""
        if not came and self._ended:
            asyncio.get_running_loop().remove_reader(self._terminal)
        self._raw += came
        self._more.set()
        return bool(came)


class RealTerminal:
    """Somebody at a terminal: her environment, and how large her window is."""

    def __init__(self, environment: Mapping[str, str], *, scratch: Path) -> None:
        self._environment = {**environment, "TERM": "xterm-256color"}
        self._scratch = scratch
        self._count = 0

    @contextlib.asynccontextmanager
    async def opened(self, *arguments: str, columns: int = 100, **environment: str) -> AsyncIterator[Session]:
        """Run ``ordersctl`` at a terminal; it is ended at the end if it goes on."""
        with _pair(columns) as (terminal, name):
            place = {**self._environment, **environment}
            process = _forking().Process(target=_at_a_terminal, args=(name, arguments, place))
            process.start()
            session = Session(process, terminal)
            try:
                yield session
            finally:
                session.close()

    async def __call__(self, *arguments: str, columns: int = 100, **environment: str) -> Shown:
        """Run it at a terminal to its end, without a key pressed."""
        async with self.opened(*arguments, columns=columns, **environment) as session:
            return await session.ended()

    async def piped(self, *arguments: str, typed: str = "", **environment: str) -> Piped:
        """Run it without a terminal: the result goes into one file, remarks into another, ``typed`` is its standard input."""
        self._count += 1
        files = [self._scratch / f"{self._count}.{name}" for name in ("in", "out", "remarks")]
        for file, text in zip(files, (typed, "", ""), strict=True):
            file.write_text(text, encoding="utf-8")
        place = {**self._environment, **environment}
        process = _forking().Process(target=_with_files, args=(list(map(str, files)), arguments, place))
        process.start()
        code = await _end_of(process)
        if code is None:
            process.kill()
        assert code is not None, arguments
        return Piped(code, *(file.read_text(encoding="utf-8") for file in files[1:]))

    @contextlib.asynccontextmanager
    async def shell(self, *command: str, environment: Mapping[str, str]) -> AsyncIterator[Session]:
        """Run another program, a shell, at a terminal; it is ended at the end."""
        with _pair(columns=100) as (terminal, name):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _TAKES_THE_TERMINAL, name, *command),
                env={**self._environment, **environment},
                start_new_session=True,
            )
            session = Session(process, terminal)
            try:
                yield session
            finally:
                session.close()
                await process.wait()


async def _end_of(process: ForkServerProcess) -> int | None:
    """Wait for its end and return its exit code, None when it goes on.

    In the loop's own thread, where all others look at it: of two threads that read the code at once one sees 255.
    """
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(process.sentinel, ended.set)
    try:
        async with asyncio.timeout(_WITHIN_S):
            await ended.wait()
    except TimeoutError:
        return None
    finally:
        loop.remove_reader(process.sentinel)
    return process.exitcode


_TAKES_THE_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
for stream in (0, 1, 2):
    os.dup2(terminal, stream)
os.execvp(sys.argv[2], sys.argv[2:])
"""


@contextlib.contextmanager
def _pair(columns: int, rows: int = 40) -> Any:
    terminal, other = pty.openpty()
    _resize(terminal, columns, rows)
    os.set_blocking(terminal, False)
    try:
        yield terminal, os.ttyname(other)
    finally:
        os.close(other)  # kept open until the end, so that nothing that was written is lost


def _resize(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@cache
def _forking() -> ForkServerContext:
    """Return what starts a command as a fork of a process that has imported everything: a start of its own takes half a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *_IMPORTED])
    return context


_IMPORTED = (
    "aiohttp",
    "rich.table",
    "rich.progress",
    "typer.rich_utils",
    "console.cli.app",
    "console.cli.nouns",
    "console.client.change",
)


def _at_a_terminal(terminal: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    os.setsid()
    opened = os.open(terminal, os.O_RDWR)  # the first that the leader of a session opens is the one that controls it
    _run([opened] * 3, arguments, environment)


def _with_files(files: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    os.setsid()
    opened = [os.open(files[0], os.O_RDONLY), *(os.open(file, os.O_WRONLY) for file in files[1:])]
    _run(opened, arguments, environment)


def _run(opened: Sequence[int], arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Become ``ordersctl`` with these streams; never returns."""
    for stream, file in enumerate(opened):
        os.dup2(file, stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the rest of this process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115 - as above
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115 - as above
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from console.cli.app import main

    main(arguments)
