"""The duty roster by HTTP (CONTRACT 7, M24): the plan, overrides, who answers now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from common.clock import Clock
from common.errors import Conflict, NotFound, Unprocessable
from common.http import OPERATOR, VIEWER, AdminChange, Request, Route, audit, once
from common.postgres import Connection, Database
from notifier.duty import views as models
from notifier.duty.change_roster import ChangeRoster
from notifier.duty.roster import Override, Plan, Shift, Week, gaps, shifts
from notifier.duty.roster_store import RosterReader, RosterStore
from notifier.people.model import Directory

_ADMIN = ("admin",)
_SHOWN = timedelta(weeks=8)
_GAPS = timedelta(weeks=4)
_BEHIND = timedelta(days=8)


class _DryRunError(Exception):
    """Rolls a dry run back after it has been carried out; ``answer`` says what it would have done."""

    def __init__(self, answer: Any) -> None:
        super().__init__("dry run")
        self.answer = answer


class RosterRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self,
        *,
        database: Database,
        reader_on: Callable[[Connection], RosterReader],
        store_on: type[RosterStore],
        confirm: Callable[..., Any],
        change: ChangeRoster,
        directory: Directory,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._reader_on = reader_on
        self._store_on = store_on
        self._confirm = confirm
        self._change = change
        self._directory = directory
        self._clock = clock
        self._wake = wake

    async def show(self, _request: Request[None, None]) -> models.RosterView:
        """Answer the plan and what follows from it."""
        async with self._database.acquire() as connection:
            return await self._view(self._reader_on(connection))

    async def replace(self, request: Request[models.RosterChange, None]) -> Any:
        """Replace the plan."""
        body = request.body
        try:
            plan = Plan(
                zone=body.zone,
                first_week=body.first_week,
                rotation=tuple(body.rotation),
                backups=tuple(body.backups),
                weeks={day: Week(on_duty=week.on_duty, backup=week.backup) for day, week in body.weeks.items()},
                starts=body.starts,
            )
        except ValueError as error:
            raise Unprocessable(str(error)) from None

        async def work(connection: Connection) -> models.RosterView:
            """Do it, in the transaction of the key."""
            await self._change.plan(
                self._store_on(connection, principal=request.principal, request_id=request.request_id),
                plan,
                expected_version=body.expected_version,
                by=request.principal.name,
                reason=body.reason,
                shown=models.PlanBody(**body.model_dump(include=set(models.PlanBody.model_fields))),
            )
            view = await self._view(self._reader_on(connection))
            return view.model_copy(update={"dry_run": body.dry_run})

        return await self._once(request, work)

    async def override(self, request: Request[models.OverrideBody, None]) -> Any:
        """Put somebody over the plan for a while, or swap two weeks."""
        body, by = request.body, request.principal.name

        async def work(connection: Connection) -> models.Overridden:
            """Do it, in the transaction of the key."""
            store = self._store_on(connection, principal=request.principal, request_id=request.request_id)
            if body.swap is not None:
                made = await self._change.swap(store, one=body.swap[0], other=body.swap[1], by=by, reason=body.reason)
            else:
                if body.starts_at is None or body.ends_at is None:
                    raise Unprocessable("starts_at and ends_at are needed")
                made = (
                    await self._change.override(
                        store,
                        place=body.place,
                        person=body.person,
                        starts_at=body.starts_at,
                        ends_at=body.ends_at,
                        by=by,
                        reason=body.reason,
                    ),
                )
            return models.Overridden(items=[_override(each) for each in made], dry_run=body.dry_run)

        return await self._once(request, work)

    async def confirm(self, request: Request[AdminChange, None]) -> Any:
        """Confirm the running shift's handover for whoever has it (they said so by phone)."""
        body = request.body

        async def work(connection: Connection) -> models.Confirmed:
            """Do it, in the transaction of the key."""
            reader = self._reader_on(connection)
            plan, _ = await reader.versioned()
            now = self._clock.now()
            current = None if plan is None else _current(await self._shifts(reader, plan, now), now)
            person = None if current is None else current.on_duty
            if current is None or person is None:
                raise NotFound("nobody is on duty")
            handover = await reader.handover(starts_at=current.starts_at, person=person)
            if handover is None:
                raise Conflict("the handover was not announced yet")
            await self._confirm(connection, handover.id, person=person)
            await audit.record(
                connection,
                principal=request.principal,
                action="handover.confirm",
                target=f"handover:{handover.id}",
                reason=body.reason,
                before={"confirmed": handover.confirmed_at is not None},
                after={"confirmed": True, "person": person},
                request_id=request.request_id,
            )
            return models.Confirmed(handover_id=handover.id, person=person, dry_run=body.dry_run)

        return await self._once(request, work)

    async def on_call(self, _request: Request[None, None]) -> models.OnCallView:
        """Answer who answers now, with phone numbers."""
        now = self._clock.now()
        async with self._database.acquire() as connection:
            reader = self._reader_on(connection)
            plan, _ = await reader.versioned()
            duty = await reader.duty(now)
            found = () if plan is None else await self._shifts(reader, plan, now)
            current = _current(found, now)
            handover = None
            if current is not None and current.on_duty is not None:
                handover = await reader.handover(starts_at=current.starts_at, person=current.on_duty)
        following = next((shift for shift in found if shift.starts_at > now and shift.on_duty is not None), None)
        return models.OnCallView(
            now=now,
            on_duty=self._person(duty.on_duty),
            backup=self._person(duty.backup),
            previous=self._person(duty.previous),
            since=None if current is None else current.starts_at,
            until=None if current is None else current.ends_at,
            confirmed=handover is not None and handover.confirmed_at is not None,
            next=None if following is None else _shift(following),
            gaps=[_shift(shift) for shift in gaps(found) if shift.ends_at > now and shift.starts_at < now + _GAPS],
        )

    async def _once(self, request: Request[Any, None], work: Callable[[Connection], Any]) -> Any:
        try:
            async with self._database.transaction() as connection:

                async def carried_out() -> Any:
                    answer = await work(connection)
                    _roll_back_preview(request.body, answer)
                    return answer

                answer = await once(connection, request, carried_out)
        except _DryRunError as preview:
            return preview.answer
        self._wake()
        return answer

    async def _view(self, reader: RosterReader) -> models.RosterView:
        plan, version = await reader.versioned()
        now = self._clock.now()
        if plan is None:
            return models.RosterView(version=0, plan=None, overrides=[], shifts=[], gaps=[])
        found = await self._shifts(reader, plan, now)
        return models.RosterView(
            version=version,
            plan=models.PlanBody(
                zone=plan.zone,
                first_week=plan.first_week,
                rotation=list(plan.rotation),
                backups=list(plan.backups),
                weeks={
                    day: models.WeekBody(on_duty=week.on_duty, backup=week.backup) for day, week in plan.weeks.items()
                },
                starts=plan.starts,
            ),
            overrides=[_override(each) for each in await reader.overrides(since=now - _BEHIND, until=now + _SHOWN)],
            shifts=[_shift(shift) for shift in found],
            gaps=[_shift(shift) for shift in gaps(found)],
        )

    async def _shifts(self, reader: RosterReader, plan: Plan, now: datetime) -> Sequence[Shift]:
        return await final_shifts(reader, plan, now)

    def _person(self, person_id: str | None) -> models.PersonView | None:
        if person_id is None:
            return None
        person = self._directory.person(person_id)
        if person is None:
            return models.PersonView(id=person_id, name=person_id, phone=None)
        return models.PersonView(id=person.id, name=person.name, phone=person.phone)

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        changes: tuple[tuple[str, str, Any, str, Any, Any], ...] = (
            ("PUT", "/admin/v1/roster", self.replace, "Replace the plan", models.RosterChange, models.RosterView),
            (
                "POST",
                "/admin/v1/roster/overrides",
                self.override,
                "Put somebody over the plan for a while, or swap two weeks",
                models.OverrideBody,
                models.Overridden,
            ),
            (
                "POST",
                "/admin/v1/roster/handovers/confirm",
                self.confirm,
                "Confirm the running shift's handover",
                AdminChange,
                models.Confirmed,
            ),
        )
        return [
            Route(
                method="GET",
                path="/admin/v1/roster",
                handler=self.show,
                summary="The plan, overrides, final shifts and gaps",
                response=models.RosterView,
                roles=VIEWER,
                tags=_ADMIN,
            ),
            *(
                Route(
                    method=method,
                    path=path,
                    handler=handler,
                    summary=summary,
                    request=request,
                    response=response,
                    errors=(NotFound, Conflict),
                    roles=OPERATOR,
                    tags=_ADMIN,
                    idempotent=True,
                )
                for method, path, handler, summary, request, response in changes
            ),
            Route(
                method="GET",
                path="/admin/v1/on-call",
                handler=self.on_call,
                summary="Who answers now, with phone numbers",
                response=models.OnCallView,
                roles=VIEWER,
                tags=_ADMIN,
            ),
        ]


async def final_shifts(reader: RosterReader, plan: Plan, now: datetime) -> Sequence[Shift]:
    """Return the final shifts from now on, eight weeks of them."""
    # Overrides of the week before too, so that the running shift is cut as it is for everybody else.
    overrides = await reader.overrides(since=now - _BEHIND, until=now + _SHOWN + _BEHIND)
    return shifts(plan, overrides, since=now, until=now + _SHOWN)


def _roll_back_preview(change: Any, answer: Any) -> None:
    """End a dry run: it is carried out for real and rolled back, so a preview cannot differ from the deed."""
    if change.dry_run:
        raise _DryRunError(answer)


def _current(found: Sequence[Shift], now: datetime) -> Shift | None:
    return next((shift for shift in found if shift.starts_at <= now < shift.ends_at), None)


def _shift(shift: Shift) -> models.ShiftView:
    return models.ShiftView(
        starts_at=shift.starts_at, ends_at=shift.ends_at, on_duty=shift.on_duty, backup=shift.backup
    )


def _override(override: Override) -> models.OverrideView:
    return models.OverrideView(
        id=override.id,
        place=override.place,
        person=override.person,
        starts_at=override.starts_at,
        ends_at=override.ends_at,
    )
