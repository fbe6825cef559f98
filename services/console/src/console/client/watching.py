"""Whether what was done took effect: read from the things themselves, again and again, until none of them moves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

from console.client.acts import Act
from console.client.change import Done, Item
from console.client.effects import Effect, said_of
from console.client.suite import Suite
from console.client.things import ON_ITS_WAY, Thing

_LOOK_EVERY_S = 0.5
_AT_ONCE = 8


class UnprovableError(Exception):
    """An effect was looked for and cannot be seen: the answer does not say where."""


class Watching:
    """Looks at what was changed, as often as it is asked; what no longer moves by itself is not read again.

    Raises ``UnprovableError`` when the answer does not say where to look.
    """

    def __init__(self, suite: Suite, done: Done) -> None:
        wish = done.plan.wish
        self._act, sight = wish.found(), wish.found().sight
        untouched = {item.id for item in (*done.left_alone, *done.refused)}
        self._changed = [item for item in done.items if item.id not in untouched]
        self._planned = {item.id: item.version for item in done.plan.items}
        self._said = {item.id: said_of(item.id, item.shown, wish.fields, reason=wish.reason) for item in self._changed}
        if sight is None or (isinstance(sight, Effect) and not all(map(sight.named_in, self._said.values()))):
            raise UnprovableError(self._act.name)
        self._sight: Thing | Effect = sight
        self._suite = suite.without_customers()
        self._states: dict[str, str] = {}

    @property
    def moves(self) -> bool:
        """Tell whether anything may still happen by itself, as of the last look."""
        return len(self._states) < len(self._changed) or any(map(self._sight.moves, self._states.values()))

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Return the kind and name of each thing in which a person is needed, as of the last look: why, it says itself."""
        bad = (item for item in self._changed if self._act.failed(self._states.get(item.id, "")))
        return [said for item in bad if (said := shown_by(self._sight, item)) is not None]

    async def look(self) -> Counter[str]:
        """Return how many of the changed things are in which state. Raises what a service refuses, or that it does not answer."""
        left = [item for item in self._changed if self._sight.moves(self._states.get(item.id, ON_ITS_WAY))]
        for start in range(0, len(left), _AT_ONCE):
            some = left[start : start + _AT_ONCE]
            states = await asyncio.gather(*map(self._state, some))
            self._states |= zip((item.id for item in some), states, strict=True)
        return Counter(self._states.values())

    async def _state(self, item: Item) -> str:
        if isinstance(self._sight, Effect):
            return await self._sight.look(self._suite, self._said[item.id])
        return _seen(self._act, self._sight, await self._sight.read(self._suite, item.id), self._planned.get(item.id))


def shown_by(sight: Thing | Effect, item: Item) -> tuple[str, str] | None:
    """Return the kind and name of what shows why an effect is bad: the thing itself, or what was done to another by way of it."""
    if isinstance(sight, Thing):
        return None if sight.one is None else (sight.noun, item.id)
    noun = sight.onward.get(str(item.shown.get("name")))
    return None if noun is None else (noun, str(item.shown["target"]))


async def watch(suite: Suite, done: Done, *, deadline: float) -> AsyncIterator[Counter[str]]:
    """Yield how many of the changed things are in which state, again and again, until none moves by itself or the time is over.

    ``deadline`` in seconds. The last value is the proof. Raises ``UnprovableError`` when the answer does not say where to look.
    """
    watching = Watching(suite, done)
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline
    while True:
        yield await watching.look()
        if not watching.moves or loop.time() >= until:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def _seen(act: Act, thing: Thing, found: Mapping[str, Any], planned: int | None) -> str:
    """Return the state of a thing, ``ON_ITS_WAY`` while the effect is not there and nothing stands in its way."""
    state = thing.state_now(found)
    if state == "waiting":
        return state
    there = (not act.until or state in act.until) and not (act.newer and found.get("version") == planned)
    if there or (act.fills is not None and found.get(act.fills) is not None):
        return state
    if thing.noun != "order":
        return ON_ITS_WAY
    return str(found["aggregate_state"]) if found["aggregate_state"] in thing.bad else ON_ITS_WAY
