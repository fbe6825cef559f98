"""``duty now|weeks|take|swap``: who answers, who is next, and two weeks that change places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.acts import MANNER, REASON, manner_of
from console.cli.changing import change, reason_for
from console.cli.commands import Context, add
from console.cli.exits import EndedError, Exit
from console.cli.fields import read_moment
from console.cli.output import Columns

if TYPE_CHECKING:
    from console.client.models.notifier import OnCallView, RosterView

_WEEKS = Columns(("starts_at", "ends_at", "on_duty", "backup"), name="starts_at")


async def now(at: Context) -> Exit | None:
    """Say who is on duty now and who is next. 1: nobody is."""
    said: OnCallView = await at.suite.get("notifier", "/admin/v1/on-call")
    at.out.thing(said, name="on_duty.id")
    if not said.get("on_duty"):
        at.out.note("nobody is on duty", style="red")
        return Exit.REFUSED
    return None


async def weeks(at: Context) -> Exit | None:
    """Show the weeks to come, the overrides over them and the gaps. 1: there are gaps."""
    said: RosterView = await at.suite.get("notifier", "/admin/v1/roster")
    if at.out.for_programs:
        at.out.thing(said)
    else:
        at.out.rows(said["shifts"], _WEEKS)
        for each in said["overrides"]:
            at.out.note(
                f"override {each['id']}: {each['place']} {each['person']} "
                f"{at.out.readable(each, 'starts_at')} to {at.out.readable(each, 'ends_at')}"
            )
        for gap in said["gaps"]:
            at.out.note(
                f"nobody: {at.out.readable(gap, 'starts_at')} to {at.out.readable(gap, 'ends_at')}", style="red"
            )
    return Exit.REFUSED if said["gaps"] else None


async def swap(
    at: Context,
    *,
    first: Annotated[str, typer.Argument(metavar="MONDAY")],
    second: Annotated[str, typer.Argument(metavar="MONDAY")],
    **given: Any,
) -> Exit | None:
    """Have two weeks, named by their Mondays, change places (operator)."""
    from datetime import date

    from console.client.change import Wish

    try:
        mondays = [date.fromisoformat(first).isoformat(), date.fromisoformat(second).isoformat()]
    except ValueError:
        raise EndedError("a Monday is a date such as 2026-12-07") from None
    manner = manner_of(given)
    wish = Wish(
        act="duty override", service="notifier", reason=reason_for(at, given["reason"]), fields={"swap": mondays}
    )
    return await change(at, wish, manner)


async def take(
    at: Context,
    *,
    until: Annotated[
        str | None, typer.Option("--until", help="a time, or +12h; to the end of the running shift unless given")
    ] = None,
    **given: Any,
) -> Exit | None:
    """Take over duty now, yourself (operator)."""
    from console.client.change import Wish

    said: OnCallView = await at.suite.get("notifier", "/admin/v1/on-call")
    ends = read_moment(until, "--until", at.out.zone) if until else said["until"]
    if ends is None:
        raise EndedError("--until: no shift is running whose end could be taken")
    manner = manner_of(given)
    me = (await at.suite.get("notifier", "/admin/v1/whoami"))["name"]
    fields = {"person": me, "starts_at": read_moment("now", "now", at.out.zone), "ends_at": ends}
    wish = Wish(act="duty override", service="notifier", reason=reason_for(at, given["reason"]), fields=fields)
    return await change(at, wish, manner)


def build(app: typer.Typer) -> None:
    """Add them."""
    add(app, "take", take, more=[REASON, *MANNER])
    add(app, "now", now)
    add(app, "weeks", weeks)
    add(app, "swap", swap, more=[REASON, *MANNER])
