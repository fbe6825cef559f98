"""``python -m tests.contract.surface`` makes what is there now the snapshot, and what the console has of the services.

With ``words`` it prints every description and summary instead.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from suite_local.testing import ServerAddresses, test_servers
from tests.contract.console import offered
from tests.contract.surface.observed import SERVICES, everything, store, without_words, words
from tests.support.servers import TestDatabases, TestRabbit


async def _found(addresses: ServerAddresses) -> dict[str, Any]:
    rabbit = TestRabbit(addresses.amqp_url, addresses.rabbitmq_api)
    with tempfile.TemporaryDirectory() as directory:
        async with rabbit.virtual_host() as amqp_url:
            return await everything(TestDatabases(addresses.postgres_dsn), amqp_url, Path(directory))


def main(arguments: list[str]) -> None:
    """Start servers unless the environment names some, and do it."""
    with test_servers() as addresses:
        found = asyncio.run(_found(addresses))
    for name, surface in found.items():
        if arguments == ["words"]:
            for place, text in sorted(words(surface).items()):
                sys.stdout.write(f"{name}{place}: {text}\n")
        else:
            store(name, without_words(surface))
    if arguments != ["words"]:
        offered.store({package: found[package]["openapi"] for package in SERVICES})


if __name__ == "__main__":
    main(sys.argv[1:])
