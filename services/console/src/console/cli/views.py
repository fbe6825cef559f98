"""What is seen in a way of its own: the evidence of a refund, the sources of hooks, switches, and why tips are what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.commands import Context, add
from console.cli.exits import Exit
from console.cli.output import Columns
from console.cli.things import add_list, add_show, columns_of
from console.client.operations import filled
from console.client.things import THINGS

if TYPE_CHECKING:
    from console.client.models.tips import ExplanationView

_ID = Annotated[str, typer.Argument(metavar="ID")]
_HISTORY = Columns(("at", "before_name", "after_name", "attempt", "happened", "actor", "detail"), name="at")
_SOURCES = Columns(
    ("source", "received", "refused", "quarantined", "last_at", "last_event", "last_outcome"), name="source"
)
_RULES = Columns(("decision", "rule", "orders", "last_at"), name="rule")
_DIFFERENCES = Columns(
    (
        "differed_at",
        "order_number",
        "decision",
        "rule",
        "own_amount",
        "service_amount",
        "own_hold",
        "service_hold",
        "currency",
    ),
    name="order_number",
)
_STEPS = Columns(("decision", "rule", "outcome", "detail", "source"), name="rule")


async def evidence(at: Context, *, refund: _ID) -> Exit | None:
    """Show every attempt of a refund, and what the payment system was asked and answered, in its own words."""
    at.out.thing(await at.suite.get("refunds", filled("/admin/v1/refunds/{id}/evidence", id=refund)))
    return None


async def history(at: Context, *, refund: _ID) -> Exit | None:
    """Show every change of state of a refund."""
    page = await at.suite.page("refunds", filled("/admin/v1/refunds/{id}/history", id=refund))
    at.out.rows(page.items, _HISTORY)
    return None


async def sources(at: Context) -> Exit | None:
    """Show what each source of hooks sent in the last day, and its last hook."""
    from console.client.sources import sources as look

    found = await look(at.suite)
    at.out.rows(found, _SOURCES)
    for refused in (each for source in found for each in source["refused_for"]):
        at.out.note("refused: " + "  ".join(f"{name} {held}" for name, held in refused.items()))
    return None


async def get_flag(at: Context, *, name: Annotated[str | None, typer.Argument(metavar="NAME")] = None) -> Exit | None:
    """Show one switch, or all."""
    flag = THINGS["flag"]
    if name is None:
        at.out.rows((await flag.page(at.suite)).items, columns_of(flag))
    else:
        at.out.thing(await flag.read(at.suite, name), name="name")
    return None


async def explain(at: Context, *, number: Annotated[str, typer.Argument(metavar="NUMBER")]) -> Exit | None:
    """Explain the tips of an order, rule by rule."""
    said: ExplanationView = await at.suite.get("tips", "/admin/v1/explain", order_id=number)
    if at.out.for_programs:
        at.out.thing(said)
        return None
    decisions = [(name, said[name]) for name in ("tips", "hold") if said.get(name)]
    at.out.rows([{"decision": name, **step} for name, each in decisions for step in each["steps"]], _STEPS)
    for name, each in decisions:
        at.out.note(f"{name}: " + "  ".join(f"{key} {held}" for key, held in each.items() if key != "steps"))
    return None


async def shadow(
    at: Context, *, since: Annotated[str | None, typer.Option(help="from when on: a time, or -1d; else a week")] = None
) -> Exit | None:
    """Say how well the tips service agrees with the own rules, where shadow mode compares them. 1: they differ."""
    from console.cli.fields import read_moment

    moment = None if since is None else read_moment(since, "--since", at.out.zone)
    said: Mapping[str, Any] = await at.suite.get("orchestrator", "/admin/v1/tips/shadow", since=moment)
    if at.out.for_programs:
        at.out.thing(said)
    else:
        counted = "  ".join(f"{name} {said[name]}" for name in ("compared", "agreed", "differed", "failed"))
        at.out.note(
            f"{counted}  since {at.out.readable(said, 'since')}, the first at {at.out.readable(said, 'first_at') or '-'}"
        )
        at.out.rows(said["rules"], _RULES)
        at.out.rows(said["differences"], _DIFFERENCES)
    return Exit.REFUSED if said["differed"] else None


def build_refund(app: typer.Typer) -> None:
    """Add what only refunds have."""
    add(app, "evidence", evidence)
    add(app, "history", history)


def build_intake(app: typer.Typer) -> None:
    """Add what only the intake has."""
    add_list(app, "countdown", "countdowns")
    add_show(app, "countdown", "countdown")
    add_list(app, "unarrived", "unarrived")
    add(app, "sources", sources)


def build_flag(app: typer.Typer) -> None:
    """Add what only switches have."""
    add(app, "get", get_flag)


def build_tips(app: typer.Typer) -> None:
    """Add ``explain`` and ``shadow``."""
    add(app, "explain", explain)
    add(app, "shadow", shadow)
