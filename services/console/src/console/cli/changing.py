"""How every change goes: the service rehearses it, the person sees the plan and says yes, exactly that is done, and its effect is seen."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.cli.asking import consent, line
from console.cli.commands import Context
from console.cli.exits import EndedError, Exit
from console.cli.output import Columns, as_json
from console.cli.profiles import directory
from console.cli.showing import counted, in_words, show_items, show_made, show_plan, shown, who_changed

if TYPE_CHECKING:
    from console.client.change import Done, Item, Plan, Progress, Wish

_NOTHING_DONE = frozenset({"refused", "not_found", "changed_since"})
_FILE_FORM = 1
_SHORTEST_REASON = 3  # as in every service


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a person wants a change made."""

    dry_run: bool = False
    yes: bool = False
    wait: bool = False
    timeout: float = 60.0


def reason_for(at: Context, reason: str | None) -> str:
    """Return why; where none was given and a person can be asked, ask until it is long enough. Else ``EndedError`` (usage)."""
    said = (reason or "").strip()
    if reason is None and at.interactive:
        while len(said := line(at.out, "Reason").strip()) < _SHORTEST_REASON:
            at.out.note("a reason has three characters or more")
    if len(said) < _SHORTEST_REASON:
        raise EndedError("--reason: say why, in three characters or more; it stands in the audit log")
    return said


async def change(at: Context, wish: Wish, manner: Manner) -> Exit:
    """Rehearse all of it, ask once, apply plan after plan, and with ``wait`` watch."""
    from console.client.change import rehearse_all, whole

    with at.out.progress("rehearsing") as progress:
        plans = await rehearse_all(at.suite, wish, progress=progress)
    if manner.dry_run:
        if at.out.for_programs:
            show_files(at, plans)
        else:
            show_plan(at, whole(plans), plans=len(plans))
        return _code(whole(plans).items, frozenset())
    return await carry_out(at, plans, manner)


async def carry_out(at: Context, plans: Sequence[Plan], manner: Manner) -> Exit:
    """Apply plans of one act that were rehearsed now or earlier, one after the other.

    Ctrl-C lets the plan under way end where others follow, and says how far it got and how to go on; pressed again it ends at once.
    """
    from console.client.change import Done, whole, whole_of
    from console.client.suite import UnreachableError

    plan = whole(plans)
    if plan.items and not plan.doable:  # nothing of it would be done: there is nothing to agree to
        return await prove(at, Done(plan=plan, items=plan.items), manner)
    if not manner.yes:
        show_plan(at, plan, aside=True, plans=len(plans))
        if plan.doable or plan.shown:
            ask(at)
    done: list[Done] = []
    try:
        with at.out.progress("applying") as progress, interruptible(between=len(plans) > 1) as stopped:
            for each in plans:
                if stopped():
                    break
                done.append(await _applied(at, each, done, progress, of=len(plan.items)))
    except BaseException as error:
        _say_how_far(at, plans, done, unknown=not isinstance(error, Exception) or isinstance(error, UnreachableError))
        raise
    code = await prove(at, whole_of(done), manner) if done else Exit.INTERRUPTED
    if len(done) < len(plans):
        _say_how_far(at, plans, done, unknown=False)
        return Exit.INTERRUPTED
    return code


async def _applied(at: Context, plan: Plan, before: Sequence[Done], progress: Progress, *, of: int) -> Done:
    from console.client.change import apply

    ended = sum(len(each.items) for each in before)
    progress(ended, of)
    done = await apply(at.suite, plan, progress=lambda count, _: progress(ended + count, of))
    progress(ended + len(done.items), of)
    return done


def _say_how_far(at: Context, plans: Sequence[Plan], done: Sequence[Done], *, unknown: bool) -> None:
    """Say what was done of several plans, and keep those that may not be, for they can be applied again."""
    if done:
        outcomes = counted(Counter(item.outcome for each in done for item in each.items))
        at.out.note(f"plans applied: {len(done)} of {len(plans)}: {outcomes}")
    left = plans[len(done) :]
    if unknown:
        at.out.note("How much was done of the plan under way is not known.")
    elif len(plans) == 1:
        return
    _say_how_to_finish(at, left)


def _say_how_to_finish(at: Context, plans: Sequence[Plan]) -> None:
    at.out.note(f"This finishes it, and does nothing twice: ordersctl apply {keep(at, plans)}")


