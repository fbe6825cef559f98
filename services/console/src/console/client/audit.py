"""The audit of all services as one, newest first: what each has is merged by time as it is read, however much there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from console.client.suite import RefusedError, UnreachableError
from console.client.things import EVERYWHERE, services_with

if TYPE_CHECKING:
    from console.client.suite import Suite

_MOST_OF_ONE = 1_000_000
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Some records, the services that did not answer, and where the next part begins; None: there is no more."""

    items: Sequence[Record]
    silent: Sequence[str] = ()
    following: Following | None = None


@dataclass(frozen=True, slots=True)
class Following:
    """Where the next part begins: before the moment ``to``, behind the first ``skip`` records there."""

    to: str
    skip: int


@dataclass(slots=True)
class _Head:
    """A service's records, the next one already read; None behind the last."""

    service: str
    records: AsyncGenerator[Record, None]
    next: Record | None = None
    away: Exception | None = None

    async def advance(self) -> None:
        """Read the next one."""
        try:
            self.next = await anext(self.records, None)
        except UnreachableError as error:
            self.next, self.away = None, error
        except RefusedError as error:
            if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            self.next, self.away = None, error


async def merged(
    suite: Suite, services: Sequence[str], *, silent: list[str] | None = None, at_once: int = 200, **query: Any
) -> AsyncGenerator[Record, None]:
    """Yield records of these services by time, newest first, each with its ``service``; ``at_once`` are read of each.

    A service that does not answer is added to ``silent``; without that list it is raised, before the first record or later: what is
    cut off is never taken for the whole.
    """
    async with AsyncExitStack() as stack:
        heads = [
            _Head(
                service, await stack.enter_async_context(aclosing(_of(suite, service, {**query, "at_once": at_once})))
            )
            for service in services
        ]
        await asyncio.gather(*(head.advance() for head in heads))
        while True:
            for head in heads:
                if head.away is not None:
                    if silent is None:
                        raise head.away
                    silent.append(head.service)
                    head.away = None
            waiting = [head for head in heads if head.next is not None]
            if not waiting:
                return
            newest = max(waiting, key=lambda head: str(head.next and head.next["at"]))
            if newest.next is not None:
                yield newest.next
            await newest.advance()


async def part(suite: Suite, services: Sequence[str], *, limit: int, skip: int = 0, **query: Any) -> Part:
    """Return ``limit`` records if there are so many, behind the first ``skip``; a bulk change leaves more than a page of one moment."""
    items: list[Record] = []
    silent: list[str] = []
    last, of_last, passed = "", 0, 0  # how many of the last moment are behind us, shown or skipped
    async with aclosing(merged(suite, services, silent=silent, at_once=limit + 1, **query)) as records:
        async for record in records:
            if len(items) == limit:
                to = datetime.fromisoformat(last) + timedelta(microseconds=1)  # services know moments to a microsecond
                return Part(items, silent, Following(to.isoformat(), of_last))
            at = str(record["at"])
            last, of_last = at, of_last + 1 if at == last else 1
            if passed < skip:
                passed += 1
            else:
                items.append(record)
    return Part(items, silent)


async def counted(suite: Suite, services: Sequence[str], **query: Any) -> tuple[int, bool]:
    """Return how many records of these services match, and whether these are all: none does not answer, none stopped counting."""
    pages = await asyncio.gather(
        *(suite.page(each, EVERYWHERE["audit"][0], limit=1, count=True, **query) for each in services),
        return_exceptions=True,
    )
    total, exact = 0, True
    for page in pages:
        if isinstance(page, (RefusedError, UnreachableError)):
            exact = False
        elif isinstance(page, BaseException):
            raise page
        else:
            total, exact = total + (page.count or 0), exact and page.exact
    return total, exact


async def newest(suite: Suite, services: Sequence[str], *, limit: int, **query: Any) -> Sequence[Record]:
    """Return the newest records of these services, each with its ``service``. Raises where one of them does not answer."""
    pages = await asyncio.gather(*(suite.page(each, EVERYWHERE["audit"][0], limit=limit, **query) for each in services))
    found = [{"service": each, **item} for each, page in zip(services, pages, strict=True) for item in page.items]
    return sorted(found, key=lambda record: str(record["at"]), reverse=True)[:limit]


def audited() -> Sequence[str]:
    """Return the services that keep an audit."""
    return services_with("audit")


async def _of(suite: Suite, service: str, query: Mapping[str, Any]) -> AsyncGenerator[Record, None]:
    async for item in suite.walk(service, EVERYWHERE["audit"][0], at_most=_MOST_OF_ONE, **query):
        yield {"service": service, **item}
