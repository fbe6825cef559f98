"""An event that kills every process which reads it is set aside in the end, and alone: no order beside it is blamed."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import orjson

from common.ids import order_number
from common.postgres import Database
from orchestrator.engine.store import WorkflowStore
from tests.support import deadly_worker
from tests.support.forked import mother
from tests.support.order_hooks import SOURCE, hook, marketplace

ORDERS = 30
KILLER = "B13"


async def test_an_event_that_kills_its_worker_is_set_aside_and_none_of_its_neighbours(
    dsn: str, amqp_url: str, tmp_path: Path
) -> None:
    database = Database(dsn, application_name="test")
    await database.open()
    deadly = orjson.dumps({"payload": {"positions": [], "comment": "deadly"}})
    killer, hooks = order_number(SOURCE, KILLER), []
    for minute, event in ((1, "order.created"), (2, "order.changed"), (3, "order.changed")):
        for index in range(ORDERS):
            each = hook(f"B{index}", event, minute=minute, quantity=minute)
            hooks.append(replace(each, body=deadly) if (each.number, minute) == (killer, 2) else each)
    async with marketplace(amqp_url) as sent:
        await sent.send_together(hooks)
    endings: list[int] = []
    with mother("orchestrator.app", environment=os.environ) as replicas:
        while not endings or endings[-1]:
            assert len(endings) < 9, "it is never given up"
            told = (dsn, amqp_url, f"replica-{len(endings)}", str(len(hooks)))
            code, _, errors = await replicas.run(
                deadly_worker.__file__, *told, environment=os.environ, directory=tmp_path
            )
            assert code in {0, -signal.SIGKILL}, errors
            endings.append(code)
            await WorkflowStore(database).release_expired()
    async with database.acquire() as connection:
        done = await connection.fetch("SELECT order_number, done_seq, last_seq, failed_events FROM workflow")
        aside = await connection.fetch(
            "SELECT w.order_number, a.seq, a.state, a.code FROM set_aside_event AS a JOIN workflow AS w ON w.id = a.workflow_id"
        )
    await database.close()
    # Once while it was taken in, once in a worker's batch, of which nobody can say which it was, and as often as any event is tried.
    assert endings == [-signal.SIGKILL] * (2 + deadly_worker.LIMITS.max_attempts) + [0]
    assert [tuple(row) for row in aside] == [(killer, 2, 3, "lease_lost")]
    assert {(row["done_seq"], row["last_seq"]) for row in done} == {(3, 3)}
    assert {row["order_number"] for row in done if row["failed_events"]} == {killer}
