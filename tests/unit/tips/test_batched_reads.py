"""Reads that are asked for together go to the database as one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from common.errors import Unavailable
from tips.batched_reads import BatchedReads
from tips.errors import TooLate


class _Rows:
    """The orders database: answers when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[list[str]] = []
        self.error: Exception | None = None

    async def __call__(self, numbers: Sequence[str]) -> list[Any]:
        self.batches.append(sorted(numbers))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [{"number": number} for number in numbers if number != "none"]


async def test_reads_asked_for_together_are_one_statement() -> None:
    rows = _Rows()
    reads = BatchedReads(rows)
    found = await asyncio.gather(*(reads.find(number, seconds=60) for number in ("a", "b", "a", "none")))
    assert (found, rows.batches) == ([{"number": "a"}, {"number": "b"}, {"number": "a"}, None], [["a", "b", "none"]])


async def test_a_read_never_joins_a_statement_that_is_under_way() -> None:
    rows = _Rows()
    rows.gate.clear()
    reads = BatchedReads(rows)
    calls = []
    for number in ("a", "a", "b", "c"):
        calls.append(asyncio.create_task(reads.find(number, seconds=60)))
        await asyncio.sleep(0.001)
    assert rows.batches == [["a"], ["a"]]  # two statements at a time; the others wait for one of them
    rows.gate.set()
    await asyncio.gather(*calls)
    assert rows.batches == [["a"], ["a"], ["b", "c"]]


async def test_a_reader_gives_up_alone_and_a_failure_reaches_all_of_a_statement() -> None:
    rows = _Rows()
    rows.gate.clear()
    rows.error = Unavailable("away", retry_after=3.0)
    reads = BatchedReads(rows)
    patient, hurried = (asyncio.create_task(reads.find(number, seconds=s)) for number, s in (("a", 60), ("b", 0.001)))
    with pytest.raises(TooLate):
        await hurried
    assert not patient.done()
    rows.gate.set()
    with pytest.raises(Unavailable) as caught:
        await patient
    assert (caught.value.detail, caught.value.retry_after) == ("away", 3.0)
    rows.error = None
    found: Any = await reads.find("a", seconds=60)
    assert found == {"number": "a"}
