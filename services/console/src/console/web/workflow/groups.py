"""Groups of workflows that stand still alike: the filter that matches the whole group, and what can be done to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ACTS = {"crashed": ("retry", "stop"), "stopped": ("resume",)}


def filter_of(group: Mapping[str, Any]) -> dict[str, str]:
    """Return the filter of the list and of bulk changes that matches the whole group, and perhaps others: a plan shows each.

    Others of its kind and state that failed with the same code, for the filter's ``error`` is that of a workflow's latest failure; of a
    group without code and error (people stopped it, nothing failed) all others of its kind and state.
    """
    chosen = {"state": str(group["state_name"]), "kind": str(group["kind"])}
    for name in ("code", "error"):
        if group[name]:
            return {**chosen, name: str(group[name])}
    return chosen


def acts_in(state: str) -> tuple[str, ...]:
    """Return what can be done to workflows in a state."""
    return _ACTS.get(state, ())
