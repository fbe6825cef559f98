"""What an answer to a change says, without what every such answer has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_BULK = ("dry_run", "plan", "matched", "more", "items", "already_applied", "notices", "warnings", "lines")
"""And the lines of a refund, which say its positions again as the refunds service is asked for them."""


def of_the_whole(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer says of the change as a whole."""
    return {name: held for name, held in answer.items() if name not in _OF_BULK}


def of_one(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer says of the one thing that was asked for: with it what it lists, one as if it were the answer itself."""
    told, listed = of_the_whole(answer), answer.get("items")
    if not isinstance(listed, list) or not listed:
        return told
    made = [{name: held for name, held in each.items() if name != "id"} for each in listed if isinstance(each, Mapping)]
    return {"id": listed[0].get("id"), **(made[0] if len(made) == 1 else {"items": listed}), **told}
