"""Errors that are logged are counted by kind, and only by kinds."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from common.telemetry.logged_errors import LoggedErrors


def test_errors_are_counted_by_their_names_and_libraries_by_theirs() -> None:
    counts, registry = LoggedErrors(), CollectorRegistry(auto_describe=True)
    registry.register(counts)
    lines: list[dict[str, Any]] = [
        {"level": "error", "event": "job_failed"},
        {"level": "critical", "event": "job_failed"},
        {"level": "warning", "event": "job_interrupted"},
        {"level": "error", "event": "secret +79990001122", "logger": "aiormq.connection", "_record": object()},
        {"level": "error", "event": "text with a phone +79990001122"},
    ]
    lines += [{"level": "error", "event": f"kind_{number}"} for number in range(500)]
    for line in lines:
        assert counts(None, "msg", line) is line
    found = {sample.labels["event"]: sample.value for sample in next(iter(registry.collect())).samples}
    assert (found["job_failed"], found["aiormq.connection"]) == (2, 1)
    assert len(found) == 100
    assert sum(found.values()) == 504
    assert not any("+7" in kind for kind in found)
