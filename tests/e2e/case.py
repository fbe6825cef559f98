"""A change that people make: what it is done to, what is filled in, how its effect is seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from console.client.acts import Act, act_of
from tests.e2e.trouble import Trouble

Fields = Mapping[str, Any]
Maker = Callable[[Trouble], Awaitable[str]]
Proof = Callable[[Trouble, str, Mapping[str, Any]], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A change. ``make`` brings about one thing for it, None where it is done to nothing that exists.

    ``fields``: what is filled in, or how that follows from the thing. ``known_later``: what the service can only say once it is done
    (ids and times of what comes into being), by dotted name. ``of_the_first``: what else differs for the second of two once somebody has
    done it to the first. ``seen``: the state in which it ends when it is watched. ``proof``: reads of
    the service itself whether it took effect.
    """

    act: str
    make: Maker | None = None
    fields: Fields | Callable[[Trouble, str], Awaitable[Fields]] = field(default_factory=dict)
    known_later: Set[str] = frozenset()
    of_the_first: Set[str] = frozenset()
    seen: str
    proof: Proof | None = None
    repeatable: bool = False
    service: str | None = None
    role: str = "operator"

    @property
    def versioned(self) -> bool:
        """Whether what changed since the rehearsal is left alone by its version."""
        return self.found.operation.takes("expected_version")

    def __str__(self) -> str:
        return f"{self.act} of {self.service}" if self.service else self.act

    @property
    def found(self) -> Act:
        """The act."""
        return act_of(self.act, self.service)

    async def filled_in(self, trouble: Trouble, name: str) -> Fields:
        """What is filled in for a thing."""
        return self.fields if isinstance(self.fields, Mapping) else await self.fields(trouble, name)
