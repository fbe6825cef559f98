"""Whoever has said "mine" is not phoned any more, whichever replica was about to call."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from sandbox.testing import running_sandbox
from tests.support.ack_races import race

RACES = int(os.environ.get("NOTIFIER_ACK_RACES", "100"))


async def test_no_call_arrives_after_a_committed_acknowledgement(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    async with running_sandbox() as sandbox:
        raced = await race(await database_for("notifier"), sandbox, RACES, seed=7)
    assert raced.after_ack == []
    assert sum(raced.ends.values()) == RACES
    assert set(raced.ends) == {"placed", "needless"}, raced.ends  # both sides won some, or it was no race
    assert raced.arrived == raced.ends["placed"]
