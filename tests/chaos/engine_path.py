"""The orchestrator, killed at an await of its engine: what ``hot_path`` does for the gateway.

Run as a program (``python -m tests.chaos.engine_path serve``) it is the real orchestrator with crash points in the functions below.
"""

from __future__ import annotations

from tests.support import hot_path

FUNCTIONS: dict[str, tuple[str, ...]] = {
    "common.messaging.consumer": ("Consumer._process", "Consumer._carry_out"),
    "common.messaging.inbox": ("claim",),
    "common.messaging.outbox": ("add_encoded", "OutboxRelay._sweep"),
    "orchestrator.orders.hooks": ("ingest_hooks",),
    "orchestrator.engine.ingest": ("Ingest.__call__", "Ingest.append", "Ingest._carry_out"),
    "orchestrator.engine.ingest_store": ("append_locked", "complete_locked", "make_ready"),
    "orchestrator.engine.append": ("append_events",),
    "orchestrator.engine.worker": (
        "Worker.run",
        "Worker.work_once",
        "Worker._carry_out",
        "Worker._complete",
        "Worker._write",
    ),
    "orchestrator.engine.store": (
        "WorkflowStore.claim",
        "WorkflowStore.complete",
        "add_to_timeline",
        "_lock_appended",
        "write_all",
    ),
    "orchestrator.orders.life": ("OrderLife.prepare", "OrderLife.write"),
    "orchestrator.orders.store": ("OrderStore.orders", "OrderStore.events", "write_orders", "park", "unpark"),
}
"""Every coroutine function between a hook's delivery and the publication of what follows from it, by module."""


def awaits() -> list[str]:
    """Return the names of all crash points, as ``hot_path.awaits_of`` does."""
    return [name for module, functions in FUNCTIONS.items() for name in hot_path.awaits_of(module, functions)]


def main() -> None:
    """Run the orchestrator with its crash points."""
    hot_path.FUNCTIONS.clear()
    hot_path.FUNCTIONS.update(FUNCTIONS)
    hot_path.install()
    from orchestrator.__main__ import main as serve

    serve()


if __name__ == "__main__":
    main()
