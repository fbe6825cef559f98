"""The database commits what a worker has written, and the answer is lost: what is in the outbox is published all the same, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from common.errors import Unavailable
from common.postgres import Connection, Database
from orchestrator.engine.model import Claim, Encoded, Failure, Outcome
from orchestrator.engine.store import WorkflowStore, WriteEffects
from tests.integration.orchestrator.factories import append, event_for, worker_of

KIND = "order_life"


class LosesTheFirstAnswer(WorkflowStore):
    """Commits, but the first time nobody learns it."""

    answers = 0

    async def complete(
        self, *, owner: str, outcomes: Sequence[Outcome], failures: Sequence[Failure], write: WriteEffects
    ) -> set[int]:
        """Commit as ever."""
        accepted = await super().complete(owner=owner, outcomes=outcomes, failures=failures, write=write)
        self.answers += 1
        if self.answers == 1:
            raise Unavailable("the connection was lost after the commit")
        return accepted


class Announces:
    """A handler whose only message is written with its effects."""

    async def prepare(self, claims: Sequence[Claim]) -> None:
        """Nothing to read."""

    def run(self, claim: Claim, batch: None) -> Outcome:
        """Be done with it."""
        return Outcome(claim=claim, upto=claim.upto)

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Say one thing of each."""
        return [("orders.order.changed.v1", b"{}") for _ in outcomes]


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """The service's own kind of pool on a fresh database."""
    made = Database(dsn, application_name="test")
    await made.open()
    yield made
    await made.close()


async def test_the_relay_is_woken_for_what_was_written_before_the_answer_was_lost(database: Database) -> None:
    await append(database, event_for("A", KIND, "1", event_type="order.changed"))
    store, woken = LosesTheFirstAnswer(database), list[str]()
    assert await worker_of(store, {KIND: Announces()}, woken=woken).work_once() == 1
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 1
    assert (store.answers, woken) == (2, ["relay"])
