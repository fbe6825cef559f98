"""Every change in three steps: fill in, look at what the service says would happen, do exactly that; then watch until it is seen.

The plan travels in the page, so nothing is kept here but, for a minute, what was seen: a page sent twice, to another replica, or after a
restart has the service do it once, because the plan carries its idempotency key. It names the person's own wish and is sent with her token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS, Act
from console.client.change import Done, Plan, Wish, apply, count, rehearse, version_of
from console.client.money import currency_of
from console.client.remainder import left_of
from console.client.suite import RefusedError
from console.client.things import THINGS
from console.web.change.carried import carried
from console.web.change.forms import SHORTEST_REASON, filled_in, inputs
from console.web.change.prefilled import prefilled, standing
from console.web.change.show_form import act_asked, chosen_of, currency_asked, filled_form, named, show_form
from console.web.change.show_plan import APPLY, sent, show_plan
from console.web.change.structure import expanded, names_of
from console.web.change.watches import Watches
from console.web.lists.filtering import ALL
from console.web.pages import Console, NotUnderstoodError, Visit

_LOOK_EVERY_S = 1.0


def routes(console: Console) -> list[Route]:
    """Return the routes of every change."""
    watches = Watches(every=_LOOK_EVERY_S)
    return [
        console.get("/change/{noun}/{verb}", _fill_in, summary="Fill a change in"),
        console.post("/change/{noun}/{verb}", _rehearse, summary="Rehearse a change"),
        console.post(APPLY, partial(_apply, watches), summary="Do what was rehearsed"),
        console.post("/watch", partial(_watch, watches), summary="See what became of it"),
        console.get(
            "/watched/{name}", partial(_watched, watches), summary="The same for a page that is watching", streamed=True
        ),
        console.post("/next", _next, summary="Rehearse it for the next ones that match"),
    ]


async def _fill_in(visit: Visit) -> web.StreamResponse:
    act = act_asked(visit)
    query = visit.raw.query
    ids, chosen = chosen_of(query.getall("ids", []), query, everything=query.get("all") == "1")
    seen = await _version(visit, act, ids)  # read first: what stands in the form is of this version, or newer
    before = await _before(visit, act, ids)
    given = {**seen, **before, **await _standing(visit, act, ids), **_of_address(act, query)}
    problem = _not_for_many(visit, act, ids)
    return await show_form(visit, act, ids=ids, chosen=chosen, given=given, before=before, problem=problem)


def _not_for_many(visit: Visit, act: Act, ids: tuple[str, ...]) -> NotUnderstoodError | None:
    """Return what is wrong with an act on several: one sum and one choice of goods belong to one order."""
    if act.name != "order refund" or len(ids) < 2:
        return None
    return NotUnderstoodError(visit.words("A sum is for one order: choose one"))


async def _standing(visit: Visit, act: Act, ids: tuple[str, ...]) -> dict[str, str]:
    if act.name != "flag set" or len(ids) != 1 or visit.refusal(act):
        return {}
    try:
        return standing(act.name, await THINGS[act.noun].read(visit.person.suite, ids[0]))
    except RefusedError:
        return {}


def _of_address(act: Act, query: Mapping[str, str]) -> dict[str, str]:
    """Return what an address fills in: a ``reason``, and ``field.NAME=…``, of what has parts as JSON or part by part."""
    found = {name: query[name] for name in ("reason",) if name in query}
    for each in inputs(act):
        parts = [] if each.structure is None else names_of(each.name, each.structure, query)
        found |= {name: query[name] for name in (each.name, *parts) if name in query}
        if each.structure is not None and each.name in found:
            found |= expanded(each.name, each.structure, found.pop(each.name))
    return found


async def _version(visit: Visit, act: Act, ids: tuple[str, ...]) -> dict[str, str]:
    """Return what the form carries so that nothing is changed that is otherwise than it shows."""
    if not act.compared or len(ids) != 1 or visit.refusal(act):
        return {}
    try:
        found = await version_of(visit.person.suite, act, ids[0])
    except RefusedError:
        return {}
    return {} if found is None else {"version": str(found)}


async def _before(visit: Visit, act: Act, ids: tuple[str, ...]) -> dict[str, str]:
    """Return what stands in the form of an act on one order."""
    if act.noun != "order" or len(ids) != 1 or not any(each.structure for each in inputs(act)) or visit.refusal(act):
        return {}
    try:
        order = await THINGS["order"].read(visit.person.suite, ids[0])
    except RefusedError:
        return {}
    return prefilled(act.name, order, currency_of(order))


async def _rehearse(visit: Visit) -> web.StreamResponse:
    act = act_asked(visit)
    ids, chosen = named(visit)
    try:
        plan = await rehearse(visit.person.suite, await _wish(visit, act, ids=ids, chosen=chosen))
    except (NotUnderstoodError, RefusedError) as error:
        status = error.status if isinstance(error, RefusedError) else HTTPStatus.BAD_REQUEST
        return await filled_form(visit, error, status=status)
    amount: int | None = plan.wish.fields.get("amount") if act.name == "order refund" and len(ids) == 1 else None
    left = await left_of(visit.person.suite, ids[0]) if amount is not None else None
    stays = replace(left, amount=left.amount - amount) if left and amount and amount <= left.amount else None
    return show_plan(visit, plan, currency=await currency_asked(visit, act, ids), stays=stays)


async def _next(visit: Visit) -> web.StreamResponse:
    """The next ones that match, beside those that were in this plan and in those before it, whatever became of them."""
    wish = Done.from_json(sent(visit, "done")).plan.next_ones
    if wish is None:
        raise NotUnderstoodError(visit.words("Nothing is chosen"))
    return show_plan(visit, await rehearse(visit.person.suite, wish), currency=None)


async def _wish(visit: Visit, act: Act, *, ids: tuple[str, ...], chosen: Mapping[str, str] | None) -> Wish:
    """Return what was filled in. Raises ``NotUnderstoodError`` in the person's words."""
    reason = str(visit.form.get("reason", "")).strip()
    if len(reason) < SHORTEST_REASON:
        raise NotUnderstoodError(visit.words("Say why, in a few words: it stands in the audit log"))
    if act.named and not ids and chosen is None:
        raise NotUnderstoodError(visit.words("Nothing is chosen"))
    seen = str(visit.form.get("version", ""))
    if (problem := _not_for_many(visit, act, ids)) is not None:
        raise problem
    fields = filled_in(
        act,
        visit.form,
        currency=await currency_asked(visit, act, ids),
        zone=visit.zone,
        words=visit.words,
    )
    if chosen == {} and act.operation.takes(ALL):
        fields, chosen = {**fields, ALL: True}, None
    return Wish(
        act=act.name,
        reason=reason,
        service=act.service,
        ids=ids,
        filter=chosen,
        fields=fields,
        limit=act.operation.most_at_once if chosen is not None else None,
        version=int(seen) if act.compared and len(ids) == 1 and seen.isdecimal() else None,
    )


