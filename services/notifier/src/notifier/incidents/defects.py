"""Known defects: a problem that is caused by one says so, with the development ticket, again and again, without a person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from common.postgres import Connection
from notifier.incidents.model import ProblemFact
from notifier.routing.model import Labels, fits

KNOWN_DEFECT = "known_defect"
"""The detail of a problem that names it; the development ticket's key comes first."""
_NUMBERED = re.compile(r"\S*\d\S*")
_LONGEST = 200
_LIVE = """
SELECT id, match, cause, development_ticket FROM known_defects WHERE ended_at IS NULL AND development_ticket IS NOT NULL ORDER BY id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDefect:
    """Problems that fit ``match`` and whose error reads like ``cause`` (None: whatever it is) are caused by it."""

    id: int
    match: Mapping[str, tuple[str, ...]]
    cause: str | None
    development_ticket: str

    def explains(self, fact: ProblemFact, labels: Labels) -> bool:
        """Whether it is the cause of a problem. One that names nothing explains nothing."""
        return bool(self.match) and fits(self.match, labels) and (self.cause is None or self.cause == cause_of(fact))


def cause_of(fact: ProblemFact) -> str | None:
    """Return how a problem's error reads apart from numbers, ids and case; None when it tells no error."""
    return cause_from(fact.details.get("error"))


def cause_from(error: Any) -> str | None:
    """Return how an error reads apart from numbers, ids and case."""
    text = " ".join(_NUMBERED.sub("#", str(error or "")).casefold().split())[:_LONGEST]
    return text or None


def with_known_defect(
    fact: ProblemFact, labels: Labels, defects: Sequence[KnownDefect], *, link: Mapping[str, str | None]
) -> ProblemFact:
    """Return the problem with the detail that names its known defect; of several the one named first. Unchanged without any."""
    found = next((defect for defect in defects if defect.explains(fact, labels)), None)
    if found is None:
        return fact
    key, address = found.development_ticket, link.get(found.development_ticket)
    shown = key if address is None else f"{key} {address}"
    return replace(fact, details={KNOWN_DEFECT: shown, **fact.details})


async def live_defects(connection: Connection) -> Sequence[KnownDefect]:
    """Return the defects that are known and not mended."""
    return [
        KnownDefect(
            id=row["id"],
            match={label: tuple(patterns) for label, patterns in row["match"].items()},
            cause=row["cause"],
            development_ticket=row["development_ticket"],
        )
        for row in await connection.fetch(_LIVE)
    ]
