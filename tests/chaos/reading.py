"""Reads of every service, the console's pages too, as fast as they are answered: what everybody is told while something breaks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.chaos.conftest import Faults
from tests.support.console_browser import browsing

READS = {
    "webhook-gateway": ("/admin/v1/deliveries", "/admin/v1/queues"),
    "orchestrator": ("/admin/v1/orders", "/admin/v1/workflows", "/admin/v1/queues"),
    "refunds": ("/admin/v1/queues", "/admin/v1/audit", "/admin/v1/refunds"),
    "notifier": ("/admin/v1/incidents", "/admin/v1/queues"),
    "tips": ("/admin/v1/audit",),
}
PAGES = ("/", "/orders", "/incidents", "/refunds", "/audit")
DOCUMENTED = {200, 503}
"""What a service says: it is, or it is away for the moment."""
OF_PAGES = {200, 502, 503}
"""A page says by a status of its own that a service does not answer."""

Answers = Counter[tuple[str, int]]


@asynccontextmanager
async def reading(faults: Faults) -> AsyncIterator[Answers]:
    """Read everything for as long as the block lasts; the answers so far, by service and status."""
    answers: Answers = Counter()
    tasks = [asyncio.create_task(_read_on(faults, service, answers)) for service in READS]
    tasks.append(asyncio.create_task(_look_on(faults, answers)))
    try:
        yield answers
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()  # whoever could not read any more says why


def undocumented(answers: Answers) -> Answers:
    """The answers among these that nobody is to get."""
    return Counter(
        {
            (service, status): count
            for (service, status), count in answers.items()
            if status not in (OF_PAGES if service == "console" else DOCUMENTED)
        }
    )


async def _read_on(faults: Faults, service: str, answers: Answers) -> None:
    description = faults.suite.description
    url, token = description["services"][service]["url"], description["tokens"]["viewer"]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        while True:
            for path in READS[service]:
                async with session.get(url + path, timeout=aiohttp.ClientTimeout(total=40)) as answer:
                    answers[service, answer.status] += 1
                await asyncio.sleep(0.02)


async def _look_on(faults: Faults, answers: Answers) -> None:
    description = faults.suite.description
    async with browsing(description["services"]["console"]["url"]) as browser:
        await browser.sign_in(description["tokens"]["viewer"])
        while True:
            for path in PAGES:
                await browser.get(path)
                answers["console", browser.status] += 1
                await asyncio.sleep(0.1)
