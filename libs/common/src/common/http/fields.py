"""Types of fields that come from outside, without the values that pydantic lets through and the rest of the suite cannot hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

_TICK = timedelta(microseconds=1)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC) + _TICK, datetime.max.replace(tzinfo=UTC) - _TICK


def in_utc(moment: datetime) -> datetime:
    """Return a moment that has a zone in UTC. Raises ``ValueError`` where that lies before the year 1 or after 9999.

    `0001-01-01T00:00:00+14:00` is well-formed, but neither asyncpg nor any arithmetic can take it. The very first and the very last moment
    are moved by a microsecond: to asyncpg they are PostgreSQL's infinities, which it gives back without a zone.
    """
    try:
        return min(max(moment.astimezone(UTC), _FIRST), _LAST)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from None


def says_something(text: str) -> bool:
    """Tell whether a text holds anything that can be seen: blanks, zero-width characters and controls say nothing."""
    return any(character.isprintable() and not character.isspace() for character in text)


def blank_texts(value: Any, place: tuple[str, ...] = ()) -> Iterator[str]:
    """Return where a model holds a text that is not empty and says nothing. What it holds as plain JSON is not looked at."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from blank_texts(getattr(value, name), (*place, field.alias or name))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from blank_texts(item, (*place, str(number)))
    elif isinstance(value, str) and value and not says_something(value):
        yield ".".join(place)


def _no_parts(value: Any) -> Any:
    if isinstance(value, list | tuple):
        raise PydanticCustomError("decimal_type", "Decimal input should be an integer, float, string or Decimal object")
    return value


def as_json(value: Any) -> Any:
    """Return what can be written as JSON again. Raises ``ValueError`` for what cannot."""
    try:
        orjson.dumps(value)
    except TypeError:
        raise ValueError("a number in it has more than 64 bits, or it is nested too deeply") from None
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(as_json)]
"""An object that can be written as JSON again."""

Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
"""A moment with a zone, as UTC; one that UTC cannot name does not fit."""

TraceId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="a trace: its 32 hexadecimal digits")]
"""The part of a ``traceparent`` that all of one trace have in common: ``substr(traceparent, 4, 32)``, as the indexes have it."""

PlainDecimal = Annotated[Decimal, BeforeValidator(_no_parts)]
"""A decimal from a number or a string. pydantic also builds one from a list of three (sign, digits, exponent), or fails to with a bare
``ValueError`` that is no ``ValidationError``: no caller means that.
"""
