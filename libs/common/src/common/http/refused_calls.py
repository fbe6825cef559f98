"""Refused changes in the audit log: who tried what without being allowed to. Bounded, whatever strangers send and however often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from common.errors import SuiteError
from common.http import audit
from common.http.auth import Principal
from common.postgres import Database
from common.telemetry import get_logger

_log = get_logger()

REFUSED = "call.refused"
NOBODY = Principal(name="nobody", role="none")
_QUIET_S = 60.0
_AT_ONCE = 20
_ONE_MORE_AFTER_S = 300.0
_PATIENCE_S = 1.0


@dataclass(slots=True)
class _Told:
    """When a record was last written, of one caller and operation or of all, and how many refusals have had none since.

    ``left``: how many more may be written.
    """

    at: float
    silent: int = 0
    left: float = _AT_ONCE


class RefusedCalls:
    """Writes a record of a refusal: at most one a minute for a caller and an operation, twenty at once, then one each five minutes.

    What has no record of its own is counted in the next: ``more`` of the same caller and operation, ``left_out`` of all. Strangers and
    those who are known have budgets of their own, so whoever floods without a token hides nobody. Refusing never depends on this: the
    record is there before the answer unless the database takes longer than a second; one that cannot be written is logged and counted
    in the next. A process that ends takes its counts along; each refusal of somebody who is known is in the log besides.
    """

    def __init__(self, database: Database | None, *, clock: Callable[[], float] = monotonic) -> None:
        """Without a database nothing is written."""
        self._database = database
        self._clock = clock
        self._told: dict[tuple[Principal, str], _Told] = {}
        self._all = {known: _Told(at=clock()) for known in (True, False)}
        self._writing: set[asyncio.Task[None]] = set()

    async def note(self, caller: Principal | None, operation: str, refusal: SuiteError, *, request_id: str) -> None:
        """Write that this caller, or nobody who is known, was refused, unless that is too often to write."""
        if self._database is None:
            return
        who, now, of_all = caller or NOBODY, self._clock(), self._all[caller is not None]
        own = self._told.get((who, operation))
        if own is not None and now - own.at < _QUIET_S:
            own.silent += 1
            return
        of_all.left = min(_AT_ONCE, of_all.left + (now - of_all.at) / _ONE_MORE_AFTER_S)
        of_all.at = now
        if of_all.left < 1:
            of_all.silent += 1
            return
        of_all.left -= 1
        own = self._told.setdefault((who, operation), _Told(at=now))
        own.at = now
        writing = asyncio.create_task(self._write(self._database, who, operation, refusal, request_id, own, of_all))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        # A caller that hangs up, and a database that hangs, leave it to itself: it ends by the pool's own limits.
        await asyncio.wait({writing}, timeout=_PATIENCE_S)

    async def _write(
        self, database: Database, who: Principal, operation: str, refusal: SuiteError, request_id: str, *counts: _Told
    ) -> None:
        said = [each.silent for each in counts]
        for each in counts:
            each.silent = 0  # another one that is written at the same time does not say them again
        after: dict[str, Any] = {"code": refusal.code, "lacking": [field.field for field in refusal.fields]}
        after |= zip(("more", "left_out"), said, strict=True)
        try:
            async with database.transaction() as connection:
                await audit.record(
                    connection, principal=who, action=REFUSED, target=operation, reason=refusal.detail,
                    before=None, after=after, request_id=request_id,
                )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the database, the caller is refused
            said[0] += 1  # where the record is there all the same, its commit's answer lost, it is counted twice
            for each, count in zip(counts, said, strict=True):
                each.silent += count
            _log.warning("refusal_not_recorded", operation=operation, error=type(error).__name__)
