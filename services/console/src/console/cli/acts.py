"""The commands that change something, made of the client's table of acts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import typer

from common.reading.model import MAJOR_PARTS
from console.cli.changing import Manner, change, reason_for
from console.cli.commands import Context, add, parameter
from console.cli.exits import EndedError, Exit
from console.cli.fields import (
    argument,
    filter_words,
    given_fields,
    minor_units,
    offering,
    options,
    read,
    read_filter,
    read_moment,
)
from console.client.acts import Act
from console.client.operations import SERVICES, Operation
from console.client.parts import LISTED, PARTS, address_said
from console.client.things import THINGS, value

MANNER = (
    parameter(
        "dry_run",
        Annotated[bool, typer.Option("--dry-run", help="only rehearse; -o json prints a plan for `apply`")],
        False,
    ),
    parameter("yes", Annotated[bool, typer.Option("--yes", "-y", help="ask nothing")], False),
    parameter("wait", Annotated[bool, typer.Option("--wait", help="watch until the effect is seen")], False),
    parameter(
        "timeout", Annotated[float, typer.Option(min=0, metavar="SECONDS", help="seconds to watch at most")], 60.0
    ),
)
REASON = parameter(
    "reason",
    Annotated[str | None, typer.Option("--reason", "-r", metavar="TEXT", help="why; stands in the audit log")],
    None,
)
_SUMS = ("amount",)
_AT_LEAST = {
    "order correct": "--customer-phone +79990001122",
    "silence add": "--match-alert NAME --ends-at +2h",
    "known-defect add": "--match-alert NAME --development-ticket DEV-1",
    "duty override": "--person NAME --ends-at +8h",
    "ticket link": "--development-ticket DEV-1",
    "limits lift": "--phone +79990001122",
}
"""Of acts that need one of several options, or parts of one, what the example of their help says."""
_NOT_OFFERED = {"order recalculate": ("numbers",)}  # the names themselves say it
FindService = Callable[[Context, tuple[str, ...], str | None], Awaitable[str]]


def manner_of(given: dict[str, Any]) -> Manner:
    """Take the options of ``MANNER`` out of what was given."""
    return Manner(**{name: given.pop(name) for name in ("dry_run", "yes", "wait", "timeout")})


def add_act(app: typer.Typer, act: Act, *, find_service: FindService | None = None) -> None:
    """Add the command of an act. ``find_service``: several services have it alike; it says whose is meant, asked with ``--service``."""
    operation = act.operation
    hidden = _NOT_OFFERED.get(act.name, ())
    parts = {field: names for (name, field), names in PARTS.items() if name == act.name}
    offered = options(
        act.name, (field for field in operation.fields if field.name not in hidden), sums=_SUMS, parts=parts
    )
    whose = Annotated[str | None, typer.Option(help="whose, where several have it", autocompletion=offering(SERVICES))]
    more = [parameter("service", whose, None)] if find_service else []
    if act.compared:
        says = "the version that was looked at; what has changed since is left alone"
        more.append(
            parameter("expected_version", Annotated[int | None, typer.Option(min=0, metavar="NUMBER", help=says)], None)
        )
    more += [*_targets(act, operation), *offered, REASON, *MANNER]

    async def run(at: Context, **given: Any) -> Exit | None:
        """Rehearse, ask, apply, watch."""
        from console.client.change import Wish

        manner = manner_of(given)
        names = tuple(dict.fromkeys(given.pop("names", None) or ()))
        pairs, limit = given.pop("filter", None) or (), given.pop("limit", None)
        service = given.pop("service", None)
        chosen = read_filter(pairs, operation.filter, at.out.zone)
        why = given.pop("reason")
        version = given.pop("expected_version", None)
        fields = await _fields(at, act, given, names)
        if act.named and not _chosen(act, names, chosen, fields):
            raise EndedError("name some, or choose by --filter name=value" if act.many else "name one")
        if version is not None and len(names) != 1:
            raise EndedError("--expected-version: of one")
        if any(name.startswith("field_address__") and held is not None for name, held in given.items()):
            fields["address"], version = await _address(at, names, fields["address"], version)
        service = await find_service(at, names, service) if find_service else act.service
        if act.name == "order refund" and not fields and len(names) == 1:
            await _tell_what_is_left(at, names[0])
        if act.name == "order refund" and "amount" in fields and at.interactive and (manner.dry_run or not manner.yes):
            await _tell_what_stays(at, names[0], fields["amount"])
        why = reason_for(at, why)
        wish = Wish(
            act=act.name,
            service=service,
            reason=why,
            ids=names,
            filter=chosen,
            fields=fields,
            limit=limit,
            version=version,
        )
        return await change(at, wish, manner)

    about = f"{operation.summary} ({operation.role})"
    add(app, act.verb, run, more=more, about=about, example=_example(act))


def _example(act: Act) -> str:
    """Return how the act is rehearsed with no more than it needs."""
    words = ["ordersctl", act.noun, act.verb]
    words += [_metavar(act)] if act.named else []
    if at_least := _AT_LEAST.get(act.name):
        return " ".join([*words, at_least, '-r "why I do it"', "--dry-run"])
    for field in act.asked:
        said = next(iter(field.choices), "@file.json" if field.type in ("object", "array") else field.name.upper())
        if field is act.place:
            words.append(said)
        elif field.required:
            option = f"--{field.name.replace('_', '-')}"
            words.append(option if field.type == "boolean" else f"{option} {said}")
    return " ".join([*words, '-r "why I do it"', "--dry-run"])


def _metavar(act: Act) -> str:
    thing = THINGS.get(act.noun)
    return (thing.id if thing else act.key).upper()


def _targets(act: Act, operation: Operation) -> list[Any]:
    found = []
    if act.named:
        names = Annotated[
            list[str] | None, typer.Argument(metavar=_metavar(act), show_default=False, help="which: one or several")
        ]
        found.append(parameter("names", names, None))
    if act.place is not None:
        found.append(argument(act.place))
    if operation.filter:
        says = "instead of names: " + ", ".join(field.name for field in operation.filter)
        offered = offering(filter_words(act.name, operation.filter))
        option = typer.Option("--filter", "-f", metavar="NAME=VALUE", help=says, autocompletion=offered)
        pairs = Annotated[list[str] | None, option]
        found.append(parameter("filter", pairs, None))
    if operation.takes("limit"):
        at_most = Annotated[
            int | None,
            typer.Option(
                min=1, metavar="NUMBER", help="at most so many of those that match (else all, a plan after the other)"
            ),
        ]
        found.append(parameter("limit", at_most, None))
    return found


def _chosen(act: Act, names: tuple[str, ...], chosen: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> bool:
    """Some bulk changes can be asked for everything there is, in a field of their own."""
    return bool(names or chosen or (act.many and fields.get("all")))


async def _fields(at: Context, act: Act, given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    known = {field.name: field for field in act.asked}
    filled = given_fields(given)
    found: dict[str, Any] = {}
    for name, written in filled.items():
        if name in _SUMS and known[name].type == "integer":
            found[name] = minor_units(written, await _currency(at, names), f"--{name}")
        elif (act.name, name) in LISTED and not isinstance(written, str):
            found[name] = {part: [each.strip() for each in text.split(",")] for part, text in written.items()}
        else:
            found[name] = read(known[name], written, at.out.zone)
    if act.name == "duty override" and "ends_at" in found:
        found.setdefault("starts_at", read_moment("now", "--starts-at", at.out.zone))
    missing = [f"--{name.replace('_', '-')}" for name, field in known.items() if field.required and name not in found]
    if missing:
        raise EndedError(f"needed: {', '.join(missing)}")
    return found


async def _address(
    at: Context, names: tuple[str, ...], said: Mapping[str, str], version: int | None
) -> tuple[dict[str, str], int]:
    """Return what makes the order's address one with the parts that were said, and the version of the order that this is right for."""
    if len(names) != 1:
        raise EndedError("parts of an address are for one order")
    order = await THINGS["order"].read(at.suite, names[0])
    known = value(order, "address.parts") or {}
    if not known and value(order, "address.text") and said.keys() & set(MAJOR_PARTS):
        raise EndedError(f"the address of order {names[0]} was said in words: say the whole of it with --address")
    return address_said(known, {**known, **said}), order["version"] if version is None else version


