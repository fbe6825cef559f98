"""The recipes that an incident offers, in words, and what became of the last request for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from notifier.incidents.kinds import recipe_of
from notifier.incidents.model import ProblemFact, RecipeName

NO_TOKEN = "no_key_of_own"  # noqa: S105 - the code of an error


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferWords:
    """What a recipe is called, what it does, and the least role that may."""

    label: str
    does: str
    role: Literal["operator", "admin"]


OFFERS: Mapping[RecipeName, OfferWords] = {
    "retry_workflow": OfferWords(
        label="Retry the workflow",
        does="The orchestrator lets the crashed workflow try again, in your name; the incident ends once that has worked.",
        role="operator",
    ),
    "restart_refund": OfferWords(
        label="Restart the refund",
        does="The refunds service sends the failed refund again, or adopts what the payment system says, in your name; "
        "then the incident is over.",
        role="operator",
    ),
}


def offers_of(fact: ProblemFact, requests: Sequence[Mapping[str, Any]], *, with_token: bool) -> list[dict[str, Any]]:
    """Return what `RecipeOffer` shows. ``requests``: the last request for each; ``with_token``: whether who asks has a token there."""
    recipe = recipe_of(fact)
    if recipe is None:
        return []
    words = OFFERS[recipe.name]
    last = next((request for request in requests if request["recipe"] == recipe.name), None)
    return [
        {
            "name": recipe.name,
            "label": words.label,
            "does": words.does,
            "role": words.role,
            "target": recipe.target,
            "refusal": None if with_token else NO_TOKEN,
            "last": last,
        }
    ]
