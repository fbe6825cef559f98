"""Rehearse, apply, prove: what every change goes through, in both tools.

The service itself rehearses; what is applied is that plan and nothing else (its digest, or the version that it was made for); whether it
took effect is read from the things themselves.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from http import HTTPStatus
from typing import Any

from console.client.acts import Act, act_of
from console.client.answers import of_one, of_the_whole
from console.client.items import Item as Item
from console.client.items import item_of, items_of, texts_of
from console.client.made import not_made_yet
from console.client.refund_fits import require_fit
from console.client.since import has_changed, last_change
from console.client.suite import CHANGED_SINCE, RefusedError, Sent, Suite, UnreachableError, filled
from console.client.things import THINGS

_MOST_ASKED_WHO = 25
_NO_RIGHT = frozenset({401, 403})
UNKNOWN = "unknown"
"""The outcome of an item whose answer was lost."""
_TIMED_OUT, _UNREACHABLE = "timed_out", "unreachable"
_LOST = frozenset({_TIMED_OUT, _UNREACHABLE})
_BEGUN = {"under_way": "started"}
"""Outcomes that say that what was asked for had been begun already: its effect is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person wants done: the act, to which things (names, or a filter), what she filled in, and why.

    ``version``: of the one thing, as she saw it; when it is at another one, it is left alone. None: she saw it when it is rehearsed.
    ``limit``: at most so many of those that match. ``after``: only those that no plan has that this one comes after.
    """

    act: str
    reason: str
    service: str
    ids: tuple[str, ...] = ()
    filter: Mapping[str, Any] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    version: int | None = None
    after: str | None = None

    def found(self) -> Act:
        """Return the act itself."""
        return act_of(self.act, self.service)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will happen when it is applied. ``digest``, or the versions of ``items``, hold the service to it; ``key`` makes it once.

    ``shown``: what the service says of the whole, in its words. ``at``: when it was rehearsed, by the service's clock.
    """

    wish: Wish
    items: tuple[Item, ...]
    matched: int
    more: bool = False
    digest: str | None = None
    key: str
    shown: Mapping[str, Any] = field(default_factory=dict)
    at: str | None = None

    @property
    def doable(self) -> bool:
        """Tell whether anything of it would be done: not all of it is refused."""
        return any(item.code is None for item in self.items)

    @property
    def next_ones(self) -> Wish | None:
        """Return the wish for those that match and had no room in it; None where all had."""
        return replace(self.wish, after=self.digest) if self.more and self.digest is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept between rehearsing and applying."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Plan:
        """Return the plan of ``to_json``. ``KeyError``, ``TypeError`` or ``ValueError`` when it is none."""
        wish = Wish(**{**kept["wish"], "ids": tuple(kept["wish"]["ids"])})
        wish.found()
        uuid.UUID(kept["key"])
        return cls(**{**kept, "wish": wish, "items": items_of(kept)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done, item by item, as the service answered it."""

    plan: Plan
    items: tuple[Item, ...]
    already_applied: bool = False
    shown: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept while its effect is watched."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Done:
        """Return what ``to_json`` kept. ``KeyError``, ``TypeError`` or ``ValueError`` when it is none."""
        return cls(**{**kept, "plan": Plan.from_json(kept["plan"]), "items": items_of(kept)})

    @property
    def left_alone(self) -> tuple[Item, ...]:
        """Return what came out otherwise than planned, but for what had been begun already."""
        planned = {item.id: _BEGUN.get(item.outcome, item.outcome) for item in self.plan.items}
        return tuple(item for item in self.items if planned.get(item.id) != _BEGUN.get(item.outcome, item.outcome))

    @property
    def unknown(self) -> tuple[Item, ...]:
        """Return what may have been done or not."""
        return tuple(item for item in self.items if item.outcome == UNKNOWN and item.code in _LOST)

    @property
    def refused(self) -> tuple[Item, ...]:
        """Return what the service would not do, as the plan said or not, and what may have been done or not."""
        return tuple(item for item in self.items if item.code is not None)


Progress = Callable[[int, int], None]
"""Told how many of how many are done."""


async def rehearse(suite: Suite, wish: Wish, *, progress: Progress | None = None) -> Plan:
    """Ask the service what would happen; nothing does. ``RefusedError`` when it may not be done at all."""
    act = wish.found()
    key = str(uuid.uuid4())
    if act.by_plan is not None:
        sent = await _send(suite, wish, wish.found().operation.path, _bulk_body(wish, dry_run=True), None)
        answer = sent.answer
        return Plan(
            wish=wish,
            items=tuple(not_made_yet(wish.act, item_of(each)) for each in answer["items"]),
            matched=answer["matched"],
            more=answer["more"],
            digest=answer["plan"],
            key=key,
            shown=of_the_whole(answer),
            at=sent.at,
        )
    names, items = wish.ids or ("",), []
    at: str | None = None
    for name in names:
        item, sent = await _one(suite, wish, name, dry_run=True)
        items.append(not_made_yet(wish.act, item))
        at = at or sent.at
        if progress is not None:
            progress(len(items), len(names))
    return Plan(wish=wish, items=tuple(items), matched=len(items), key=key, at=at)


async def rehearse_all(suite: Suite, wish: Wish, *, progress: Progress | None = None) -> tuple[Plan, ...]:
    """Rehearse plan after plan until all that match are in one, each of them once; ``limit`` bounds them all together.

    What begins to match meanwhile may be in the last plan or in none. Nothing happens; ``RefusedError`` when it may not be done at all.
    """
    most = wish.found().operation.most_at_once
    if wish.filter is None or most is None:
        return (await rehearse(suite, wish, progress=progress),)
    plans: list[Plan] = []
    seen: set[str] = set()
    following: Wish | None = wish
    while following is not None and (wish.limit is None or len(seen) < wish.limit):
        room = most if wish.limit is None else min(most, wish.limit - len(seen))
        plan = await rehearse(suite, replace(following, limit=room))
        news = {item.id for item in plan.items} - seen
        if plans and not news:
            break
        plans.append(plan)
        seen |= news
        following = plan.next_ones
        if progress is not None:
            progress(len(seen), max(len(seen), plans[0].matched))
    return tuple(plans)


def whole(plans: Sequence[Plan]) -> Plan:
    """Return plans that came one after the other as one to be looked at. It cannot be applied: each of them is."""
    items = tuple(item for plan in plans for item in plan.items)
    return replace(plans[0], items=items, more=plans[-1].more, matched=len(items) + _left(plans[-1]))


def whole_of(done: Sequence[Done]) -> Done:
    """Return what was done of plans that came one after the other as one."""
    items = tuple(item for each in done for item in each.items)
    return replace(
        done[0],
        plan=whole([each.plan for each in done]),
        items=items,
        already_applied=all(each.already_applied for each in done),
    )


def _left(plan: Plan) -> int:
    return max(0, plan.matched - len(plan.items))


async def apply(suite: Suite, plan: Plan, *, progress: Progress | None = None) -> Done:
    """Do what was rehearsed. Called again with the same plan it answers the same and nothing happens twice.

    What has changed since is left alone and says so, and who did it as the audit has it (``changed_by``, ``changed_at``, ``change``). Items
    without a bulk operation are done one after the other: if one is refused, or its answer is lost (``UNKNOWN``), the others still are.
    ``RefusedError`` where the person has no right to it; ``UnreachableError`` leaves unknown what was done of the only item or of a bulk
    operation, also where a service or a proxy answers that it failed. Applying the same plan again finishes it once.
    """
    wish = plan.wish
    if wish.found().by_plan is not None:
        by_plan = {"plan": plan.digest} if plan.digest is not None else {}
        body = {**_bulk_body(wish, dry_run=False), **by_plan}
        sent = await _send(suite, wish, wish.found().operation.path, body, plan.key)
        items = [item_of(each) for each in sent.answer["items"]]
        already = sent.repeated or bool(sent.answer.get("already_applied"))
        by_whom = await _by_whom(suite, plan, items)
        return Done(plan=plan, items=by_whom, already_applied=already, shown=of_the_whole(sent.answer))
    done: list[Item] = []
    all_repeated = True
    for planned in plan.items:
        try:
            key = str(uuid.uuid5(uuid.UUID(plan.key), planned.id))
            item, sent = await _one(suite, wish, planned.id, dry_run=False, version=planned.version, key=key)
            all_repeated = all_repeated and sent.repeated
        except RefusedError as error:
            if error.status in _NO_RIGHT and not done:
                raise
            outcome = CHANGED_SINCE if has_changed(error) else "refused"
            item = replace(
                planned, outcome=outcome, detail=error.detail, code=error.code, notices=(), warnings=(), shown={}
            )
            all_repeated = False
        except UnreachableError as error:
            if len(plan.items) == 1:
                raise
            item = _not_known(planned, error)
            all_repeated = False
        done.append(item)
        if progress is not None:
            progress(len(done), len(plan.items))
    by_whom = await _by_whom(suite, plan, done)
    return Done(plan=plan, items=by_whom, already_applied=all_repeated and bool(done))


def _not_known(planned: Item, error: UnreachableError) -> Item:
    code = _TIMED_OUT if error.timed_out else _UNREACHABLE
    return replace(planned, outcome=UNKNOWN, detail=str(error), code=code, notices=None, warnings=(), shown={})


async def _by_whom(suite: Suite, plan: Plan, items: Sequence[Item]) -> tuple[Item, ...]:
    """Say of what has changed since the plan who did it; of very many, of the first ones."""
    changed = [item.id for item in items if item.outcome == CHANGED_SINCE][:_MOST_ASKED_WHO]
    if plan.at is None or not changed:
        return tuple(items)
    act = plan.wish.found()
    found = await asyncio.gather(*(last_change(suite, act, name, since=plan.at) for name in changed))
    who = dict(zip(changed, found, strict=True))
    return tuple(replace(item, shown={**item.shown, **who.get(item.id, {})}) for item in items)


def _bulk_body(wish: Wish, *, dry_run: bool) -> dict[str, Any]:
    body: dict[str, Any] = {**wish.found().fixed, **wish.fields, "reason": wish.reason, "dry_run": dry_run}
    if wish.ids:
        body["ids"] = [int(name) if name.isdecimal() and _numbered(wish) else name for name in wish.ids]
    if wish.filter is not None:
        body["filter"] = dict(wish.filter)
    if wish.limit is not None:
        body["limit"] = wish.limit
    if wish.after is not None:
        body["after"] = wish.after
    return body


def _numbered(wish: Wish) -> bool:
    """Things whose names are numbers of a table, not words that may look like numbers."""
    return wish.found().noun in ("workflow", "event", "incident", "dead-letter", "silence")


async def _send(suite: Suite, wish: Wish, path: str, body: Mapping[str, Any], key: str | None) -> Sent:
    operation = wish.found().operation
    try:
        sent = await suite.send_once(operation.service, operation.method, path, body, key=key)
    except RefusedError as error:
        if key is None or error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        raise _unknown(error) from None
    return replace(sent, answer=sent.answer or {})


def _unknown(error: RefusedError) -> UnreachableError:
    """Return what a failed answer to a change is: it may have happened, for the answer may be lost behind it."""
    cause = f"{error.detail} ({error.code}{f', request {error.request_id}' if error.request_id else ''})"
    return UnreachableError(error.service, "", cause, timed_out=error.status == HTTPStatus.GATEWAY_TIMEOUT)


async def _one(
    suite: Suite, wish: Wish, name: str, *, dry_run: bool, version: int | None = None, key: str | None = None
) -> tuple[Item, Sent]:
    act = wish.found()
    operation = act.operation
    fields, places = dict(wish.fields), {act.key: name}
    if act.place is not None:
        places[act.place.name] = fields.pop(act.place.name)
    body: dict[str, Any] = {**act.fixed, **fields, "reason": wish.reason, "dry_run": dry_run}
    if operation.takes("expected_version"):
        version = version if version is not None else wish.version
        version = version if version is not None else await version_of(suite, act, name)
        if version is not None:
            body["expected_version"] = version
    sent = await _send(suite, wish, filled(operation.path, **places), body, key)
    shown = sent.answer
    if dry_run and act.name == "order refund":
        await require_fit(suite, shown, reason=wish.reason)
    item = Item(
        id=name,
        version=version,
        outcome=str(shown.get("outcome") or act.verb),
        notices=texts_of(shown.get("notices")),
        warnings=texts_of(shown.get("warnings")) or (),
        shown=of_one(shown),
    )
    return item, sent


async def version_of(suite: Suite, act: Act, name: str) -> int | None:
    """Return the version that an act on a thing is compared with, so that what changes afterwards is not changed by surprise."""
    suite = suite.without_customers()
    if act.version_at is not None:
        said = await suite.get(
            act.service, filled(act.version_at, **{act.key: name, "workflow": name.partition("-")[0]})
        )
        if "items" not in said:
            at = said.get(act.version_in)  # another release may not say it
            return at if isinstance(at, int) else None
        items = [item for item in said["items"] if item.get(act.key, name) == name]
        return max((int(item[act.version_in]) for item in items), default=0)
    thing = THINGS.get(act.noun)
    if thing is None or thing.one is None:
        return None
    found = (await thing.read(suite, name)).get("version")
    return found if isinstance(found, int) else None


def count(items: Sequence[Item]) -> Counter[str]:
    """Return how many came out how."""
    return Counter(item.outcome for item in items)
