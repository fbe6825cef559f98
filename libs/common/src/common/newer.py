"""Reads a member of an enumeration from a table that a newer release may write, too."""

from enum import Enum
from typing import Any, TypeVar

EnumT = TypeVar("EnumT", bound=Enum)


def member(of: type[EnumT], value: Any) -> EnumT:
    """Return the member; for a value that this release does not know one that equals no other, named as it is written."""
    try:
        return of(value)
    except ValueError:
        kind: Any = type(next(iter(of)).value)
        unknown: EnumT = kind.__new__(of, value)
        unknown._name_, unknown._value_ = str(value), value
        return unknown
