"""How every change goes: the service rehearses it, the person sees the plan and says yes, exactly that is done, and its effect is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.cli.commands import Context
from console.cli.exits import EndedError, Exit
from console.cli.output import Columns, as_json, readable
from console.cli.profiles import directory
from console.client.money import amount_told

if TYPE_CHECKING:
    from console.client.change import Done, Item, Plan, Wish

_NOTHING_DONE = frozenset({"refused", "not_found", "changed_since"})
_FILE_FORM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a person wants a change made."""

    dry_run: bool = False
    yes: bool = False
    wait: bool = False
    timeout: float = 60.0


def reason_for(at: Context, reason: str | None) -> str:
    """Return why, and ask for it where a person can be asked. ``EndedError`` (usage) where nobody can."""
    if reason is None and at.interactive:
        import typer

        reason = str(typer.prompt("Reason", err=True))
    if reason is None or not reason.strip():
        raise EndedError("--reason: say why; it stands in the audit log")
    return reason.strip()


async def change(at: Context, wish: Wish, manner: Manner) -> Exit:
    """Rehearse, ask, apply, and with ``wait`` watch."""
    from console.client.change import rehearse

    with at.out.progress("rehearsing") as progress:
        plan = await rehearse(at.suite, wish, progress=progress)
    if manner.dry_run:
        if at.out.for_programs:
            at.out.thing(plan_file(at, plan))
        else:
            show_plan(at, plan)
        return _code(plan.items, frozenset())
    return await carry_out(at, plan, manner)


async def carry_out(at: Context, plan: Plan, manner: Manner) -> Exit:
    """Apply a plan that was rehearsed now or earlier."""
    from console.client.change import apply
    from console.client.suite import UnreachableError

    if not manner.yes:
        show_plan(at, plan, aside=True)
        if plan.doable or plan.shown:
            ask(at)
    try:
        with at.out.progress("applying") as progress:
            done = await apply(at.suite, plan, progress=progress)
    except UnreachableError:
        kept = keep(at, plan)
        at.out.note(
            f"How much of it was done is not known. This finishes it, and does nothing twice: ordersctl apply {kept}"
        )
        raise
    return await prove(at, done, manner)


async def prove(at: Context, done: Done, manner: Manner) -> Exit:
    """Show what was done, and with ``wait`` what became of it."""
    if at.out.for_programs:
        at.out.thing({"already_applied": done.already_applied, "items": [_shown(item) for item in done.items]})
    else:
        at.out.rows([_shown(item, told=True) for item in done.items], _columns(done.items))
        if done.shown and not done.items:
            at.out.note(_words(done.shown))
    for item in done.items:
        if "changed_by" in item.shown:
            at.out.note(_who_changed(item))
    if done.already_applied:
        at.out.note("this plan was applied before; nothing happened twice")
    code = _code(done.items, frozenset(item.id for item in done.left_alone))
    at.out.note(_counted(Counter(item.outcome for item in done.items)) or "nothing to do")
    if done.plan.more:
        at.out.note(f"{done.plan.matched - len(done.plan.items)} more match and are left: repeat it for the next ones")
        code = Exit.PARTLY if code is Exit.DONE else code
    return await _wait(at, done, manner, code) if manner.wait and code in (Exit.DONE, Exit.PARTLY) else code


async def _wait(at: Context, done: Done, manner: Manner, code: Exit) -> Exit:
    from console.client.change import UnprovableError, watch

    last: Counter[str] = Counter()
    act = done.plan.wish.found()
    sight = act.sight
    try:
        with at.out.progress("watching") as progress:
            async for last in watch(at.suite, done, deadline=manner.timeout):
                moving = sum(count for state, count in last.items() if sight and sight.moves(state))
                progress(last.total() - moving, last.total())
    except UnprovableError:
        at.out.note("the answer does not say where its effect is seen")
        return code
    at.out.note(f"seen: {_counted(last)}")
    if sight is None:
        return code
    if any(sight.moves(state) for state in last):
        at.out.note(f"still on its way after {manner.timeout:g} s")
        return Exit.TIMED_OUT
    if bad := sum(count for state, count in last.items() if act.failed(state)):
        return Exit.REFUSED if bad == sum(last.values()) and code is Exit.DONE else Exit.PARTLY
    return code


def show_plan(at: Context, plan: Plan, *, aside: bool = False) -> None:
    """Show what would happen, item by item; ``aside``: on stderr, for the result is still to come."""
    wish = plan.wish
    out = at.out
    if aside:
        for item in plan.items:
            out.note("  " + _sentence(item))
    else:
        out.rows([_shown(item, told=True) for item in plan.items], _columns(plan.items))
    out.note(
        f"plan: {wish.act} on {at.profile.name}: {_counted(Counter(item.outcome for item in plan.items)) or 'nothing'}"
    )
    if plan.shown and not plan.items:
        out.note(_words(plan.shown))
    if plan.more:
        out.note(
            f"{plan.matched} match; this plan has the first {len(plan.items)}: repeat it afterwards for the others"
        )


