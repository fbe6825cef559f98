"""One way of saying that the database is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import Unavailable
from common.postgres import worth_repeating


@contextmanager
def told_as_unavailable() -> Iterator[None]:
    """Raise ``Unavailable`` in place of what says that the server is away or that a neighbour was in the way; let the rest through."""
    try:
        yield
    except Exception as error:
        if worth_repeating(error):
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
        raise
