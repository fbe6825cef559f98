"""One thing of a plan, or what became of it, as services answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from console.client.suite import CHANGED_SINCE, one_word


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing of a plan, or what became of it: in the service's words.

    ``notices``: the messages to people that follow; None where the service, of another release, does not say.
    """

    id: str
    outcome: str
    detail: str | None = None
    code: str | None = None
    version: int | None = None
    notices: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    shown: Mapping[str, Any] = field(default_factory=dict)


def item_of(said: Mapping[str, Any]) -> Item:
    """Return an item of the answer to a bulk change."""
    own = ("id", "version", "outcome", "code", "detail", "notices", "warnings")
    code = None if said.get("code") is None else one_word(said["code"])
    return Item(
        id=str(said["id"]),
        version=said.get("version"),
        outcome=CHANGED_SINCE if code == CHANGED_SINCE else str(said["outcome"]),
        code=code,
        detail=said.get("detail"),
        notices=texts_of(said.get("notices")),
        warnings=texts_of(said.get("warnings")) or (),
        shown={name: value for name, value in said.items() if name not in own},
    )


def items_of(kept: Mapping[str, Any]) -> tuple[Item, ...]:
    """Return the items of a plan, or of what was done, that was kept."""
    return tuple(
        Item(**{**each, "notices": texts_of(each.get("notices")), "warnings": texts_of(each.get("warnings")) or ()})
        for each in kept["items"]
    )


def texts_of(said: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return what is said, None where nothing is."""
    return None if said is None else tuple(said)
