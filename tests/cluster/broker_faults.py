"""What can befall one of three brokers; each returns when the node runs again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from tests.cluster.broker_nodes import BrokerNodes
from tests.cluster.page import Section

Fault = Callable[[BrokerNodes, int], Coroutine[None, None, None]]
_LONG_ENOUGH_S = 20
"""The others have given a silent node up by then."""


async def killed(nodes: BrokerNodes, node: int) -> None:
    """The node dies, and is begun again."""
    await asyncio.to_thread(nodes.kill, node)
    await asyncio.sleep(5)
    await asyncio.to_thread(nodes.begin, node)


async def frozen(nodes: BrokerNodes, node: int) -> None:
    """The node hangs for longer than a heartbeat allows."""
    with nodes.frozen(node):
        await asyncio.sleep(_LONG_ENOUGH_S)


async def cut_off(nodes: BrokerNodes, node: int) -> None:
    """The node's network is gone for longer than the others wait for it: it pauses itself, and they go on."""
    with nodes.cut_off(node):
        await asyncio.sleep(_LONG_ENOUGH_S)


async def stopped(nodes: BrokerNodes, node: int) -> None:
    """The node is stopped in order, as for a new version, and begun again."""
    await asyncio.to_thread(nodes.stop, node)
    await asyncio.to_thread(nodes.begin, node)


async def until_whole(nodes: BrokerNodes, section: Section) -> None:
    """Wait until the cluster is whole again, and note what had to be done for it."""
    for number in await asyncio.to_thread(nodes.whole):
        section.notes.append(f"node {number + 1} stayed apart, and was begun anew")


EACH: tuple[Fault, ...] = (killed, frozen, cut_off, stopped)
