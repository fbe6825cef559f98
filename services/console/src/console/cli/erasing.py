"""``customer erase``: in every service that holds some of a customer, rehearsed in all of them before one is asked to do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.acts import MANNER, REASON, manner_of
from console.cli.changing import Manner, ask, plan_file, reason_for
from console.cli.commands import Context, add
from console.cli.exits import EndedError, Exit
from console.cli.fields import offering
from console.cli.output import Columns
from console.client.operations import SERVICES, operations

if TYPE_CHECKING:
    from console.client.change import Done, Plan

_PATH = "/admin/v1/erasures"
_COLUMNS = Columns(("service", "places", "by_kind", "kept"), name="service")
_SERVICE = Annotated[
    list[str] | None, typer.Option(help="only there; as often as needed", autocompletion=offering(SERVICES))
]
_ORDER = Annotated[str | None, typer.Option(help="whom: the customer of this order")]
_PHONE = Annotated[str | None, typer.Option(help="whom: who has this phone")]
_EMAIL = Annotated[str | None, typer.Option(help="whom: who has this mail")]


async def erase(
    at: Context,
    *,
    order_number: _ORDER = None,
    phone: _PHONE = None,
    email: _EMAIL = None,
    service: _SERVICE = None,
    **given: Any,
) -> Exit | None:
    """Blank what names a customer, in all services; what money law wants kept stays (admin)."""
    from console.client.change import Wish, rehearse
    from console.client.suite import UnreachableError

    manner = manner_of(given)
    whom = {"order_number": order_number, "phone": phone, "email": email}
    fields = {name: held for name, held in whom.items() if held is not None}
    if len(fields) != 1:
        raise EndedError("whom: one of --order-number, --phone and --email")
    services = _services(service)
    why = reason_for(at, given.pop("reason"))
    wishes = [Wish(act="customer erase", service=each, reason=why, fields=fields) for each in services]
    try:
        plans = [await rehearse(at.suite, wish) for wish in wishes]
    except UnreachableError:
        at.out.note("Nothing was erased anywhere: what is not rehearsed in every service is done in none.")
        raise
    if manner.dry_run and at.out.for_programs:
        files = [plan_file(at, plan) for plan in plans]
        if len(files) == 1:
            at.out.thing(files[0])
        else:
            at.out.rows(files, _COLUMNS)
        return None
    if manner.dry_run:
        _show(at, plans)
        return None
    if not manner.yes:
        _show(at, plans, aside=True)
        ask(at)
    return await _carry_out(at, plans, manner)


async def _carry_out(at: Context, plans: Sequence[Plan], manner: Manner) -> Exit:
    """Erase service by service; one that fails keeps none of the others from it. Asked again it erases what is left."""
    from console.client.change import apply
    from console.client.suite import RefusedError, UnreachableError

    done: list[Done] = []
    failed = 0
    with at.out.progress("erasing") as progress:
        for plan in plans:
            try:
                found = await apply(at.suite, plan)
                problem = next((item.detail for item in found.refused), None)
            except (RefusedError, UnreachableError) as error:
                problem = str(error)
            if problem is None:
                done.append(found)
            else:
                failed += 1
                said = f"{plan.wish.service}: {problem}: not erased there, or not known; the same command again finishes it"
                at.out.note(said, style="red")
            progress(len(done) + failed, len(plans))
    _show(at, done)
    left = [each.plan.wish.service for each in done if manner.wait and await _is_left(at, each, manner)]
    if left:
        at.out.note(f"seen: something is left in {', '.join(left)}", style="red")
    elif manner.wait and done:
        many = len(done)
        at.out.note("seen: erased in 1 service" if many == 1 else f"seen: erased in {many} services")
    if not failed and not left:
        return Exit.DONE
    return Exit.PARTLY if done else Exit.REFUSED


async def _is_left(at: Context, done: Done, manner: Manner) -> bool:
    """Tell whether another rehearsal finds something yet."""
    from console.client.watching import watch

    act = done.plan.wish.found()
    return any([act.failed(state) async for seen in watch(at.suite, done, deadline=manner.timeout) for state in seen])


def _services(chosen: Sequence[str] | None) -> Sequence[str]:
    holders = [each for each in SERVICES if (each, "POST", _PATH) in operations()]
    if strangers := set(chosen or ()) - set(holders):
        raise EndedError(f"--service: no {', '.join(sorted(strangers))}; one of {', '.join(holders)}")
    return [each for each in holders if not chosen or each in chosen]


def _show(at: Context, found: Sequence[Plan | Done], *, aside: bool = False) -> None:
    rows = [_row(each) for each in found]
    if aside:
        for row in rows:
            at.out.note(f"  {row['service']}: places {row['places']} {row['by_kind']}")
        return
    at.out.rows(rows, _COLUMNS)
    at.out.note(f"places: {sum(row['places'] or 0 for row in rows)}, services: {len(rows)}")


def _row(found: Plan | Done) -> Mapping[str, Any]:
    wish = found.plan.wish if hasattr(found, "plan") else found.wish
    [item] = found.items
    return {"service": wish.service, **{name: item.shown.get(name) for name in ("places", "by_kind", "kept")}}


def build(app: typer.Typer) -> None:
    """Add it."""
    add(app, "erase", erase, more=[REASON, *MANNER])
