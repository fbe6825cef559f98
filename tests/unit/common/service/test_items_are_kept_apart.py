"""One item that fails by a fault: found among the others, left alone for a while, tried again; what is away is nobody's fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from common.errors import Unavailable
from common.service.task_failures import TaskFailures, apart, in_halves, kept_apart

ITEMS = [f"{number}" for number in range(20)]


class Work:
    """Does items, all or none of those given; stumbles over what is bad."""

    def __init__(self, *bad: str, error: Exception | None = None) -> None:
        self.bad = set(bad)
        self.error = error or KeyError("a fault")
        self.done: list[str] = []
        self.calls = 0

    async def __call__(self, items: Sequence[str]) -> int:
        self.calls += 1
        if self.bad & set(items):
            raise self.error
        self.done += items
        return len(items)


async def test_the_items_that_fail_are_found_and_all_others_are_done_once_in_their_order() -> None:
    failures, work = TaskFailures(), Work("7", "12")
    with failures.of("sweep"):
        done = await in_halves(ITEMS, work)
        assert kept_apart() == ["7", "12"]
    assert work.done == [item for item in ITEMS if item not in work.bad]
    assert sum(done) == 18
    assert work.calls < 20, "in halves, not one by one"


@pytest.mark.parametrize("first", range(len(ITEMS)))
async def test_what_is_behind_a_failing_item_of_the_same_name_waits_for_it(first: int) -> None:
    """Every third item has the name of the bad one; wherever the halves part, none of those behind it is done before it."""
    failures, work = TaskFailures(), Work(ITEMS[first])

    def name(item: str) -> str:
        return f"incident {int(item) % 3}"

    with failures.of("sweep"):
        await in_halves(ITEMS, work, name=name)
        assert kept_apart() == [name(ITEMS[first])]
    behind = [item for item in ITEMS[first:] if name(item) == name(ITEMS[first])]
    assert work.done == [item for item in ITEMS if item not in behind]


async def test_what_fails_is_counted_until_it_succeeds() -> None:
    failures, registry, work = TaskFailures(), CollectorRegistry(), Work("7")
    failures.keep_in(None, registry, service="shop")

    def shown() -> float | None:
        return registry.get_sample_value("task_failing", {"task": "sweep"})

    with failures.of("sweep"):
        assert shown() == 0
        await in_halves(ITEMS, work)
        assert (shown(), failures.report()) == (1, None)
        work.bad.clear()
        assert await in_halves(["7"], work) == [1]
    assert shown() == 0
    assert failures.apart("sweep") == []


async def test_what_is_away_is_raised_at_once_and_counted_against_nobody() -> None:
    failures, work = TaskFailures(), Work("7", error=Unavailable("the database is away"))
    with failures.of("sweep"), pytest.raises(Unavailable):
        await in_halves(ITEMS, work)
    assert (work.calls, failures.apart("sweep")) == (1, [])


async def test_outside_a_task_a_fault_is_raised() -> None:
    work = Work("7")
    with pytest.raises(KeyError):
        await in_halves(ITEMS, work)
    with pytest.raises(KeyError), apart("7"):
        raise KeyError("a fault")


def test_the_pause_doubles_up_to_five_minutes() -> None:
    failures = TaskFailures()
    pauses = [failures.failed("sweep", KeyError("a fault"), "7") for _ in range(12)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_of_many_items_that_fail_the_first_are_told_of_by_name() -> None:
    failures = TaskFailures()
    with capture_logs() as lines:
        for number in range(50):
            failures.failed("sweep", KeyError("a fault"), f"{number}")
    assert Counter(line["event"] for line in lines) == {"task_failed": 20, "task_failed_too": 30}
    assert len(failures.apart("sweep")) == 50
