"""Look whether a critical problem would reach a person, as things stand now."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Gauge

from common.clock import Clock
from common.postgres import Database
from common.telemetry import get_logger
from notifier.coverage.model import WHAT, Hole, holes
from notifier.duty.escalation import Policy
from notifier.duty.roster_store import RosterReader
from notifier.inputs.watchdog import senders_silent
from notifier.people.model import Directory
from notifier.routing.model import Routes

_log = get_logger()


class CheckCoverage:
    """Reads the roster, and whose alerts stay away; the rest is what the service was started with."""

    def __init__(
        self,
        *,
        database: Database,
        routes: Routes,
        directory: Directory,
        environment: str,
        channels: Collection[str],
        calls: bool,
        policy: Policy,
        clock: Clock,
    ) -> None:
        self._database = database
        self._routes = routes
        self._directory = directory
        self._environment = environment
        self._channels = channels
        self._calls = calls
        self._policy = policy
        self._clock = clock

    async def __call__(self) -> tuple[Hole, ...]:
        """Return what is missing, nothing when everything is there."""
        async with self._database.acquire() as connection:
            duty = await RosterReader(connection).duty(self._clock.now())
            silent = await senders_silent(connection)
        return holes(
            routes=self._routes,
            environment=self._environment,
            channels=self._channels,
            directory=self._directory,
            duty=duty,
            calls=self._calls,
            policy=self._policy,
            silent=silent,
        )


class ShowCoverage:
    """Shows what is missing as a metric, and writes a warning when that is something else than at the last look, so at the start too."""

    def __init__(self, check: CheckCoverage, registry: CollectorRegistry) -> None:
        self._check = check
        self._gauge = Gauge(
            "notifier_coverage_missing",
            "1 while this is missing for a critical problem to reach a person.",
            ["what"],
            registry=registry,
        )
        for what in WHAT:
            self._gauge.labels(what).set(0)
        self._last: tuple[Hole, ...] = ()

    async def __call__(self) -> None:
        """Look once."""
        found = await self._check()
        missing = {hole.what for hole in found}
        for what in WHAT:
            self._gauge.labels(what).set(what in missing)
        if found != self._last:
            self._last = found
            if found:
                _log.warning("coverage_missing", missing=[hole.detail for hole in found])
            else:
                _log.info("coverage_complete")
