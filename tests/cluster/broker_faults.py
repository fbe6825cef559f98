"""What can befall one of three brokers; each returns when the node runs again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from tests.cluster.broker_nodes import BrokerNodes

Fault = Callable[[BrokerNodes, int], Coroutine[None, None, None]]


async def killed(nodes: BrokerNodes, node: int) -> None:
    """The node dies, and is begun again."""
    await asyncio.to_thread(nodes.kill, node)
    await asyncio.sleep(5)
    await asyncio.to_thread(nodes.begin, node)


async def frozen(nodes: BrokerNodes, node: int) -> None:
    """The node hangs for longer than a heartbeat allows."""
    with nodes.frozen(node):
        await asyncio.sleep(30)


async def cut_off(nodes: BrokerNodes, node: int) -> None:
    """The node and the others do not believe one another."""
    manager = nodes.cut_off(node)
    await asyncio.to_thread(manager.__enter__)
    try:
        await asyncio.sleep(20)
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


async def stopped(nodes: BrokerNodes, node: int) -> None:
    """The node is stopped in order, as for a new version, and begun again."""
    await asyncio.to_thread(nodes.stop, node)
    await asyncio.to_thread(nodes.begin, node)


EACH: tuple[Fault, ...] = (killed, frozen, cut_off, stopped)
