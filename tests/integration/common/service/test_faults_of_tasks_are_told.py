"""A fault of a task's item is told once, by whichever replica counts it thrice, and ends when it succeeds or fails no more."""

from __future__ import annotations

from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from common.postgres import Database
from common.service.task_failures import TaskFailures
from tests.support.servers import as_served, eventually, proxied

COUNTED = "SELECT consumer, event_id, attempts FROM delivery_failures ORDER BY 1, 2"


def replica(database: Database) -> TaskFailures:
    failures = TaskFailures()
    failures.keep_in(database, CollectorRegistry(), service="shop")
    return failures


async def told(owner: Any) -> list[tuple[str, Any]]:
    """Each event that was added: its type and what it says."""
    rows = await owner.fetch("SELECT body FROM outbox ORDER BY id")
    return [(event["type"], event["data"]) for event in (orjson.loads(row["body"]) for row in rows)]


async def until(owner: Any, *expected: tuple[str, str, int]) -> None:
    async def there() -> bool:
        return [tuple(row) for row in await owner.fetch(COUNTED)] == list(expected)

    await eventually(there, what=f"counted {expected}")


async def test_the_third_failure_in_whichever_replica_is_told_with_the_item_and_its_end(
    database: Database, owner: Any
) -> None:
    one, other = replica(database), replica(database)
    for failures in (one, other):
        failures.failed("sweep", KeyError("a secret of the customer"), "7Q3M")
    one.failed("sweep", KeyError("a fault"), "call 3")
    await until(owner, ("task:sweep", "7Q3M", 2), ("task:sweep", "call 3", 1))
    assert await told(owner) == []
    for failures in (one, other):
        failures.failed("sweep", KeyError("a fault"), "7Q3M")
    await until(owner, ("task:sweep", "7Q3M", 4), ("task:sweep", "call 3", 1))
    [(kind, problem)] = await told(owner)
    assert kind == "alerts.problem.raised.v1"
    assert (problem["kind"], problem["severity"], problem["order_number"]) == ("task.failing", "warning", "7Q3M")
    assert problem["details"]["item"] == "7Q3M"
    assert problem["details"]["error"].startswith("KeyError at ")
    assert "secret" not in str(problem)
    one.passed("sweep", "7Q3M")
    one.passed("sweep", "call 3")
    await until(owner)
    [_, (ended, over)] = await told(owner)
    assert (ended, over["fingerprint"]) == ("alerts.problem.resolved.v1", problem["fingerprint"])


async def test_a_task_that_fails_as_a_whole_is_critical(database: Database, owner: Any) -> None:
    failures = replica(database)
    for _ in range(3):
        failures.failed("sweep", KeyError("a fault"))
    await until(owner, ("task:sweep", "", 3))
    [(_, problem)] = await told(owner)
    assert (problem["severity"], problem["details"]["item"], problem["order_number"]) == ("critical", "*", None)


async def test_what_failed_in_a_process_that_is_gone_ends_when_it_has_been_quiet(
    database: Database, owner: Any
) -> None:
    gone, mended = replica(database), replica(database)
    for _ in range(3):
        gone.failed("sweep", KeyError("a fault"), "7Q3M")
    await until(owner, ("task:sweep", "7Q3M", 3))
    await mended.look()
    await mended.close()
    await until(owner, ("task:sweep", "7Q3M", 3))
    await owner.execute("UPDATE delivery_failures SET updated_at = now() - interval '11 minutes'")  # time goes by
    for failures in (mended, replica(database)):
        await failures.look()
    await until(owner)
    assert [kind for kind, _ in await told(owner)] == ["alerts.problem.raised.v1", "alerts.problem.resolved.v1"]


async def test_what_fails_while_the_database_is_away_is_counted_when_it_is_back(dsn: str, owner: Any) -> None:
    async with proxied(as_served(dsn)) as (proxy, address):
        through = Database(address, application_name="test")
        await through.open()
        failures = replica(through)
        proxy.refuse()
        for _ in range(3):
            failures.failed("sweep", KeyError("a fault"), "7Q3M")
        assert [tuple(row) for row in await owner.fetch(COUNTED)] == []
        proxy.heal()
        await until(owner, ("task:sweep", "7Q3M", 3))
        assert len(await told(owner)) == 1
        await failures.close()
        await through.close()
