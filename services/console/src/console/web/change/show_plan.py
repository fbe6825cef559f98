"""The plan of a change, as the service rehearsed it; and what pages carry from one step to the next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from console.client.change import Done, Plan, count
from console.client.commands import of_wish
from console.client.remainder import Left
from console.web.change.carried import carried
from console.web.pages import NotUnderstoodError, Visit

APPLY = "/apply"
"""Where a plan goes to be done."""


def show_kept(visit: Visit) -> web.StreamResponse:
    """Show the plan that a page carries once more: whoever looks at it now has not pressed yet, and does it in her own name."""
    return show_plan(visit, Plan.from_json(sent(visit, "plan")), currency=None)


def show_plan(visit: Visit, plan: Plan, *, currency: str | None, stays: Left | None = None) -> web.StreamResponse:
    """Answer with a plan. ``currency`` is that of its sums; ``stays``: what a refund of a sum leaves."""
    return visit.page(
        "change/plan.html",
        act=plan.wish.found(),
        plan=plan,
        stays=stays,
        sealed=carried(plan),
        outcomes=count(plan.items),
        command=of_wish(plan.wish, currency=currency),
    )


def sent(visit: Visit, name: str) -> Mapping[str, Any]:
    """Return what the page before carried. Raises ``NotUnderstoodError`` when it is not what we wrote."""
    try:
        kept = json.loads(str(visit.form.get(name, "")))
        (Done if name == "done" else Plan).from_json(kept)
    except (ValueError, TypeError, KeyError, LookupError):
        raise NotUnderstoodError(visit.words("This page does not hold a plan")) from None
    found: Mapping[str, Any] = kept
    return found
