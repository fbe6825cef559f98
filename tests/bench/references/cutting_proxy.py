"""A misbehaving proxy as a process of its own, so that it takes nothing from whoever measures.

``python -m tests.bench.references.cutting_proxy HOST PORT``. Prints its port; then takes one command a line: ``stall``, ``refuse``,
``heal``, ``delay SECONDS``. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from tests.support.servers import CuttingProxy


async def serve(host: str, port: int) -> None:
    """Stand in front of a server until standard input ends."""
    proxy = CuttingProxy(host, port)
    await proxy.start()
    sys.stdout.write(f"{proxy.port}\n")
    sys.stdout.flush()
    acts = {"stall": proxy.stall, "refuse": proxy.refuse, "heal": proxy.heal}
    while line := await asyncio.to_thread(sys.stdin.readline):
        act, _, seconds = line.strip().partition(" ")
        if act == "delay":
            proxy.delay(float(seconds))
        else:
            acts[act]()
    await proxy.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(sys.argv[1], int(sys.argv[2])))
