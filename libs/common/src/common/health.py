"""Readiness: checks registered with the dependency they watch, run together, each under a deadline.

Liveness touches no dependency at all: it is answered by the HTTP kit as long as the event loop turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from common.errors import SuiteError
from common.telemetry.masking import scrub_text

Check = Callable[[], Awaitable[None]]

OK = "ok"
DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of every check: ``"ok"`` or the reason why not; and notes. Ready only if all checks are ok and nothing drains."""

    ready: bool
    checks: Mapping[str, str]


class Health:
    """The probe registry of one application.

    ``deadline`` (seconds) bounds each check; ``fresh_for`` (seconds) is how long a report is reused, so that frequent
    probes do not load the dependencies. Concurrent callers share one run.
    """

    def __init__(self, *, deadline: float = 1.0, fresh_for: float = 0.5) -> None:
        self._deadline = deadline
        self._fresh_for = fresh_for
        self._checks: dict[str, Check] = {}
        self.notes: dict[str, Callable[[], str | None]] = {}
        """What is said beside the checks, if anything is, and does not decide whether the service is ready."""
        self._draining = False
        self._cached: HealthReport | None = None
        self._cached_at = 0.0
        self._running: asyncio.Task[HealthReport] | None = None

    @property
    def draining(self) -> bool:
        """Whether the service is on its way out."""
        return self._draining

    def add_check(self, name: str, check: Check) -> None:
        """Register a check; it raises when the dependency is not usable, with a reason that a person understands."""
        if name in self._checks:
            raise ValueError(f"there is a check named {name!r} already")
        self._checks[name] = check
        self._cached = None

    def start_draining(self) -> None:
        """Make the service not ready from now on, with the reason ``draining``. There is no way back."""
        self._draining = True

    async def report(self) -> HealthReport:
        """Return the present state; never raises. May be up to ``fresh_for`` seconds old, draining shows at once."""
        report = await self._checked()
        if self._draining:
            return HealthReport(ready=False, checks={**report.checks, "service": DRAINING})
        return report

    async def _checked(self) -> HealthReport:
        if self._cached is not None and time.monotonic() - self._cached_at < self._fresh_for:
            return self._cached
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run(), name="health")
        return await asyncio.shield(self._running)

    async def _run(self) -> HealthReport:
        checks = dict(self._checks)
        results = await asyncio.gather(*(self._one(check) for check in checks.values()))
        notes = {name: said for name, note in self.notes.items() if (said := note()) is not None}
        report = HealthReport(
            ready=all(result == OK for result in results), checks={**dict(zip(checks, results, strict=True)), **notes}
        )
        self._cached, self._cached_at = report, time.monotonic()
        return report

    async def _one(self, check: Check) -> str:
        try:
            async with asyncio.timeout(self._deadline):
                await check()
        except TimeoutError:
            return f"no answer within {self._deadline:g} s"
        except SuiteError as error:
            return error.detail
        except Exception as error:  # noqa: BLE001 - whatever a dependency raises is the reason why we are not ready
            return scrub_text(f"{type(error).__name__}: {error}".strip().splitlines()[0])
        return OK
