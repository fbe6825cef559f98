"""Errors that the suite raises on purpose.

Each class has a stable ``code`` that callers may rely on, and says whether trying the same thing again can help.
``common.http`` turns these classes into HTTP answers in one table; nothing else decides on a status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field at fault: where it stands (``positions.0.price``), a stable code, and a sentence for a person."""

    field: str
    code: str
    message: str


class SuiteError(Exception):
    """Base of every error that the suite raises on purpose.

    ``detail`` is a sentence for a person and never holds a secret or a customer's data.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, fields: tuple[FieldError, ...] = (), retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields
        self.retry_after = retry_after


class InvalidInput(SuiteError):
    """The request cannot be understood; the same request will fail again."""

    code = "invalid_input"


class Unauthorized(SuiteError):
    """The caller did not prove who it is."""

    code = "unauthorized"


class Forbidden(SuiteError):
    """The caller is known and may not do this."""

    code = "forbidden"


class OutOfScope(Forbidden):
    """The caller's role may do this, and its token is for other things."""

    code = "out_of_scope"


class NotFound(SuiteError):
    """The thing asked for does not exist."""

    code = "not_found"


class Conflict(SuiteError):
    """The state of the thing does not allow the operation."""

    code = "conflict"


class ChangedSince(Conflict):
    """The thing is not at the version that the caller looked at: look again, decide again."""

    code = "changed_since"

    @classmethod
    def require(cls, what: str, *, at: int, expected: int | None) -> None:
        """Raise it unless the caller looked at this version; ``expected`` None: the caller does not mind."""
        if expected not in (None, at):
            raise cls(f"{what} is at version {at}, not {expected}: look at it again")


class Unprocessable(SuiteError):
    """The request is well formed and its values do not fit."""

    code = "unprocessable"


class TooMany(SuiteError):
    """The caller asks too often; ``retry_after`` says in how many seconds it may ask again."""

    code = "too_many_requests"
    retryable = True


class Unavailable(SuiteError):
    """Something needed does not answer; trying later can help."""

    code = "unavailable"
    retryable = True


class NotTrusted(Unavailable):
    """Something needed is there, and TLS with it cannot be had: it does not prove who it is, or does not speak it. Nothing was told it."""

    code = "server_not_trusted"


class ConfigurationError(SuiteError):
    """The service cannot start as it is configured; the detail is one line that says what to mend."""

    code = "configuration_error"


class SchemaTooOld(ConfigurationError):
    """The database lacks migrations that this release needs."""

    code = "schema_too_old"
