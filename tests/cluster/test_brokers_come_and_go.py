"""Each of three broker nodes is killed, frozen and cut off under load: every hook is answered, and none is lost."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from tests.chaos.conftest import Faults
from tests.cluster.broker_faults import EACH, Fault
from tests.cluster.broker_nodes import NAMES
from tests.cluster.conftest import Stand

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.mark.parametrize("fault", EACH, ids=lambda fault: fault.__name__)
async def test_no_acknowledged_hook_is_lost_when_each_node(
    fault: Fault, stand: Stand, faults: Faults, since: datetime
) -> None:
    async def each_in_turn() -> None:
        for node in range(len(NAMES)):
            await fault(stand.brokers, node)
            await asyncio.to_thread(stand.brokers.whole)

    report = await faults.play_during(each_in_turn(), seed=91)
    await faults.connected()
    assert set(report["summary"]["answers"]) <= {"200", "503"}
    await faults.all_is_right(report, since)
