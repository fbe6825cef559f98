"""Reads of every service, the console's pages too, as fast as they are answered: what everybody is told while something breaks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from tests.chaos.conftest import Faults
from tests.support.console_browser import browsing

READS = {
    "webhook-gateway": ("/admin/v1/deliveries", "/admin/v1/queues"),
    "orchestrator": ("/admin/v1/orders", "/admin/v1/workflows", "/admin/v1/queues"),
    "refunds": ("/admin/v1/queues", "/admin/v1/audit", "/admin/v1/refunds"),
    "notifier": ("/admin/v1/incidents", "/admin/v1/queues"),
}
PAGES = ("/", "/orders", "/incidents", "/refunds", "/audit")
EXPLAINS, SETS = "tips explains", "tips sets"
"""Tips has no table, and its audit log is an empty page without a database: what reads and writes orders there is asked instead."""
ASKED = {*READS, "console", EXPLAINS, SETS}
"""Whose answers are counted."""
DOCUMENTED = {200, 503}
"""What a service says: it is, or it is away for the moment."""
OTHERWISE = {"console": {200, 502, 503}, SETS: {200, 409, 503}}
"""A page says by a status of its own that a service does not answer; tips of an order that goes on are set by nobody (409).

404 is documented for orders that do not exist; the orders asked about were shown by the orchestrator, and stay.
"""
_NUMBERS = "/admin/v1/orders"

Answers = Counter[tuple[str, int]]


@asynccontextmanager
async def reading(faults: Faults) -> AsyncIterator[Answers]:
    """Read everything for as long as the block lasts, and have tips explain and set those of orders that are played.

    What is yielded are the answers so far, by service and status.
    """
    answers: Answers = Counter()
    numbers: list[str] = []  # of the orders that the orchestrator showed last
    tasks = [asyncio.create_task(_read_on(faults, service, answers, numbers)) for service in READS]
    tasks.append(asyncio.create_task(_look_on(faults, answers)))
    tasks.append(asyncio.create_task(_ask_tips_on(faults, answers, numbers)))
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
            if status not in OTHERWISE.get(service, DOCUMENTED)
        }
    )


async def _read_on(faults: Faults, service: str, answers: Answers, numbers: list[str]) -> None:
    description = faults.suite.description
    url, token = description["services"][service]["url"], description["tokens"]["viewer"]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        while True:
            for path in READS[service]:
                async with session.get(url + path, timeout=aiohttp.ClientTimeout(total=40)) as answer:
                    answers[service, answer.status] += 1
                    if path == _NUMBERS and answer.status == 200:
                        numbers[:] = [each["number"] for each in (await answer.json())["items"]]
                await asyncio.sleep(0.02)


async def _ask_tips_on(faults: Faults, answers: Answers, numbers: list[str]) -> None:
    """Have tips explain and set the tips of one order after the other: each question reads the orders' database, and may write there."""
    description = faults.suite.description
    url, tokens = description["services"]["tips"]["url"], description["tokens"]
    viewer, internal = ({"Authorization": f"Bearer {tokens[role]}"} for role in ("viewer", "internal"))

    async def explain(session: aiohttp.ClientSession, number: str) -> None:
        async with session.get(f"{url}/admin/v1/explain?order_id={number}", headers=viewer) as answer:
            answers[EXPLAINS, answer.status] += 1

    async def set_sum(session: aiohttp.ClientSession, number: str) -> None:
        body = {"order_id": number}
        async with session.post(f"{url}/tips/v1/set-tips-sum", json=body, headers=internal) as answer:
            answers[SETS, answer.status] += 1

    async def ask(
        session: aiohttp.ClientSession, ask_of: Callable[[aiohttp.ClientSession, str], Awaitable[None]]
    ) -> None:
        while True:
            for number in numbers[:20]:
                await ask_of(session, number)
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.05)

    timeout = aiohttp.ClientTimeout(total=40)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        group.create_task(ask(session, explain))  # apart: who explains waits for a server that hangs, who sets does not
        group.create_task(ask(session, set_sum))


async def _look_on(faults: Faults, answers: Answers) -> None:
    description = faults.suite.description
    async with browsing(description["services"]["console"]["url"]) as browser:
        await browser.sign_in(description["tokens"]["viewer"])
        while True:
            for path in PAGES:
                await browser.get(path)
                answers["console", browser.status] += 1
                await asyncio.sleep(0.1)
