"""What becomes of a request, and what is answered (the table of CONTRACT 3)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from webhook_gateway.hooks import events


class Outcome(StrEnum):
    """The one outcome of every request, fixed at answering (DECISIONS "Gateway"); the ledger adds them up.

    ``REPLAYED`` is what an operator sent again from what is kept: it never came in, so the ledger leaves it out.
    """

    CONFIRMED = "confirmed"
    SPOOLED = "spooled"
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    REPLAYED = "replayed"


LEDGER = (Outcome.CONFIRMED, Outcome.SPOOLED, Outcome.QUARANTINED, Outcome.REFUSED)
"""received = the sum of these."""

UNKNOWN_SOURCE = "unknown"
"""Stands for any source that is not configured, in metrics and in the ledger."""

IGNORED_ANSWER: Mapping[str, str] = {"status": "ignored"}


def accepted_answer(event: str, number: str) -> dict[str, str]:
    """Return the body of a positive answer: a repeat gets the same one, whichever replica answers (M3)."""
    return {"status": "created" if event == events.CREATED else "ok", "number": number}
