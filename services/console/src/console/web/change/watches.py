"""What became of changes: each is looked at once a second, in however many tabs it stands."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from console.client.change import Done
from console.client.suite import RefusedError, Suite, UnreachableError
from console.client.watching import UnprovableError, Watching

_KEPT = 100
_KEPT_FOR_S = 60.0


@dataclass(frozen=True, slots=True)
class Looked:
    """How many are in which state, None when that cannot be read now; in which of them, and in which things, a person is needed; whether
    anything still moves.
    """

    states: Counter[str] | None = None
    bad: frozenset[str] = frozenset()
    moves: bool = True
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Watched:
    done: Done
    watching: Watching
    looked: Looked = field(default_factory=Looked)
    at: float = float("-inf")
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Watches:
    """What pages watch, the longest unasked forgotten first: a page then sends again what was done. Nobody sees another person's."""

    def __init__(self, *, every: float) -> None:
        """``every``: seconds for which what was seen is as good as looking."""
        self._every = every
        self._kept: OrderedDict[tuple[str, str], _Watched] = OrderedDict()

    async def begin(self, suite: Suite, done: Done, sealed: str) -> tuple[str, Looked | None]:
        """Look at what was done, ``sealed`` as its page carries it. Return the name to ask for it by, and what is seen.

        None where the answer is all there is to see.
        """
        name = hashlib.sha256(sealed.encode()).hexdigest()[:32]
        kept = self._kept.get((suite.token, name))
        if kept is None or not kept.looked.moves:  # what had ended may have begun again since: it is read anew
            try:
                kept = _Watched(done, Watching(suite, done))
            except UnprovableError:
                return name, None
            self._kept[suite.token, name] = kept
        return name, await self._look(suite.token, name, kept)

    async def again(self, suite: Suite, name: str) -> Looked | None:
        """Return what is seen now; None when it is not kept (any more)."""
        kept = self._kept.get((suite.token, name))
        return None if kept is None else await self._look(suite.token, name, kept)

    async def _look(self, token: str, name: str, kept: _Watched) -> Looked:
        async with kept.looking:
            if time.monotonic() >= kept.at + self._every:
                kept.looked = await _looked(kept)
                kept.at = time.monotonic()
        self._forget_others(token, name)
        return kept.looked

    def _forget_others(self, token: str, name: str) -> None:
        if (token, name) in self._kept:
            self._kept.move_to_end((token, name))
        long_ago = time.monotonic() - _KEPT_FOR_S
        while self._kept and (len(self._kept) > _KEPT or next(iter(self._kept.values())).at < long_ago):
            self._kept.popitem(last=False)


async def _looked(kept: _Watched) -> Looked:
    act = kept.done.plan.wish.found()
    try:
        states = await kept.watching.look()
    except (RefusedError, UnreachableError):
        return Looked()
    return Looked(states, frozenset(filter(act.failed, states)), kept.watching.moves, tuple(kept.watching.failed))