async def _tell_what_is_left(at: Context, number: str) -> None:
    """Say what a refund without a sum means, before anybody agrees to it."""
    from console.client.money import sum_of
    from console.client.remainder import left_of

    left = await left_of(at.suite, number)
    if left is None:
        at.out.note("without --amount: all that is left of the captured sum")
        return
    sum_ = sum_of("amount", left.amount, left.currency, language=at.out.language)
    if left.payment is None:
        at.out.note(
            f"without --amount: all that was captured; nothing was given back yet of this order, which comes to {sum_}"
        )
    elif left.amount > 0:
        at.out.note(f"without --amount: all that is left, {sum_} of payment {left.payment}")
    else:
        gone = sum_of("amount", left.gone, left.currency, language=at.out.language)
        at.out.note(f"nothing is left of payment {left.payment}: {gone} were given back, or are on their way")


async def _tell_what_stays(at: Context, number: str, amount: int) -> None:
    """Say what a refund of a sum leaves, before anybody agrees to it; nothing where it does not fit, or nobody can tell."""
    from console.client.money import sum_of
    from console.client.remainder import left_of

    left = await left_of(at.suite, number)
    if left is None or amount > left.amount:
        return
    stays = sum_of("amount", left.amount - amount, left.currency, language=at.out.language)
    if left.payment is None:
        at.out.note(f"{stays} stays of what the order comes to; nothing was given back yet of it")
    else:
        at.out.note(f"{stays} stays of payment {left.payment}")


async def _currency(at: Context, names: tuple[str, ...]) -> str:
    """The currency of the one order that a sum is meant for."""
    if len(names) != 1:
        raise EndedError("a sum is for one order")
    currency = value(await THINGS["order"].read(at.suite, names[0]), "totals.currency")
    if not isinstance(currency, str):
        raise EndedError(f"order {names[0]} has no currency", Exit.REFUSED)
    return currency
