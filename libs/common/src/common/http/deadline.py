"""How long a caller is going to wait for an answer, sent in a header, so that nobody works on what nobody waits for any more."""

from __future__ import annotations

from collections.abc import Mapping

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
"""Whole milliseconds from sending the request until the caller gives up; relative, because clocks of two machines differ."""

_LONGEST = 9  # digits; more than eleven days


def timeout_header(seconds: float) -> dict[str, str]:
    """Return the header that informs a service how long this caller will wait; what is left of a millisecond is left out."""
    return {TIMEOUT_HEADER: str(max(1, int(seconds * 1000)))}


def timeout_of(headers: Mapping[str, str], *, at_most: float) -> float:
    """Return the seconds that an answer may take: the caller's, but never more than ``at_most``.

    No header, or one that is not a whole number of at least 1, means ``at_most``: a misspelt header must not fail a request.
    """
    given = headers.get(TIMEOUT_HEADER)
    if given is None or len(given) > _LONGEST or not (given.isascii() and given.isdigit()):
        return at_most
    milliseconds = int(given)
    return min(milliseconds / 1000, at_most) if milliseconds else at_most
