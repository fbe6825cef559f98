"""Waiting for a condition, with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Value = TypeVar("Value")


async def eventually(
    probe: Callable[[], Awaitable[Value]], *, within: float = 120.0, every: float = 0.05, what: str = "the condition"
) -> Value:
    """Call ``probe`` until it returns something true, and return that.

    An ``AssertionError`` inside the probe counts as "not yet". After ``within`` seconds the last failure is raised, or an
    ``AssertionError`` that names ``what`` was awaited.
    """
    deadline = time.monotonic() + within
    last: AssertionError | None = None
    while True:
        try:
            value = await probe()
            last = None
        except AssertionError as error:
            last = error
        else:
            if value:
                return value
        if time.monotonic() > deadline:
            if last is not None:
                raise last
            raise AssertionError(f"{what} did not come about within {within:g} s")
        await asyncio.sleep(every)
