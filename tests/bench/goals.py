"""What each figure is to reach: the benchmarks print it beside theirs, and ``docs/measured.md`` beside what three runs showed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

AIMS: Final[Mapping[str, float]] = {
    "gateway / bare": 1.3,
    "gateway / faststream": 3,
    "gateway / echo": 0.2,
    "gateway / bare, processor time of a hook": 0.6,
    "orchestrator, events/s": 6000,
    "orchestrator, processor time of an event, µs": 330,
    "engine alone, transitions/s": 20_000,
    "engine alone / dbos": 10,
    "engine alone / pgqueuer": 3,
    "tips / bare": 0.9,
    "tips alone, p99 ms": 10,
    "tips beside the suite, p99 ms": 25,
    "hook to answer, p50 ms": 4,
    "hook to answer, p99 ms": 20,
    "hook to order readable, p50 ms": 15,
    "hook to order readable, p99 ms": 60,
    "hook to notice committed, p50 ms": 25,
    "hook to notice committed, p99 ms": 90,
    "with 1,000,000 finished orders / with none": 0.97,
    "search of orders, p99 ms": 50,
    "critical page, p99 ms": 600,
    "processor time of a hook at 25/s, ms": 7,
    "processor time of a hook at 100/s, ms": 4,
    "idle suite, share of a core": 0.04,
    "bytes on disk for a hook": 5000,
}
