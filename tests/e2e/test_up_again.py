"""A suite that is up is left as it is by another `up`, and says of itself that it runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from suite_local.testing import free_ports
from tests.support.suite_client import Client


async def test_a_second_up_leaves_every_process_where_it_is(client: Client) -> None:
    asked = free_ports()  # who asks for no port keeps those that were chosen
    suite = replace(client.suite, environment={k: v for k, v in client.suite.environment.items() if k not in asked})
    names = suite.description["services"]
    before = {name: suite.pids(name) for name in names}
    again = await asyncio.to_thread(suite.command, "up")
    assert again.returncode == 0, again.stdout + again.stderr
    assert {name: suite.pids(name) for name in names} == before
    status = await asyncio.to_thread(suite.command, "status")
    assert status.returncode == 0, status.stdout + status.stderr
    assert [name for name in names if name not in status.stdout] == []