def plan_file(at: Context, plan: Plan) -> dict[str, Any]:
    """Return what ``--dry-run -o json`` prints and ``ordersctl apply`` reads."""
    return {"ordersctl_plan": _FILE_FORM, "profile": at.profile.name, **plan.to_json()}


def keep(at: Context, plan: Plan) -> Path:
    """Write a plan where only its owner can read it, and return where."""
    directory().mkdir(parents=True, exist_ok=True)
    file = directory() / f"plan-{plan.key}.json"
    file.touch(mode=0o600)
    file.write_text(as_json(plan_file(at, plan), indent=1), encoding="utf-8")
    return file


def kept_plan(at: Context, kept: Any) -> Plan:
    """Read the plan of ``--dry-run -o json``. ``EndedError`` (usage) when it is none, or one for another profile."""
    from console.client.change import Plan

    if not isinstance(kept, dict) or kept.pop("ordersctl_plan", None) != _FILE_FORM:
        raise EndedError("this is no plan; `--dry-run -o json` prints one")
    if (profile := kept.pop("profile", None)) != at.profile.name:
        raise EndedError(f"the plan was made for profile {profile}, this is {at.profile.name}")
    try:
        return Plan.from_json(kept)
    except (KeyError, TypeError, ValueError, LookupError) as error:
        raise EndedError(f"this is no whole plan: {error}") from None


def ask(at: Context) -> None:
    """Have the person say yes, on production with the profile's name. ``EndedError`` when she does not, or nobody can be asked."""
    if not at.interactive:
        raise EndedError("nobody can be asked here: say --yes, or --dry-run")
    import typer

    name = at.profile.name
    if at.profile.production:
        at.out.note(f"This is PRODUCTION ({name}).", style="bold white on red")
        if typer.prompt(f"Type {name} to do it", err=True, default="", show_default=False) != name:
            raise EndedError("nothing was done", Exit.REFUSED)
    elif not typer.confirm("Do it?", err=True):
        raise EndedError("nothing was done", Exit.REFUSED)


def _code(items: tuple[Item, ...], left_alone: frozenset[str]) -> Exit:
    """Return how a change ended: done, partly, or not at all, and then not found if there is no such thing."""
    done = [item.id not in left_alone and item.outcome not in _NOTHING_DONE for item in items]
    if all(done):
        return Exit.DONE
    if any(done):
        return Exit.PARTLY
    return Exit.NOT_FOUND if all(item.outcome == "not_found" for item in items) else Exit.REFUSED


def _shown(item: Item, *, told: bool = False) -> Mapping[str, Any]:
    """Return an item as it is shown; ``told``: to people, who are told what an open amount means."""
    shown = asdict(item)
    own = amount_told(shown.pop("shown")) if told else shown.pop("shown")
    shown["notices"] = list(item.notices)
    return {**own, **shown}


def _columns(items: tuple[Item, ...]) -> Columns:
    """The columns of the outcome, and what the service says of its own about such items, if that is a word or the chosen goods."""
    own = {
        name
        for item in items
        for name, held in amount_told(item.shown).items()
        if (isinstance(held, str | int | float) and name != "number") or (name == "positions" and held)
    }
    return Columns(("id", "outcome", *sorted(own - {"id", "outcome"}), "code", "detail", "notices"))


def _sentence(item: Item) -> str:
    said = f"{item.id}: {item.outcome}" if item.id else item.outcome
    if item.detail:
        said += f" - {item.detail}"
    own = _words(item.shown)
    said += f" ({own})" if own else ""
    return said + "".join(f"\n      tells: {notice}" for notice in item.notices)


def _who_changed(item: Item) -> str:
    """Say of what was left alone who has changed it since the plan."""
    said = item.shown
    if said["changed_by"] is None:
        return f"{item.id}: left alone: it has changed since the plan, by no person"
    return f"{item.id}: left alone: {said['changed_by']} has changed it since the plan ({said['change']} at {said['changed_at']})"


def _words(shown: Mapping[str, Any]) -> str:
    """What the service says in words, figures and sums of its own, and the goods that were chosen."""
    told = amount_told(shown)
    words = [name for name, held in told.items() if isinstance(held, str | int) and not isinstance(held, bool)]
    said = [f"{name} {readable(told, name)}" for name in words]
    goods = told.get("positions")
    if isinstance(goods, list) and goods:
        said.append("positions " + ", ".join(f"{each.get('quantity')} of {each.get('id')}" for each in goods))
    return ", ".join(said)


def _counted(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
