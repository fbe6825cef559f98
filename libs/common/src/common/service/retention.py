"""Deletes old rows of the tables that every service has: marks of the inbox, keys of requests, bulk plans, dead letters, the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Self

from pydantic import BaseModel, Field, field_validator

from common.clock import Clock
from common.http import forget_keys, forget_plans
from common.postgres import Connection, Database
from common.telemetry import get_logger

_log = get_logger()

_BATCH = 2000
_SHORTEST_AUDIT_DAYS = 365  # the database itself keeps a younger record
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('platform.retention'))"
_DELETE = """
WITH gone AS (
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {condition} LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone
"""
_INBOX = _DELETE.format(table="inbox", condition="received_at < $1")
_FAILURES = _DELETE.format(table="delivery_failures", condition="updated_at < $1")
_DEAD_LETTERS = _DELETE.format(table="dead_letters", condition="replayed_at < $1")
_AUDIT = "SELECT forget_audit($1, $2)"
_LONGEST_FAILING = timedelta(days=30)  # an event that fails is dead within minutes of its last attempt


class RetentionSettings(BaseModel):
    """How long the tables that every service has are kept; part of a service's settings."""

    dead_letter_days: float = Field(
        default=180.0, ge=1, le=36500, description="how long decided dead letters are kept; undecided ones stay"
    )
    audit_days: float = Field(
        default=0.0, ge=0, le=36500, description="how long the audit log is kept, 365 at least; 0: for ever"
    )

    @field_validator("audit_days")
    @classmethod
    def _a_year_at_least(cls, value: float) -> float:
        if 0 < value < _SHORTEST_AUDIT_DAYS:
            raise ValueError("is 0 (for ever) or at least 365")
        return value

    @property
    def keep_audit(self) -> timedelta | None:
        """How long the audit log is kept; None: for ever."""
        return timedelta(days=self.audit_days) if self.audit_days else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformRetention:
    """Deletes what is older, one batch a transaction. Safe in every replica: one works at a time.

    ``keep_inbox`` must be longer than anything may be delivered again after: the oldest record of a spool, a dead letter's replay.
    ``keep_audit`` None is for ever; the database itself keeps a record for a year.
    """

    database: Database
    clock: Clock
    keep_inbox: timedelta
    keep_dead_letters: timedelta
    keep_audit: timedelta | None = None
    keep_keys: timedelta = timedelta(days=2)  # what callers may rely on is one
    batch: int = _BATCH

    @classmethod
    def of(cls, settings: RetentionSettings, database: Database, clock: Clock, *, keep_inbox: timedelta) -> Self:
        """Return it with a service's settings."""
        letters = timedelta(days=settings.dead_letter_days)
        audit = settings.keep_audit
        return cls(database=database, clock=clock, keep_inbox=keep_inbox, keep_dead_letters=letters, keep_audit=audit)

    async def __call__(self) -> dict[str, int]:
        """Delete what is due; return how many rows went, by table."""
        now = self.clock.now()
        gone = {
            "inbox": await self._batches(partial(self._forget, _INBOX, now - self.keep_inbox)),
            "idempotency_keys": await self._batches(partial(forget_keys, older_than=self.keep_keys, limit=self.batch)),
            "bulk_plans": await self._batches(partial(forget_plans, limit=self.batch)),
            "delivery_failures": await self._batches(partial(self._forget, _FAILURES, now - _LONGEST_FAILING)),
            "dead_letters": await self._batches(partial(self._forget, _DEAD_LETTERS, now - self.keep_dead_letters)),
        }
        if self.keep_audit is not None:
            gone["audit_log"] = await self._batches(partial(self._forget, _AUDIT, now - self.keep_audit))
        if any(gone.values()):
            _log.info("old_rows_deleted", **gone)
        return gone

    async def _forget(self, statement: str, cutoff: datetime, connection: Connection) -> int:
        if not await connection.fetchval(_LOCK):
            return 0
        return int(await connection.fetchval(statement, cutoff, self.batch))

    async def _batches(self, delete: Callable[[Connection], Awaitable[int]]) -> int:
        total, done = 0, self.batch
        while done == self.batch:
            async with self.database.transaction() as connection:
                done = await delete(connection)
            total += done
        return total
