"""Every interleaving of hooks, repeats, late arrivals, dying workers and operators' acts ends as the reference says; and the machine
that shows it notices when a rule is broken on purpose.

Thousands of examples: ``ORDER_MACHINE_EXAMPLES=5000 .venv/bin/pytest -k interleaving_of_hooks_workers tests/integration/orchestrator``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from common.postgres import Database
from common.reading import Line, values
from common.reading import order as reading
from orchestrator.engine import ingest_store
from orchestrator.engine import operate as operations
from orchestrator.engine import store as workflows
from orchestrator.engine.model import WorkflowEvent
from orchestrator.orders import content, decisions, fold, hooks
from orchestrator.orders import life as order_life
from orchestrator.orders import store as stored_orders
from orchestrator.orders.model import HookType, OrderFact, Status, StockEntry
from orchestrator.orders.transitions import TRANSITIONS, Act
from tests.integration.orchestrator.orders.people_machine import PeopleMachine
from tests.support.servers import TestDatabases

EXAMPLES = int(os.environ.get("ORDER_MACHINE_EXAMPLES", "10"))
STEPS = 25


def run(examples: int, *, seek: bool = False) -> None:
    """Run the machine. ``seek``: only look for a failure, do not make it small."""
    phases = [Phase.generate] if seek else [Phase.generate, Phase.shrink]
    run_state_machine_as_test(
        PeopleMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            phases=phases,
            derandomize=seek or examples < 100,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def machine(databases: TestDatabases) -> Iterator[None]:
    """A database and an event loop for the machine, which is no coroutine."""
    with asyncio.Runner() as runner:
        made = databases.migrated("orchestrator")
        dsn = runner.run(made.__aenter__())
        database = Database(dsn, application_name="machine", max_size=4)
        runner.run(database.open())
        PeopleMachine.runner, PeopleMachine.database = runner, database
        yield
        runner.run(database.close())
        runner.run(made.__aexit__(None, None, None))


@pytest.mark.timeout(3600)
def test_any_interleaving_of_hooks_workers_and_operators_ends_as_the_reference_says(machine: None) -> None:
    run(EXAMPLES)


def _changes_after_closing(patch: pytest.MonkeyPatch) -> None:
    table = {
        **TRANSITIONS,
        (Status.PAID, HookType.CHANGED): Act.CHANGE,
        (Status.RECEIVED, HookType.CHANGED): Act.CHANGE,
    }
    patch.setattr(fold, "TRANSITIONS", table)


def _writes_goods_off_again(patch: pytest.MonkeyPatch) -> None:
    def movements(before: Any, after: Any) -> tuple[StockEntry, ...]:
        return tuple(StockEntry(item.store_id, item.position_id, -item.quantity) for item in after)

    patch.setattr(decisions, "_movements", movements)


def _adds_late_events_as_if_they_were_new(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order_life, "_in_order", lambda stored, claim, first: stored is not None or claim.done_seq == 0)


def _forgets_the_fence(patch: pytest.MonkeyPatch) -> None:
    unguarded = workflows._COMPLETE.replace("WHERE q.owner = $1 AND q.fence = r.fence", "WHERE $1 <> ''")
    patch.setattr(workflows, "_COMPLETE", unguarded.replace("WHERE w.done_seq = r.done_seq", ""))


def _carries_out_at_once_what_others_have(patch: pytest.MonkeyPatch) -> None:
    before, waits, after = ingest_store._APPEND_LOCKED.partition(
        "CASE WHEN w.done_seq = w.last_seq AND w.state IN (1, 3)"
    )
    assert waits
    unguarded = f"{before}w.last_seq - w.done_seq + excluded.done_seq{after.partition('ELSE 0 END')[2]}"
    patch.setattr(ingest_store, "_APPEND_LOCKED", unguarded)
    ready = "WHERE NOT EXISTS (SELECT FROM workflow_ready AS q WHERE q.workflow_id = r.id)"
    assert ready in ingest_store._COMPLETE_LOCKED
    patch.setattr(ingest_store, "_COMPLETE_LOCKED", ingest_store._COMPLETE_LOCKED.replace(ready, ""))


def _stops_without_taking_the_claim_away(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(operations, "_FORGET_READY", "SELECT $1::bigint")


def _waits_behind_a_failed_event(patch: pytest.MonkeyPatch) -> None:
    waiting = workflows._SET_ASIDE.replace("AND NOT n.more", "").replace("AND n.more", "AND NOT n.more")
    patch.setattr(workflows, "_SET_ASIDE", waiting)


def _folds_what_was_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        stored_orders, "_EVENTS", stored_orders._EVENTS.replace("a.seq IS NOT NULL AS aside", "false AS aside")
    )


def _refunds_whenever_it_looks(patch: pytest.MonkeyPatch) -> None:
    real = decisions.decide

    def decide(before: Any, steps: Any, **more: Any) -> Any:
        found = real(before, steps, **more)
        after = steps[-1].after if steps else before
        return replace(found, refund=after is not None and after.refund_due)

    patch.setattr(order_life, "decide", decide)


def _lets_a_replay_move_the_time(patch: pytest.MonkeyPatch) -> None:
    real = hooks.to_fact

    def to_fact(event: WorkflowEvent, currency: str | None = None) -> OrderFact:
        times = {"occurred_at", "sent_at"} if "replay_of" in event.attributes else set()
        kept = {name: value for name, value in event.attributes.items() if name not in times}
        return real(replace(event, attributes=kept), currency)

    patch.setattr(hooks, "to_fact", to_fact)


def _inherits_by_id_alone(patch: pytest.MonkeyPatch) -> None:
    real = content.complete

    def complete(before: Sequence[Line], given: Sequence[Line]) -> tuple[Line, ...]:
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(content, "numbered", lambda lines: (((line.id, 0), line) for line in lines))
            return real(before, given)

    patch.setattr(fold, "complete", complete)


def _keeps_silent_about_another_address(patch: pytest.MonkeyPatch) -> None:
    real = decisions._announce

    def announce(step: Any) -> Any:
        item, changed = real(step), step.difference
        goods = changed.added or changed.removed or changed.changed
        return replace(item, notify=False) if item is not None and changed and not goods else item

    patch.setattr(decisions, "_announce", announce)


def _takes_less_than_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "_quantity", lambda value: values.number_of(value)[0])


NOTICED = (AssertionError, asyncpg.UniqueViolationError)
"""What the machine raises: a comparison that fails, or the database's own guard against moving goods twice."""

MUTATIONS: list[Any] = [
    _writes_goods_off_again,
    _adds_late_events_as_if_they_were_new,
    _carries_out_at_once_what_others_have,
    _stops_without_taking_the_claim_away,
    _waits_behind_a_failed_event,
    _folds_what_was_skipped,
    _lets_a_replay_move_the_time,
    _refunds_whenever_it_looks,
    _keeps_silent_about_another_address,
    _takes_less_than_nothing,
    # These take some dozens of examples to be found.
    pytest.param(_changes_after_closing, marks=pytest.mark.chaos),
    pytest.param(_forgets_the_fence, marks=pytest.mark.chaos),
    pytest.param(_inherits_by_id_alone, marks=pytest.mark.chaos),
]


@pytest.mark.parametrize("break_a_rule", MUTATIONS, ids=lambda mutation: mutation.__name__.lstrip("_"))
def test_the_machine_notices_a_rule_that_is_broken_on_purpose(
    machine: None, monkeypatch: pytest.MonkeyPatch, break_a_rule: Callable[[pytest.MonkeyPatch], None]
) -> None:
    break_a_rule(monkeypatch)
    with pytest.raises(NOTICED):
        run(200, seek=True)
