"""Each of three broker nodes is killed, frozen and cut off under load: every hook is answered, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime

import pytest

from tests.chaos.conftest import Faults
from tests.cluster.broker_nodes import NAMES
from tests.cluster.conftest import Stand

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

Fault = Callable[[Stand, int], Coroutine[None, None, None]]


async def killed(stand: Stand, node: int) -> None:
    """The node dies, and is begun again."""
    await asyncio.to_thread(stand.brokers.kill, node)
    await asyncio.sleep(5)
    await asyncio.to_thread(stand.brokers.begin, node)


async def frozen(stand: Stand, node: int) -> None:
    """The node hangs for longer than a heartbeat allows."""
    with stand.brokers.frozen(node):
        await asyncio.sleep(30)


async def cut_off(stand: Stand, node: int) -> None:
    """The node and the others do not believe one another."""
    manager = stand.brokers.cut_off(node)
    await asyncio.to_thread(manager.__enter__)
    try:
        await asyncio.sleep(20)
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


async def stopped(stand: Stand, node: int) -> None:
    """The node is stopped in order, as for a new version, and begun again."""
    await asyncio.to_thread(stand.brokers.stop, node)
    await asyncio.to_thread(stand.brokers.begin, node)


@pytest.mark.parametrize("fault", [killed, frozen, cut_off, stopped], ids=lambda fault: fault.__name__)
async def test_no_acknowledged_hook_is_lost_when_each_node(
    fault: Fault, stand: Stand, faults: Faults, since: datetime
) -> None:
    async def each_in_turn() -> None:
        for node in range(len(NAMES)):
            await fault(stand, node)
            await asyncio.to_thread(stand.brokers.whole)

    report = await faults.play_during(each_in_turn(), seed=91)
    await faults.connected()
    assert set(report["summary"]["answers"]) <= {"200", "503"}
    await faults.all_is_right(report, since)
