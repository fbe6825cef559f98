"""How a command ends: each exit code once, and which failure has which."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.client.suite import RefusedError


class Exit(IntEnum):
    """The exit codes. Scripts rely on them."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMED_OUT = 4
    NO_RIGHT = 5
    UNREACHABLE = 6
    PARTLY = 7
    INTERRUPTED = 130


class EndedError(Exception):
    """The command ends here with a sentence for the person and an exit code."""

    def __init__(self, said: str, code: Exit = Exit.USAGE) -> None:
        self.said, self.code = said, code
        super().__init__(said)


_OF_STATUS = {
    400: Exit.USAGE,
    401: Exit.NO_RIGHT,
    403: Exit.NO_RIGHT,
    404: Exit.NOT_FOUND,
    408: Exit.TIMED_OUT,
    502: Exit.UNREACHABLE,
    503: Exit.UNREACHABLE,
    504: Exit.TIMED_OUT,
}


def of_refusal(error: RefusedError) -> Exit:
    """Return the code of what a service refused. Fields at fault are the caller's usage; anything else is a refusal."""
    if error.status in (415, 422) and error.fields:
        return Exit.USAGE
    return _OF_STATUS.get(error.status, Exit.REFUSED)


def told(error: BaseException) -> tuple[str, Exit] | None:
    """Return what to say of a failure and its code; None if it is none that was foreseen."""
    from console.client.suite import RefusedError, UnreachableError

    if isinstance(error, EndedError):
        return error.said, error.code
    if isinstance(error, UnreachableError):
        return str(error), Exit.TIMED_OUT if error.timed_out else Exit.UNREACHABLE
    if isinstance(error, RefusedError):
        # What is wrong with the whole names no field; a scope that is lacking is named already.
        fields = () if error.scope else error.fields
        parts = ([each[name] for name in ("field", "message") if each.get(name)] for each in fields)
        codes = (f" ({each['code']})" if each.get("code") else "" for each in fields)
        at_fault = "".join(f"\n  {': '.join(each)}{code}" for each, code in zip(parts, codes, strict=True))
        trace = f"\n  request {error.request_id}" if error.request_id and error.status >= 500 else ""
        return f"{error}{at_fault}{trace}", of_refusal(error)
    return None
