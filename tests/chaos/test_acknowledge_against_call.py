"""A thousand races of "mine" against the phone, on a real database and two replicas."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from sandbox.testing import running_sandbox
from tests.support.ack_races import race

pytestmark = pytest.mark.chaos
RACES = 1000


@pytest.mark.timeout(280)
async def test_a_thousand_races_end_without_a_call_after_a_committed_acknowledgement(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    async with running_sandbox() as sandbox:
        raced = await race(await database_for("notifier"), sandbox, RACES, seed=1)
    print(f"races {RACES}: {dict(raced.ends)}, {raced.waited} acknowledgements waited for a call on its way")  # noqa: T201 - the evidence
    assert raced.after_ack == []
    assert sum(raced.ends.values()) == RACES
    assert set(raced.ends) == {"placed", "needless"}, raced.ends
    assert raced.arrived == raced.ends["placed"]
