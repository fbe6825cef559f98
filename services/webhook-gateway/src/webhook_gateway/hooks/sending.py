"""What whoever sends a hook on by hand needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from common.clock import Clock
from common.contracts.intake import IntakeMessage
from common.postgres import Connection

Foretell = Callable[[Connection, IntakeMessage], Awaitable[Sequence[str]]]
"""In the transaction that is to send a hook: returns the notices that follow from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """The clock, the name of this replica, and who says what people will be told."""

    clock: Clock
    replica: str
    foretell: Foretell
