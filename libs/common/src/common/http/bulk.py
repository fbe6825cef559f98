"""Bulk changes, the same everywhere: chosen by ids or by a filter, previewed as a plan, carried out item by item exactly as planned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Generic, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.errors import Conflict, NotFound
from common.http.audit import AdminChange
from common.http.changes import Change, ChangeAnswer, Changes, Done, NotDone
from common.http.customers import marked_fields, masked
from common.http.plans import Plan, ids_before, items_left, lock_plan, mark_applied, store_plan
from common.http.routes import Answer, Request
from common.postgres import Connection, Database

MOST_ITEMS = 1000
MOST_MATCHED = 10_000

_DIGEST = "^[0-9a-f]{64}$"
_OF_ONE_REQUEST = {"reason", "dry_run", "plan", "limit"}
_CHOICE = ("ids", "filter", "after")
_LEFT_ALONE = ("refused", "not_found")


class PlanUnknown(Conflict):
    """There is no such plan of this operation, or it has expired."""

    code = "plan_unknown"


class PlanDiffers(Conflict):
    """The request says something else than the plan that it names."""

    code = "plan_differs"


BULK_ERRORS = (PlanUnknown, PlanDiffers)
"""What a bulk operation may answer beside what its items answer; for `Route.errors`."""


class BulkFilter(BaseModel):
    """Which items; all that is given has to hold, and something has to be given. A feature adds what its list takes.

    A field with a customer's data is marked (``common.http.CONTACT`` and others): then plans do not keep it.
    """

    model_config = ConfigDict(extra="forbid")

    @property
    def names_something(self) -> bool:
        """Whether anything is asked for."""
        return any(getattr(self, name) not in (None, []) for name in self.model_fields_set)

    @model_validator(mode="after")
    def _not_everything(self) -> Self:
        if not self.names_something:
            raise ValueError("a filter that names nothing would take everything")
        return self


IdT = TypeVar("IdT", int, str)
FilterT = TypeVar("FilterT", bound=BulkFilter)


class BulkChange(AdminChange, Generic[IdT, FilterT]):
    """Which items: by ids or by a filter. With `plan` neither is needed, and what is given has to be the plan's own."""

    ids: list[IdT] | None = Field(default=None, min_length=1, max_length=MOST_ITEMS)
    filter: FilterT | None = None
    limit: int = Field(default=100, ge=1, le=MOST_ITEMS, description="at most so many of those that match the filter")
    after: str | None = Field(
        default=None,
        pattern=_DIGEST,
        description="`plan` of a dry run by this filter: only those that stand neither in it nor in one that it came after",
    )
    plan: str | None = Field(
        default=None,
        pattern=_DIGEST,
        description="`plan` of a dry run: do exactly that, and leave alone what has changed since",
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        given = (self.ids is not None) + (self.filter is not None)
        if given != 1 and not (given == 0 and self.plan is not None):
            raise ValueError("say which: by ids or by a filter, not both")
        return self

    @model_validator(mode="after")
    def _next_ones(self) -> Self:
        if self.after is not None and self.filter is None and self.plan is None:
            raise ValueError("`after` goes with a filter")
        return self


class BulkItem(ChangeAnswer):
    """What became of one item; in a preview, what would."""

    id: int | str
    version: int | str | None = Field(description="the one that it was looked at in; null where there is no such item")
    outcome: str = Field(
        description="what was done; `refused` or `not_found`, and nothing was done; `changed_since`: left alone, because it has changed "
        "since the plan, or no longer matches"
    )
    code: str | None = Field(default=None, description="why it was refused, as a stable code")
    detail: str | None = None


class BulkAnswer(BaseModel):
    """What became of each item, in one order. A plan is kept for a day."""

    dry_run: bool
    plan: str = Field(
        description="of a dry run: names exactly these items in these versions; send it to have them done"
    )
    matched: int = Field(
        description=f"how many match, of `after` a plan the next ones; at most {MOST_MATCHED} are counted"
    )
    more: bool = Field(description="more match than `limit`: a dry run `after` this plan has the next ones")
    already_applied: bool = Field(
        default=False, description="the same person carried this plan out before: what it answered then"
    )
    items: list[BulkItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkDone:
    """What the work says of an item that it has carried out. ``extra``: fields that the operation's own kind of item has."""

    outcome: str
    detail: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


KeyT = TypeVar("KeyT", int, str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk(Generic[KeyT]):
    """One bulk operation of a feature. ``carry_out`` is what its handler calls.

    - ``operation``: a constant (``workflow.retry``), the name in plans.
    - ``find(connection, filter, among, limit)``: the ids that match, in one order, at most ``limit``; only of ``among`` where that is
      not None. Locks nothing.
    - ``lock(connection, ids)``: locks the rows until the transaction ends, in one order whatever order the ids have, and returns the
      version of each that exists. A version changes whenever something that matters to the operation does, and always when the
      operation itself takes effect.
    - ``work(change, id)``: does it for one item that is locked, with its audit record. ``Conflict``, ``NotFound`` and ``Unprocessable``
      refuse that item alone. What it names by ``Change.tells`` are the item's notices.
    - ``answer``: a subclass of ``BulkAnswer``, whose ``items`` may have more fields (``BulkDone.extra``).
    """

    operation: str
    find: Callable[[Connection, Any, Sequence[KeyT] | None, int], Awaitable[Sequence[KeyT]]]
    lock: Callable[[Connection, Sequence[KeyT]], Awaitable[Mapping[KeyT, int | str]]]
    work: Callable[[Change, KeyT], Awaitable[BulkDone]]
    answer: type[BulkAnswer] = BulkAnswer

    async def carry_out(self, changes: Changes, request: Request[Any, Any]) -> Answer:
        """Do it as ``Changes.carry_out`` does any change, and return what the handler is to answer.

        - A dry run's plan is stored once the preview is rolled back. Whoever sends it has exactly those items done: one whose version has
          changed since, or which no longer matches, is left alone (``changed_since``), and so is one that the preview refused. What the
          filter said of a customer is not kept in a plan: there the versions alone decide.
        - A plan is carried out once: another request with it, at any replica, waits for the first. The same person's answers what that
          one did (``already_applied``); to anybody else, whose plan happens to be the same, what was done has changed since, and the
          detail says by whom and when. When the first fails, the plan is free again.
        - A dry run ``after`` a plan has the next ones that match: whatever became of the items of that plan, and of those that it came
          after itself, none is there again. So everything that matches is gone through once, however much it is.
        - A plan that is unknown, expired or another operation's raises ``PlanUnknown``; a request that says something else than its plan
          (other ids, filter or parameters) ``PlanDiffers``.
        """
        asked: BulkChange[Any, Any] = request.body
        previewed: tuple[Plan, datetime] | None = None

        async def _work(change: Change) -> BulkAnswer:
            nonlocal previewed
            if asked.plan is not None:
                return await self._as_planned(change, asked, asked.plan)
            began: datetime = await change.connection.fetchval("SELECT now()")
            plan, answer = await self._anew(change, asked)
            previewed = (plan, began) if asked.dry_run else None
            return answer

        answer = await changes.carry_out(request, _work)
        if previewed is not None:
            plan, began = previewed
            async with changes.database.transaction() as connection:
                await store_plan(connection, plan, seen_at=began)
        return answer

    async def chosen(self, database: Database, asked: BulkChange[Any, Any]) -> Sequence[KeyT]:
        """Return the items that carrying it out would work on as it looks now, for what has to be asked of others before. Locks nothing.

        Others can change them until ``carry_out`` locks them: ``work`` compares. Of a plan that was carried out there are none.
        """
        async with database.acquire() as connection:
            if asked.plan is not None:
                items = await items_left(connection, asked.plan, operation=self.operation)
                return [item["id"] for item in items if item["outcome"] not in _LEFT_ALONE]
            if asked.ids is not None:
                return list(dict.fromkeys(asked.ids))
            return await self._matching(connection, asked, asked.limit)

    async def _matching(self, connection: Connection, asked: BulkChange[Any, Any], most: int) -> list[KeyT]:
        """Return what matches, in one order, without what was in the plans that it comes ``after``. Raises ``PlanUnknown``."""
        before: frozenset[Any] = frozenset()
        if asked.after is not None:
            known = await ids_before(connection, asked.after, operation=self.operation)
            if known is None:
                raise PlanUnknown(
                    "there is no such plan of this operation, or it has expired: begin with the first ones"
                )
            before = known
        found = await self.find(connection, asked.filter, None, most + len(before))
        return [key for key in found if key not in before][:most]

    async def _anew(self, change: Change, asked: BulkChange[Any, Any]) -> tuple[Plan, BulkAnswer]:
        connection = change.connection
        if asked.ids is not None:
            chosen: list[KeyT] = list(dict.fromkeys(asked.ids))
            matched, more = len(chosen), False
            versions = await self.lock(connection, chosen)
        else:
            found = await self._matching(connection, asked, MOST_MATCHED)
            chosen, matched, more = list(found[: asked.limit]), len(found), len(found) > asked.limit
            versions = await self.lock(connection, chosen)
            # Until they were locked, others could change them.
            still = set(await self.find(connection, asked.filter, chosen, len(chosen)))
            chosen = [key for key in chosen if key in still and key in versions]
        items = await self._do(change, chosen, versions)
        plan = Plan(operation=self.operation, selection=_selection(asked), items=items, matched=matched)
        answer = {"dry_run": change.dry_run, "plan": plan.digest, "matched": matched, "more": more, "items": items}
        return plan, self.answer.model_validate(answer)

    async def _as_planned(self, change: Change, asked: BulkChange[Any, Any], digest: str) -> BulkAnswer:
        connection = change.connection
        plan = await lock_plan(connection, digest, operation=self.operation)
        if plan is None:
            raise PlanUnknown("there is no such plan of this operation, or it has expired: make another dry run")
        filter_ = _filter_of(plan, asked)
        if plan.answer is not None and plan.applied_by in (None, change.principal.name):
            return self.answer.model_validate({**plan.answer, "dry_run": change.dry_run, "already_applied": True})
        planned = {item["id"]: item for item in plan.items}
        keys: list[KeyT] = list(planned)
        versions = await self.lock(connection, keys)
        if plan.answer is not None:
            return self.answer.model_validate(
                {**plan.answer, "dry_run": change.dry_run, "items": _done_by_another(plan, versions)}
            )
        still = set(keys if filter_ is None else await self.find(connection, filter_, keys, len(keys)))
        same = {key for key in keys if versions.get(key) == planned[key]["version"] and key in still}
        to_do = [key for key in keys if key in same and planned[key]["outcome"] not in _LEFT_ALONE]
        done = {item["id"]: item for item in await self._do(change, to_do, versions)}
        items = [
            done.get(key) or (planned[key] if key in same else _changed_since(key, versions.get(key))) for key in keys
        ]
        more = plan.matched > len(keys)
        answer = self.answer.model_validate(
            {"dry_run": change.dry_run, "plan": digest, "matched": plan.matched, "more": more, "items": items}
        )
        await mark_applied(connection, digest, answer.model_dump(mode="json"), by=change.principal.name)
        return answer

    async def _do(
        self, change: Change, keys: Sequence[KeyT], versions: Mapping[KeyT, int | str]
    ) -> list[dict[str, Any]]:
        async def _one(key: KeyT) -> BulkDone:
            if key not in versions:
                raise NotFound("there is no such item")
            return await self.work(change, key)

        return [_item(result, versions.get(result.key)) for result in await change.each(keys, _one)]


def _selection(asked: BulkChange[Any, Any]) -> dict[str, Any]:
    """What a plan is of: how the items were chosen, and the operation's own parameters. What names a customer is masked: plans are kept."""
    said = masked(asked).model_dump(mode="json", exclude=_OF_ONE_REQUEST)
    if said["after"] is None:  # which the release before does not know
        del said["after"]
    return said


def _filter_of(plan: Plan, asked: BulkChange[Any, Any]) -> BulkFilter | None:
    """Return what the items of a plan have to match still, as far as a plan keeps it; None: nothing beside their versions.

    Raises ``PlanDiffers`` when the request says anything else than its plan.
    """
    said = {"after": None, **_selection(asked)}
    silent = (
        {name for name in _CHOICE if said.get(name) is None} if asked.ids is None and asked.filter is None else set()
    )
    if any(value != plan.selection.get(name) for name, value in said.items() if name not in silent):
        raise PlanDiffers("this request names other items or parameters than its plan: leave them out, or preview anew")
    try:
        planned_for = type(asked).model_validate({**plan.selection, "reason": asked.reason})
    except ValidationError:
        raise PlanUnknown("this plan is of another release: make another dry run") from None
    wanted: BulkFilter | None = planned_for.filter
    if wanted is None:
        return None
    kept = wanted.model_copy(update=dict.fromkeys(marked_fields(type(wanted))))
    return kept if kept.names_something else None


def _item(result: Done[Any, BulkDone] | NotDone[Any], version: int | str | None) -> dict[str, Any]:
    item: dict[str, Any] = {"id": result.key, "version": version, "code": None, "detail": None, "notices": []}
    if isinstance(result, NotDone):
        outcome = "not_found" if version is None else "refused"
        return {**item, "outcome": outcome, "code": result.code, "detail": result.detail}
    done = result.answer
    said = {"outcome": done.outcome, "detail": done.detail, "notices": list(result.notices)}
    return {**item, **said, **done.extra}


def _changed_since(key: int | str, version: int | str | None) -> dict[str, Any]:
    detail = "it has changed since the plan, or no longer matches"
    return {"id": key, "version": version, "outcome": "changed_since", "detail": detail}


def _done_by_another(plan: Plan, versions: Mapping[Any, int | str]) -> list[dict[str, Any]]:
    """What somebody sees whose own plan another person has carried out meanwhile: hers does nothing, whatever can be done again."""
    detail = f"{plan.applied_by} did the same at {plan.applied_at:%Y-%m-%dT%H:%M:%SZ}"
    return [
        item
        if item["outcome"] in (*_LEFT_ALONE, "changed_since")
        else {**_changed_since(item["id"], versions.get(item["id"])), "detail": detail}
        for item in (plan.answer or {})["items"]
    ]


def _uuid(text: str) -> str:
    return str(UUID(text))


RowId = Annotated[int, Field(ge=1, lt=2**63)]
"""An id that is a row's number; for `BulkChange[RowId, …]`."""

UuidText = Annotated[str, AfterValidator(_uuid)]
"""An id that is a UUID, as text in its usual form."""
