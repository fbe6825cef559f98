"""What every test of a poisoned item looks at: that the others are done, that it is left alone for a while, and told once, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from common.postgres import Database
from common.service.jobs import PeriodicJob
from common.service.task_failures import TaskFailures
from tests.support.servers import eventually


class Fault:
    """A fault of ours that nobody foresaw, in what is done about some items, until it is mended."""

    mended = False

    def over(self, whole: Callable[..., Any], bad: Callable[..., bool]) -> Callable[..., Any]:
        """Wrap a function so that it stumbles where its arguments are bad."""

        def stumbling(*arguments: Any, **named: Any) -> Any:
            """Stumble over one."""
            if not self.mended and bad(*arguments, **named):
                raise KeyError("nobody foresaw this")
            return whole(*arguments, **named)

        return stumbling


def every_job_fails(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> set[str]:
    """Let each job of a service that starts now have the fault, but for what tells of faults; returns their names, as they start."""
    names: set[str] = set()
    run = PeriodicJob.run

    async def failing(job: PeriodicJob) -> None:
        """Run a job whose work fails."""
        if job.name != "task-failures":
            names.add(job.name)
            job.work = fault.over(job.work, lambda: True)
        await run(job)

    monkeypatch.setattr(PeriodicJob, "run", failing)
    return names


class Poisoned:
    """Runs a task as the service would; ``owner`` looks into its database."""

    def __init__(self, database: Database, owner: Any) -> None:
        self.failures = TaskFailures()
        self.failures.keep_in(database, CollectorRegistry(), service="test")
        self._owner = owner

    async def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do a round of the task."""
        with self.failures.of("task"):
            return await work()

    def apart(self) -> list[str]:
        """What is left alone now."""
        return self.failures.apart("task")

    def its_time_comes(self) -> None:
        """Let the pause of everything that is kept apart be over, as if it had been waited for."""
        kept = self.failures._failing["task"]
        for item, failing in kept.items():
            kept[item] = (*failing[:2], 0.0)

    async def told(self) -> list[str]:
        """The items that a person was told of, each as often as that was."""
        rows = await self._owner.fetch(
            "SELECT body FROM outbox WHERE routing_key = 'alerts.problem.raised.v1' ORDER BY id"
        )
        problems = [orjson.loads(row["body"])["data"] for row in rows]
        return [problem["details"]["item"] for problem in problems if problem["kind"] == "task.failing"]

    async def until_told(self, work: Callable[[], Awaitable[Any]], item: str) -> None:
        """Let the item fail again and again, often enough to be told of."""
        for _ in range(4):
            self.its_time_comes()
            await self.run(work)
            assert self.apart() == [item]

        async def all_counted() -> bool:
            return bool(
                await self._owner.fetchval("SELECT attempts > 4 FROM delivery_failures WHERE event_id = $1", item)
            )

        await eventually(all_counted, what=f"{item} counted")
        assert await self.told() == [item]


@asynccontextmanager
async def poisoned(database: Database, owner: Any) -> AsyncIterator[Poisoned]:
    """Give a task on these; what it has to write is written at the end."""
    made = Poisoned(database, owner)
    try:
        yield made
    finally:
        await made.failures.close()
