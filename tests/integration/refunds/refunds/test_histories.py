"""Whatever gateways do to answers, and wherever a process dies or stands still, money moves at most once.

The long run is in tests/chaos. ``REFUND_HISTORIES`` sets how many histories are made up here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from refunds.providers.calls import GatewayCalls
from refunds.providers.model import Attempt, Receipt
from refunds.refunds import states, transition
from refunds.refunds.states import RefundState
from tests.support.refund_histories import run_histories

HISTORIES = int(os.environ.get("REFUND_HISTORIES", "15"))
UNTIL_FOUND = 400  # mutants are found in the first few


@pytest.mark.timeout(max(900, 3 * HISTORIES))
async def test_every_refund_ends_and_none_is_paid_twice_whatever_happens(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    dsn = await database_for("refunds")
    ended = await asyncio.to_thread(run_histories, dsn, histories=HISTORIES)
    print(f"{HISTORIES} histories: {dict(ended.most_common())}")  # noqa: T201 - what they came to, with -s
    assert ended["SUCCESS"]
    assert ended["adopted of a stranger"]


async def test_a_key_that_is_rotated_on_retry_is_found_by_the_histories(
    database_for: Callable[[str], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, called = GatewayCalls.create, set[tuple[str, int]]()

    async def rotate(calls: GatewayCalls, attempt: Attempt, **refund: Any) -> Receipt:
        if (attempt.refund_id, attempt.number) in called:
            attempt = replace(attempt, gateway_key=uuid4().hex)
        called.add((attempt.refund_id, attempt.number))
        return await real(calls, attempt, **refund)

    monkeypatch.setattr(GatewayCalls, "create", rotate)
    dsn = await database_for("refunds")
    with pytest.raises(AssertionError):  # whichever of the checks comes to it first
        await asyncio.to_thread(run_histories, dsn, histories=UNTIL_FOUND)


async def test_with_unknown_not_counted_as_spent_histories_and_database_find_it(
    database_for: Callable[[str], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(state: RefundState, to: RefundState) -> bool:
        return to is RefundState.UNKNOWN or states.releases(state, to)

    monkeypatch.setattr(transition, "releases", forgetful)
    dsn = await database_for("refunds")
    with pytest.raises(asyncpg.CheckViolationError, match="sent_is_reserved"):
        await asyncio.to_thread(run_histories, dsn, histories=UNTIL_FOUND)

    await _execute(dsn, "ALTER TABLE refunds DROP CONSTRAINT sent_is_reserved")
    with pytest.raises(AssertionError):
        await asyncio.to_thread(run_histories, dsn, histories=UNTIL_FOUND)


async def _execute(dsn: str, statement: str) -> None:
    connection: Any = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
