"""An operator restarts many refunds that are in RS_ERROR, item by item: a refused one leaves the others alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from common.errors import Conflict, NotFound, SuiteError
from common.http import Change, Done, NotDone
from common.postgres import Database
from refunds.refunds.evidence import Evidence
from refunds.refunds.queries import find_in_error
from refunds.refunds.restart import Restart, RestartRefund

_AT_ONCE = 8


class RestartMany:
    """``choose`` the refunds, ``ask`` about each outside any transaction, then ``carry_out`` all of it in one change."""

    def __init__(self, database: Database, restart: RestartRefund) -> None:
        self._database = database
        self._restart = restart

    async def choose(self, *, ids: Sequence[UUID], order: str | None, error: str | None, limit: int) -> list[str]:
        """Return the ids given, each once, or else the oldest refunds in RS_ERROR of the order or with the error's code."""
        if ids:
            return [str(one) for one in dict.fromkeys(ids)][:limit]
        found = await find_in_error(self._database, order=order, error=error, limit=limit)
        # One order of locking payments, or two operators could wait for each other.
        return [refund.id for refund in sorted(found, key=lambda refund: (refund.payment_id, refund.id))]

    async def ask(self, refund_ids: Sequence[str]) -> dict[str, Evidence | SuiteError | None]:
        """Ask the gateways about each; what they say, or why the refund cannot be restarted."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def _ask_about(refund_id: str) -> Evidence | SuiteError | None:
            async with room:
                try:
                    return await self._restart.ask(refund_id, expected_version=None)
                except (Conflict, NotFound) as error:
                    return error

        return dict(zip(refund_ids, await asyncio.gather(*map(_ask_about, refund_ids)), strict=True))

    async def carry_out(
        self, change: Change, found: Mapping[str, Evidence | SuiteError | None]
    ) -> list[Done[str, Restart] | NotDone[str]]:
        """Restart each, in the order given. Raises nothing that is about one of them alone."""

        async def _restart_one(refund_id: str) -> Restart:
            evidence = found[refund_id]
            if isinstance(evidence, SuiteError):
                raise evidence
            version = None if evidence is None else evidence.version
            return await self._restart.carry_out(change, refund_id, expected_version=version, evidence=evidence)

        return await change.each(found, _restart_one)
