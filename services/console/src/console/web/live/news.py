"""News of lists: however many people look at a list, it is read once a round; each is told what is new to her."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from console.client.suite import Page, RefusedError, Suite, UnreachableError
from console.client.things import Thing, value
from console.web.lists.filtering import read_page

_READ = 50
_COMES_BACK = frozenset({408, 429, *range(500, 600)})
"""Statuses of a service that cannot answer now, whoever asks."""

ReadPage = Callable[..., Awaitable[Page]]
"""Reads the first page of a list: of this connection, kind of thing and filter, and at most ``limit`` of it."""


@dataclass(slots=True)
class _View:
    """A list that somebody looks at. ``names`` are what its first page holds; each watcher has a queue, None in it is the end.

    It is read as one of those who look now, and customers' data masked: nobody reads them there.
    """

    names: Sequence[str] | None = None
    queues: dict[asyncio.Queue[Sequence[str] | None], Suite] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class News:
    """Reads while somebody looks and stops with the last one. Lists of different roles are read apart."""

    def __init__(self, *, every: float) -> None:
        self._every = every
        self._views: dict[Hashable, _View] = {}

    @property
    def pollers(self) -> int:
        """How many lists are being read."""
        return len(self._views)

    async def watch(
        self, suite: Suite, thing: Thing, wanted: Mapping[str, Any], *, role: str, read: ReadPage = read_page
    ) -> AsyncGenerator[Sequence[str], None]:
        """Yield the names on the list's first page, newest first, whenever they change. Ends when it may not be read (any more)."""
        key = (thing.noun, thing.service, tuple(sorted(wanted.items())), role)
        view = self._views.setdefault(key, _View())
        queue: asyncio.Queue[Sequence[str] | None] = asyncio.Queue()
        view.queues[queue] = suite.without_customers()
        if view.names is not None:
            queue.put_nowait(view.names)
        if view.task is None:
            view.task = asyncio.create_task(self._read(key, view, thing, wanted, read), name="console news")
        try:
            while (names := await queue.get()) is not None:
                yield names
        finally:
            view.queues.pop(queue, None)
            if not view.queues:
                self._forget(key, view)  # at once: whoever comes before the reader has ended begins anew
                view.task.cancel()

    def _forget(self, key: Hashable, view: _View) -> None:
        if self._views.get(key) is view:
            del self._views[key]

    def close(self) -> None:
        """End every watch."""
        for view in list(self._views.values()):
            if view.task is not None:
                view.task.cancel()

    async def _read(self, key: Hashable, view: _View, thing: Thing, wanted: Mapping[str, Any], read: ReadPage) -> None:
        try:
            while view.queues:
                reader, suite = next(iter(view.queues.items()))
                try:
                    with suppress(UnreachableError):  # it comes back; meanwhile the page says so whenever it is loaded
                        page = await read(suite, thing, wanted, limit=_READ)
                        names = [str(value(item, thing.id)) for item in page.items]
                        if names != view.names:
                            view.names = names
                            for queue in view.queues:
                                queue.put_nowait(names)
                except RefusedError as error:
                    if error.status not in _COMES_BACK:  # hers is the end; whoever else looks may read it still
                        view.queues.pop(reader, None)
                        reader.put_nowait(None)
                        continue
                await asyncio.sleep(self._every)
        finally:
            self._forget(key, view)
            for queue in view.queues:
                queue.put_nowait(None)
