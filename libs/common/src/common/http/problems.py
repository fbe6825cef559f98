"""Errors as ``application/problem+json`` (RFC 9457): the one table that turns error classes into statuses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from common.errors import (
    ConfigurationError,
    Conflict,
    FieldError,
    Forbidden,
    InvalidInput,
    NotFound,
    SuiteError,
    TooMany,
    Unauthorized,
    Unavailable,
    Unprocessable,
)
from common.postgres import is_transient


class UnsupportedMediaType(InvalidInput):
    """The body is not of a media type that the operation reads."""

    code = "unsupported_media_type"


class InvalidCursor(InvalidInput):
    """The cursor was not made by this list."""

    code = "invalid_cursor"


class RequestTimeout(SuiteError, TimeoutError):
    """The body did not arrive in time."""

    code = "request_timeout"
    retryable = True


class UnknownParameter(Unprocessable):
    """The query names a parameter that the operation does not know."""

    code = "unknown_parameter"


STATUS: Mapping[type[SuiteError], int] = {
    UnsupportedMediaType: 415,
    InvalidInput: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    RequestTimeout: 408,
    Conflict: 409,
    Unprocessable: 422,
    TooMany: 429,
    Unavailable: 503,
    ConfigurationError: 500,
}

HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    411: "length_required",
    413: "payload_too_large",
    415: "unsupported_media_type",
    417: "expectation_failed",
}


class ProblemField(BaseModel):
    """One field at fault."""

    field: str = Field(description="where it stands, e.g. `positions.0.price`")
    code: str = Field(description="stable code of what is wrong")
    message: str = Field(description="a sentence for a person")


class Problem(BaseModel):
    """An error, RFC 9457. `code` is stable; `detail` is for people and may change."""

    type: str = Field(description="`urn:suite:problem:` plus the code")
    title: str
    status: int
    code: str
    detail: str
    retryable: bool = Field(description="whether the same request can succeed later")
    request_id: str
    fields: list[ProblemField] = []


def status_of(kind: type[SuiteError]) -> int:
    """Return the HTTP status of an error class: its own, or that of the nearest base in the table."""
    for base in kind.__mro__:
        if base in STATUS:
            return STATUS[base]
    return 500


def from_validation(error: ValidationError, *, place: str = "") -> tuple[FieldError, ...]:
    """Turn pydantic's findings into fields. The offending values are left out: they may be a customer's data."""
    return tuple(
        FieldError(
            field=".".join([*([place] if place else []), *(str(part) for part in finding["loc"])]),
            code=finding["type"],
            message=finding["msg"].removeprefix("Value error, "),
        )
        for finding in error.errors(include_input=False, include_url=False, include_context=False)
    )


def to_suite_error(error: Exception) -> SuiteError | None:
    """Return what an exception means to a caller, or ``None`` for one that nobody expected (a 500)."""
    if isinstance(error, SuiteError):
        return error
    # A file that is missing is our own mistake, not something that is away.
    if is_transient(error) and getattr(error, "filename", None) is None:
        return Unavailable("something needed does not answer in time; try again")
    return None


def problem(
    *,
    status: int,
    code: str,
    detail: str,
    request_id: str,
    retryable: bool = False,
    fields: tuple[FieldError, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Build the answer."""
    document = Problem(
        type=f"urn:suite:problem:{code}",
        title=_title(status),
        status=status,
        code=code,
        detail=detail,
        retryable=retryable,
        request_id=request_id,
        fields=[ProblemField(field=field.field, code=field.code, message=field.message) for field in fields],
    )
    return web.Response(
        status=status,
        body=document.model_dump_json().encode("utf-8", "replace"),
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def problem_of(error: SuiteError, *, request_id: str) -> web.Response:
    """Answer an error of ours: its status by the table, ``Retry-After`` where waiting helps, the challenge on a 401."""
    status = status_of(type(error))
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="suite"'
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 1)))
    detail = error.detail
    if isinstance(error, ConfigurationError):
        detail = "the service is not configured for this"  # what exactly is the operator's business, in the log
    return problem(
        status=status,
        code=error.code,
        detail=detail,
        request_id=request_id,
        retryable=error.retryable,
        fields=error.fields,
        headers=headers,
    )


def problem_of_http(error: web.HTTPException, *, request_id: str) -> web.Response:
    """Answer what aiohttp itself raises (404, 405, 413 …), keeping the headers that carry meaning."""
    headers = {
        name: error.headers[name] for name in ("Allow", "Retry-After", "WWW-Authenticate") if name in error.headers
    }
    code = HTTP_CODES.get(
        error.status, "bad_request" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal_error"
    )
    return problem(status=error.status, code=code, detail=_title(error.status), request_id=request_id, headers=headers)


def internal_error(*, request_id: str) -> web.Response:
    """Answer an exception that nobody expected. It says nothing about the inside; the log has the stack."""
    return problem(
        status=500, code="internal_error", detail="an unexpected error; it has been reported", request_id=request_id
    )


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