async def _apply(watches: Watches, visit: Visit) -> web.StreamResponse:
    plan = Plan.from_json(sent(visit, "plan"))
    done = await apply(visit.person.suite, plan)
    return visit.page("change/done.html", **await _seen(watches, visit, done))


async def _watch(watches: Watches, visit: Visit) -> web.StreamResponse:
    seen = await _seen(watches, visit, Done.from_json(sent(visit, "done")))
    if visit.raw.headers.get("HX-Request"):
        return _part(visit, "change/watched.html", seen)
    return visit.page("change/done.html", **seen)


async def _watched(watches: Watches, visit: Visit) -> web.StreamResponse:
    """Answer with what is seen now; the page sends what was done only where nobody remembers it."""
    name = visit.path["name"]
    looked = await watches.again(visit.person.suite, name)
    seen = {"watched": name, "looked": looked, "forgotten": looked is None, "repair": ACTS["ticket open"]}
    return _part(visit, "change/seen.html", seen)


async def _seen(watches: Watches, visit: Visit, done: Done) -> dict[str, Any]:
    sealed = carried(done)
    name, looked = await watches.begin(visit.person.suite, done, sealed)
    return {
        "act": done.plan.wish.found(),
        "done": done,
        "outcomes": count(done.items),
        "sealed": sealed,
        "watched": name,
        "looked": looked,
        "forgotten": False,
        "repair": ACTS["ticket open"],
    }


def _part(visit: Visit, template: str, values: Mapping[str, Any]) -> web.Response:
    return web.Response(text=visit.fragment(template, **values), content_type="text/html", charset="utf-8")
