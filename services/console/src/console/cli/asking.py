"""Asking the person at the terminal: beside the result, and Ctrl-C ends the command at once, whatever runs around the question."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from console.cli.exits import EndedError, Exit
from console.cli.output import Output


def line(out: Output, question: str, **how: object) -> str:
    """Return what was typed. ``how``: as ``typer.prompt`` takes it. The end of input is ``EndedError`` (refused): nothing was done."""
    import typer

    with _answered():
        return str(typer.prompt(out.say(question), err=True, **how))  # type: ignore[arg-type] # typer's own names and types


def consent(out: Output, question: str) -> bool:
    """Return whether the person says yes; no is what Enter alone means. Ends as ``line`` does."""
    import typer

    with _answered():
        return typer.confirm(out.say(question), err=True)


@contextmanager
def _answered() -> Iterator[None]:
    import typer

    try:
        with _heard():
            yield
    except typer.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise EndedError("nothing was done", Exit.REFUSED) from None


@contextmanager
def _heard() -> Iterator[None]:
    """Have Ctrl-C interrupt the question itself: asyncio only notes the first one, and the question would go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
