"""Lists page by cursor: ``?limit=&cursor=`` → ``{"items": [], "next_cursor": null}``."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from common.errors import NotFound
from common.http.fields import in_utc
from common.http.problems import InvalidCursor
from common.postgres import Database

ItemT = TypeVar("ItemT")

_BIGINT = 2**63
DEFAULT_LIMIT = 50
LARGEST_LIMIT = 200
MOST_COUNTED = 10_000


def _is_none(value: object) -> bool:
    return value is None


class Page(BaseModel, Generic[ItemT]):
    """One page of a list; `next_cursor` is null on the last. `count` stands there only if it was asked for."""

    items: list[ItemT]
    next_cursor: str | None
    count: int | None = Field(default=None, exclude_if=_is_none, description="how many there are on all pages")
    count_exact: bool | None = Field(
        default=None, exclude_if=_is_none, description="false: there are more than `count`"
    )


class PageQuery(BaseModel):
    """The query of every list; a list's own filters are added in a subclass."""

    limit: Annotated[int, Field(ge=1, le=LARGEST_LIMIT, description="items a page")] = DEFAULT_LIMIT
    cursor: Annotated[str | None, Field(max_length=1024, description="`next_cursor` of the page before")] = None
    count: Annotated[bool, Field(description=f"say how many there are on all pages, exactly up to {MOST_COUNTED}")] = (
        False
    )


def page_of(
    rows: Sequence[Any], *, limit: int, item: Callable[[Any], ItemT], key: Callable[[Any], Sequence[Any]]
) -> Page[ItemT]:
    """Make a page from ``limit + 1`` rows: the extra one only says that there is more.

    ``key`` gives the sort key of a row; the cursor is that of the last row shown.
    """
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(items=[item(row) for row in shown], next_cursor=encode_cursor(*key(shown[-1])) if more else None)


Select = Callable[[tuple[Any, ...] | None, int], tuple[str, Sequence[Any]]]
"""Gives the statement of a list and its values: the rows behind a position (None: from the beginning), at most so many, in one order."""


async def listed(
    database: Database, query: PageQuery, select: Select, *, key: Mapping[str, type], item: Callable[[Any], ItemT]
) -> Page[ItemT]:
    """Answer one page of a list in PostgreSQL and, where it is asked for, how many there are on all pages.

    ``key`` names the columns that the rows are sorted by, with their types (see ``decode_cursor``). The count is the same statement from
    its beginning, so that no filter can be forgotten in it, and reads no further than one beyond ``MOST_COUNTED``.
    """
    after = decode_cursor(query.cursor, *key.values())
    async with database.acquire() as connection:
        statement, values = select(after, query.limit + 1)
        rows = await connection.fetch(statement, *values)
        page = page_of(rows, limit=query.limit, item=item, key=lambda row: [row[name] for name in key])
        if not query.count:
            return page
        if after is None and page.next_cursor is None:
            return with_count(page, len(rows))
        statement, values = select(None, MOST_COUNTED + 1)
        found = await connection.fetchval(f"SELECT count(*) FROM ({statement}) AS found", *values)  # noqa: S608 - a statement of the caller's
    return with_count(page, found)


async def one_listed(
    database: Database, found: tuple[str, Sequence[Any]], *, named: Mapping[str, Any], item: Callable[[Any], ItemT]
) -> ItemT:
    """Answer one thing by the statement of its list, ``found``, which begins with it where it is there.

    ``named`` are the columns that it is known by. Raises ``NotFound`` where the list begins with another one, or is empty.
    """
    statement, values = found
    async with database.acquire() as connection:
        row = await connection.fetchrow(statement, *values)
    if row is None or any(row[column] != wanted for column, wanted in named.items()):
        raise NotFound("there is no such thing, or none any more")
    return item(row)


def with_count(page: Page[ItemT], found: int) -> Page[ItemT]:
    """Return the page with the count of all; ``found`` is one more than ``MOST_COUNTED`` where there are more."""
    count = min(found, MOST_COUNTED)
    return page.model_copy(update={"count": count, "count_exact": count == found})


async def walked(list_page: Callable[[PageQuery], Awaitable[Page[Any]]], query: PageQuery) -> int:
    """Count a list that is no statement (``listed``): page by page, as a caller would, up to ``MOST_COUNTED`` and one more."""
    total, page_query = 0, query.model_copy(update={"limit": LARGEST_LIMIT, "cursor": None, "count": False})
    while total < MOST_COUNTED:
        page = await list_page(page_query)
        total += len(page.items)
        if page.next_cursor is None:
            return total
        page_query = page_query.model_copy(update={"cursor": page.next_cursor})
    return MOST_COUNTED + 1


def stamped(page: Page[ItemT], service: str, path: str) -> Page[ItemT]:
    """Return the page with a cursor that only this service's list at this path takes."""
    if page.next_cursor is None:
        return page
    return page.model_copy(update={"next_cursor": stamped_cursor(page.next_cursor, service, path)})


def stamped_cursor(cursor: str, service: str, path: str) -> str:
    """Write at whose list, this service's at this path, a position was made."""
    return f"{_stamp(service, path)}.{cursor}"


def unstamped(query: PageQuery, service: str, path: str) -> PageQuery:
    """Return the query with the bare position.

    Raises ``InvalidCursor`` where the cursor is another list's, whose order is another: also of another service's list at the same path.
    """
    if query.cursor is None:
        return query
    stamp, point, position = query.cursor.partition(".")
    if not point:
        raise InvalidCursor("the cursor is malformed")
    if stamp != _stamp(service, path):
        raise InvalidCursor("the cursor belongs to another list")
    return query.model_copy(update={"cursor": position})


def _stamp(service: str, path: str) -> str:
    return hashlib.blake2b(f"{service} {path}".encode(), digest_size=6).hexdigest()


def encode_cursor(*values: Any) -> str:
    """Write a position in a list as opaque text. Takes strings, integers, floats, UUIDs and zone-aware moments."""
    return base64.urlsafe_b64encode(orjson.dumps(values, default=str)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, *types: type) -> tuple[Any, ...] | None:
    """Read a position back; ``None`` stays ``None`` (the first page).

    ``types`` are what the list's sort key consists of (``int``, ``str``, ``float``, ``UUID``, ``datetime``). Anything that was not
    made by ``encode_cursor`` with the same types raises ``InvalidCursor`` (400), and never reaches the database.
    """
    if cursor is None:
        return None
    try:
        values = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise InvalidCursor("the cursor is malformed") from None
    if not isinstance(values, list) or len(values) != len(types):
        raise InvalidCursor("the cursor belongs to another list")
    return tuple(_typed(value, kind) for value, kind in zip(values, types, strict=True))


def _typed(value: Any, kind: type) -> Any:
    if kind is datetime and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return in_utc(moment)
        except ValueError:
            raise InvalidCursor("the cursor is malformed") from None
    elif kind is int and isinstance(value, int) and not isinstance(value, bool) and -_BIGINT <= value < _BIGINT:
        return value
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif kind is str and isinstance(value, str) and "\x00" not in value:
        return value
    elif kind is UUID and isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            raise InvalidCursor("the cursor is malformed") from None
    raise InvalidCursor("the cursor belongs to another list")
