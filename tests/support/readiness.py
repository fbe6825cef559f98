"""Waiting until a service that was started as a process is ready."""

from __future__ import annotations

import aiohttp

from tests.support.servers import eventually


async def wait_ready(url: str) -> str:
    """Return the address once its ``/readyz`` is 200; what is fuzzed before that may answer 503, and may do so."""
    async with aiohttp.ClientSession() as session:

        async def ready() -> bool:
            async with session.get(f"{url}/readyz") as answer:
                return answer.status == 200

        await eventually(ready, what=f"{url}/readyz")
    return url
