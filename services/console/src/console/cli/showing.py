"""How a change is shown to people: its plan before, what was done after, what it made, and who is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from console.cli.commands import Context
from console.cli.output import Columns, Output, flat
from console.client.made import made_by, names_in, next_of
from console.client.money import amount_told, difference_told
from console.client.things import value

if TYPE_CHECKING:
    from console.client.change import Done, Item, Plan

_MOST_ASIDE = 200
_ASIDE = frozenset({"number", "business_key", "payment_id", "currency", "holder", "held_since"})
"""What the answer says again, or what only machines need: whoever wants it asks for JSON."""
_IN_WORDS = frozenset(
    {
        *("plan", "shifts", "overrides", "replaced", "would_have_muted", "positions", "items", "changed_by"),
        *("changed_at", "change", "incidents"),
    }
)
"""What is said in words of its own, or is a column."""
_WHOLE = frozenset({"workflow", "original", "event", "appended", "refund", "defect"})
"""Whole things within an answer: their names and states are said, `show` says the rest."""
_OF_A_THING = frozenset({"id", "state", "state_name", "order_number", "type", "amount", "match", "ended_at"})


def show_plan(at: Context, plan: Plan, *, aside: bool = False, plans: int = 1) -> None:
    """Show what would happen, item by item; ``aside``: the first ones on stderr, for the result is still to come.

    ``plans``: how many it is made of.
    """
    wish = plan.wish
    out = at.out
    if aside:
        for item in plan.items[:_MOST_ASIDE]:
            out.note("  " + _sentence(item, out))
        if len(plan.items) > _MOST_ASIDE:
            out.note(f"  and {len(plan.items) - _MOST_ASIDE} more: --dry-run shows each")
    else:
        show_items(out, wish.act, plan.items)
    if not aside:
        show_next(out, wish.act, plan.items, done=False)
    if isinstance(match := wish.fields.get("match"), Mapping):
        traits = ((name, held if isinstance(held, list | tuple) else [held]) for name, held in match.items())
        out.note("for: " + ", ".join(f"{name}={each}" for name, patterns in traits for each in patterns))
    out.note(
        f"plan: {wish.act} on {at.profile.name}: {counted(Counter(item.outcome for item in plan.items)) or 'nothing'}"
    )
    if plan.shown and not plan.items:
        out.note(in_words(plan.shown, out))
    if plans > 1:
        out.note(f"{len(plan.items)} items in {plans} plans, which are applied one after the other")
    if plan.more:
        out.note(f"{plan.matched} match: {plan.matched - len(plan.items)} are in no plan")


def show_items(out: Output, act: str, items: tuple[Item, ...]) -> None:
    """Show what would be done or was, thing by thing; to people beneath each what follows from it, and who is told."""
    rows = [{**shown(item, told=True), "made": _other_id(act, item)} for item in items]
    out.rows(rows, columns(act, items, people=out.for_people))
    if out.for_people:
        for item in items:
            about = f"{shown(item)['id']}: " if len(items) > 1 else ""
            out.lines(f"{about}{line}" for line in [*_effects(item, out), *_told(item, out)])
    elif not out.for_programs:
        for item in items:
            for line in (*_handed_over(item, out), *difference_told(item.shown, language=out.language)):
                out.note(line)


def show_made(out: Output, done: Done) -> None:
    """Say which commands show what a change made."""
    act = done.plan.wish.act
    made = dict.fromkeys(each for item in done.items for each in made_by(act, item))
    for each in list(made)[:_MOST_ASIDE]:
        out.note(f"made: ordersctl {_command(each.noun, each.name, of=each.of)}")
    show_next(out, act, done.items)


def show_next(out: Output, act: str, items: tuple[Item, ...], *, done: bool = True) -> None:
    """Say which commands lead on. ``done``: from what was done, and not only rehearsed."""
    found = [(each, item) for item in items if (each := next_of(act, item, done=done))]
    for each, item in found[:_MOST_ASIDE]:
        more = " --body @FILE" if each.verb == "mend" else " --despite-duplicates" * (item.code == "likely_duplicates")
        out.note(f"next: ordersctl {each.noun} {each.verb} {item.id}{more}")


def _command(noun: str, name: str, *, of: bool) -> str:
    from console.client.commands import of_list, of_one

    said = of_list(noun, {"order": name}) if of else of_one(noun, name)
    return str(said).removeprefix("ordersctl ")


def shown(item: Item, *, told: bool = False) -> Mapping[str, Any]:
    """Return an item as it is shown; ``told``: to people, who are told what an open amount means. What is done to nothing that has a
    name goes by the name of what it made."""
    found = asdict(item)
    own = amount_told(found.pop("shown")) if told else found.pop("shown")
    found["notices"], found["warnings"] = list(item.notices or ()), list(item.warnings)
    named = found["id"] or own.get("id")
    return {**own, **found, "id": "" if named is None else str(named)}


def _other_id(act: str, item: Item) -> Any:
    """Return the id of what was made of a thing that has one itself, such as a comment on a ticket."""
    own = item.shown.get("id")
    return own if item.id and "id" in names_in(act) and str(own) != item.id else None


def columns(act: str, items: tuple[Item, ...], *, people: bool) -> Columns:
    """The columns of the outcome, and what the service says of its own about such items, if that is a word or the chosen goods.

    ``people``: they read beneath the table who is told, and of what they are warned.
    """
    own = {
        name
        for item in items
        for name, held in amount_told(item.shown).items()
        if (isinstance(held, str | int | float) and name not in _ASIDE) or (name == "positions" and held)
    }
    named = [name for name in names_in(act) if any(value(item.shown, name) is not None for item in items)]
    own |= {*named, *(["made"] if any(_other_id(act, item) for item in items) else [])}
    own -= {"id", "outcome", "detail"}
    if people:
        named_at_all = ["id"] if any(shown(item)["id"] for item in items) else []
        said = [name for name in ("code", "detail") if any(getattr(item, name) for item in items)]
        return Columns((*named_at_all, "outcome", *sorted(own), *said))
    warned = ("warnings",) if any(item.warnings for item in items) else ()
    return Columns(("id", "outcome", *sorted(own), "code", "detail", *warned, "notices"))


def _sentence(item: Item, out: Output) -> str:
    said = f"{item.id}: {item.outcome}" if item.id else item.outcome
    if item.detail:
        said += f" - {item.detail}"
    own = in_words(item.shown, out)
    said += f" ({own})" if own else ""
    return said + "".join(f"\n      {line}" for line in [*_effects(item, out), *_told(item, out)])


def _told(item: Item, out: Output) -> list[str]:
    """Say of what the service warns, and who is told of what."""
    said = [out.say(f"warning: {warning}") for warning in item.warnings]
    if item.notices == () and item.code is None:
        return [*said, out.say("tells nobody anything")]
    return said + [out.notice(notice) for notice in item.notices or ()]


def _effects(item: Item, out: Output) -> list[str]:
    """Say what follows from it beside its outcome: who is replaced, what would have been muted, and what the answer has in parts."""
    said = [out.say(line) for line in _handed_over(item, out)]
    said += difference_told(item.shown, language=out.language)
    if muted := item.shown.get("would_have_muted"):
        hours, messages, incidents = (muted.get(name) for name in ("hours", "messages", "incidents"))
        said.append(out.say(f"in the last {hours} h it would have muted: messages {messages}, incidents {incidents}"))
    for name, held in amount_told(item.shown, language=out.language).items():
        if name == "incidents" and isinstance(held, list) and held:
            said.append(out.say(f"incident {', '.join(map(str, held))} goes quiet"))
        if name in _IN_WORDS or not isinstance(held, Mapping | list) or not held:
            continue
        parts = flat(held, f"{name}.") if isinstance(held, Mapping) else {name: held}
        if name in _WHOLE:
            parts = {path: each for path, each in parts.items() if path.split(".")[1] in _OF_A_THING}
        said += [f"{path}: {_part(item.shown, path, each, out)}" for path, each in parts.items()]
    return said


def _part(shown: Mapping[str, Any], path: str, held: Any, out: Output) -> str:
    return "; ".join(_flat(each, out) for each in held) if isinstance(held, list) else out.readable(shown, path)


def _flat(held: Any, out: Output) -> str:
    if isinstance(held, Mapping):
        return "  ".join(f"{name}={out.readable(held, name)}" for name in flat(held))
    return str(held)


def _handed_over(item: Item, out: Output) -> list[str]:
    """Say who is replaced on duty by whom, from when until when, and from whom an incident is taken over."""
    said = [
        f"{each['place']}: {each['person'] or 'nobody'} instead of {each['instead_of'] or 'nobody'}, "
        f"{out.readable(each, 'starts_at')} to {out.readable(each, 'ends_at')}"
        for each in item.shown.get("replaced") or ()
    ]
    if holder := item.shown.get("holder"):
        said.append(f"it is taken over from {holder}, who has it since {out.readable(item.shown, 'held_since')}")
    return said


def who_changed(item: Item, out: Output) -> str:
    """Say of what was left alone who has changed it since the plan."""
    said = item.shown
    if said["changed_by"] is None:
        return f"{item.id}: left alone: it has changed since the plan, by no person"
    change = f"{said['change']} at {out.readable(said, 'changed_at')}"
    return f"{item.id}: left alone: {said['changed_by']} has changed it since the plan ({change})"


def in_words(shown: Mapping[str, Any], out: Output) -> str:
    """What the service says in words, figures and sums of its own, and the goods that were chosen."""
    told = amount_told(shown)
    words = [name for name, held in told.items() if isinstance(held, str | int) and not isinstance(held, bool)]
    words = [name for name in words if name not in ("holder", "held_since")]  # said in words of their own
    said = [f"{name} {out.readable(told, name)}" for name in words]
    goods = told.get("positions")
    if isinstance(goods, list) and goods:
        said.append("positions " + ", ".join(f"{each.get('quantity')} of {each.get('id')}" for each in goods))
    return ", ".join(said)


def counted(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
