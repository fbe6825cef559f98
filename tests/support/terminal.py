"""``ordersctl`` without a process of its own: the same program with the same arguments, and what it printed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from console.cli.app import main


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    remarks: str

    @property
    def json(self) -> Any:
        """The result."""
        assert self.out, self.remarks
        return json.loads(self.out)


class Terminal:
    """Runs one command at a time, beside the loop of the test. Profile and suite come from the environment, as they do for people."""

    async def __call__(self, *arguments: str, typed: str = "") -> Ended:
        """Run ``ordersctl`` with these arguments; ``typed`` is what its standard input holds."""
        return await asyncio.to_thread(_run, arguments, typed)


def _run(arguments: tuple[str, ...], typed: str) -> Ended:
    with _in_place_of_the_process(typed) as (out, remarks):
        try:
            main(arguments)
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ended(code, _written(out), _written(remarks))


@contextlib.contextmanager
def _in_place_of_the_process(typed: str) -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    out, remarks = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    stdin, sys.stdin = sys.stdin, io.StringIO(typed)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(remarks):
            yield out, remarks
    finally:
        sys.stdin = stdin


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode()
