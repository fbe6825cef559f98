"""The form of a change: what it is done to, what was filled in so far, what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from console.client.acts import BY_FILE, Act, act_of
from console.client.money import currency_of
from console.client.remainder import left_of
from console.client.suite import RefusedError
from console.client.things import THINGS
from console.web.change.forms import BEFORE, inputs
from console.web.change.structure import rows_of
from console.web.lists.filtering import PRIVATE
from console.web.marked import Line, marked
from console.web.pages import NotUnderstoodError, Visit, names

_FILTER = "filter."


async def filled_form(
    visit: Visit, problem: NotUnderstoodError | RefusedError | None = None, *, status: int = 200
) -> web.StreamResponse:
    """Answer with the form of a change as it was filled in."""
    given = {name: str(text) for name, text in visit.form.items() if isinstance(text, str)}
    ids, chosen = named(visit)
    return await show_form(visit, act_asked(visit), ids=ids, chosen=chosen, given=given, problem=problem, status=status)


async def show_form(
    visit: Visit,
    act: Act,
    *,
    ids: tuple[str, ...],
    chosen: Mapping[str, str] | None,
    given: Mapping[str, str],
    before: Mapping[str, str] | None = None,
    problem: NotUnderstoodError | RefusedError | None,
    status: int = 200,
) -> web.StreamResponse:
    """Answer with the form of a change; ``problem`` is what was wrong with what was sent."""
    if before is None:  # it was sent, and says itself how it stood when it was made
        before = {name.removeprefix(BEFORE): text for name, text in given.items() if name.startswith(BEFORE)}
    return visit.page(
        "change/form.html",
        status=status,
        act=act,
        ids=ids,
        chosen=chosen,
        inputs=inputs(act),
        given=given,
        before=before,
        rows_of=rows_of,
        problem=problem,
        lines=_marked(act, given, problem),
        refusal=visit.refusal(act),
        currency=await currency_asked(visit, act, ids),
        left=await left_of(visit.person.suite, ids[0]) if act.name == "order refund" and len(ids) == 1 else None,
    )


def _marked(act: Act, given: Mapping[str, str], problem: Exception | None) -> Sequence[Line] | None:
    """Return the body that somebody mended and that was not taken, with what is wrong at its place; None where no body was sent."""
    body = next((given[each.name] for each in inputs(act) if each.kind == "json" and given.get(each.name)), None)
    if problem is None or act.verb != "mend" or body is None:
        return None
    faults: Sequence[Mapping[str, str]] = getattr(problem, "fields", ())
    return marked(body, [each for each in faults if {"field", "code", "message"} <= each.keys()])


def act_asked(visit: Visit) -> Act:
    """Return the act that an address names. Raises ``HTTPNotFound`` when there is none."""
    name = f"{visit.path['noun']} {visit.path['verb']}"
    service = visit.form.get("service") or visit.raw.query.get("service")
    if name in BY_FILE:
        raise web.HTTPNotFound
    try:
        act = act_of(name, str(service) if service else None)
        _ = act.operation  # which the service may not have
    except LookupError:
        raise web.HTTPNotFound from None
    return act


def named(visit: Visit) -> tuple[tuple[str, ...], Mapping[str, str] | None]:
    """Return what a form was filled in for."""
    form = visit.form
    return chosen_of([str(name) for name in form.getall("ids", [])], form, everything=form.get("all") == "1")


def chosen_of(
    ids: list[str], given: Mapping[str, Any], *, everything: bool
) -> tuple[tuple[str, ...], Mapping[str, str] | None]:
    """Return the named things, or with ``everything`` the filter of what the person saw."""
    if not everything:
        return names(ids), None
    chosen = {
        name.removeprefix(_FILTER): str(text) for name, text in given.items() if name.startswith(_FILTER) and text
    }
    return (), {name: text for name, text in chosen.items() if name not in PRIVATE}


async def currency_asked(visit: Visit, act: Act, ids: tuple[str, ...]) -> str | None:
    """Return the currency of the order whose money it is."""
    if act.noun != "order" or len(ids) != 1 or not any(each.kind == "money" for each in inputs(act)):
        return None
    try:
        found = currency_of(await THINGS["order"].read(visit.person.suite, ids[0]))
    except RefusedError:
        return None
    return str(found) if found else None