async def prove(at: Context, done: Done, manner: Manner) -> Exit:
    """Show what was done, and with ``wait`` what became of it."""
    if at.out.for_programs:
        at.out.thing({"already_applied": done.already_applied, "items": [shown(item) for item in done.items]})
    else:
        show_items(at.out, done.plan.wish.act, done.items)
        show_made(at.out, done)
        if done.shown and not done.items:
            at.out.note(in_words(done.shown, at.out))
    for item in done.items:
        if "changed_by" in item.shown:
            at.out.note(who_changed(item, at.out))
    if done.already_applied:
        at.out.note("this plan was applied before; nothing happened twice")
    code = _code(done.items, frozenset(item.id for item in done.left_alone))
    if done.unknown:
        at.out.note(f"not known whether it was done: {', '.join(item.id for item in done.unknown)}", style="red")
        _say_how_to_finish(at, [done.plan])
        timed_out = all(item.code == "timed_out" for item in done.unknown)
        silent = Exit.TIMED_OUT if timed_out else Exit.UNREACHABLE
        code = code if code is Exit.PARTLY else silent
    at.out.note(counted(Counter(item.outcome for item in done.items)) or "nothing to do")
    if done.plan.more:
        at.out.note(f"{done.plan.matched - len(done.plan.items)} more match and are left")
        code = Exit.PARTLY if code is Exit.DONE else code
    return await _wait(at, done, manner, code) if manner.wait and code in (Exit.DONE, Exit.PARTLY) else code


async def _wait(at: Context, done: Done, manner: Manner, code: Exit) -> Exit:
    from console.client.suite import or_none
    from console.client.watching import UnprovableError, shown_by, watch

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
    at.out.note(f"seen: {counted(last)}")
    if sight is None:
        return code
    if any(sight.moves(state) for state in last):
        at.out.note(f"still on its way after {manner.timeout:g} s")
        return Exit.TIMED_OUT
    if bad := sum(count for state, count in last.items() if act.failed(state)):
        if len(done.items) == 1 and (why := shown_by(sight, done.items[0])) is not None:
            at.out.note(f"why: ordersctl {why[0]} show {why[1]}")
            if why[0] == "workflow":
                failed = {"workflow_id": why[1], "state": "failed", "limit": 1}
                events = await or_none(at.suite.get("orchestrator", "/admin/v1/workflow-events", **failed))
                for event in (events or {}).get("items", ()):
                    name = event["id"]
                    at.out.note(f"next: skip or mend what failed (ordersctl event skip {name}, or event mend {name})")
            at.out.note("next: have it repaired, if you cannot (ordersctl ticket open)")
        return Exit.REFUSED if bad == sum(last.values()) and code is Exit.DONE else Exit.PARTLY
    return code


def show_files(at: Context, plans: Sequence[Plan]) -> None:
    """Print what ``ordersctl apply`` reads: one plan, or a list of them."""
    files = [plan_file(at, plan) for plan in plans]
    if len(files) == 1:
        at.out.thing(files[0])
    else:
        at.out.rows(files, Columns(("key",), name="key"))


def plan_file(at: Context, plan: Plan) -> dict[str, Any]:
    """Return what ``--dry-run -o json`` prints and ``ordersctl apply`` reads."""
    return {"ordersctl_plan": _FILE_FORM, "profile": at.profile.name, **plan.to_json()}


def keep(at: Context, plans: Sequence[Plan]) -> Path:
    """Write plans where only their owner can read them, and return where."""
    directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory() / f"plan-{plans[0].key}.json"
    file.touch(mode=0o600)
    file.write_text(as_json([plan_file(at, plan) for plan in plans], indent=1), encoding="utf-8")
    return file


@contextmanager
def interruptible(*, between: bool) -> Iterator[Callable[[], bool]]:
    """Give what tells whether Ctrl-C was pressed. ``between``: the first one is only noted, any other does what it always does.

    Only a process's main thread hears it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = 0

    def note(number: int, frame: Any) -> None:
        """Count it, and hand it on unless it is the first of those that are only noted."""
        nonlocal pressed
        pressed += 1
        if callable(usual) and not (between and pressed == 1):
            usual(number, frame)

    usual = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed > 0
    finally:
        signal.signal(signal.SIGINT, usual)


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
    name = at.profile.name
    if at.profile.production:
        at.out.note(f"This is PRODUCTION ({name}).", style="bold white on red")
        if line(at.out, f"Type {name} to do it", default="", show_default=False) != name:
            raise EndedError("nothing was done", Exit.REFUSED)
    elif not consent(at.out, "Do it?"):
        raise EndedError("nothing was done", Exit.REFUSED)


def _code(items: tuple[Item, ...], left_alone: frozenset[str]) -> Exit:
    """Return how a change ended: done, partly, or not at all, and then not found if there is no such thing."""
    done = [item.id not in left_alone and item.outcome not in _NOTHING_DONE for item in items]
    if all(done):
        return Exit.DONE
    if any(done):
        return Exit.PARTLY
    return Exit.NOT_FOUND if all(item.outcome == "not_found" for item in items) else Exit.REFUSED
