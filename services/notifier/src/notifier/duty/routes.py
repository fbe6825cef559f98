"""The duty roster by HTTP: the plan, overrides, who answers now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from common.clock import Clock
from common.errors import Conflict, NotFound, Unprocessable
from common.http import (
    AdminChange,
    Answer,
    Change,
    Changes,
    Page,
    PageQuery,
    Request,
    Route,
    change_route,
    listed,
    one_listed,
    read_route,
)
from common.postgres import Connection, Database
from notifier.duty.change_roster import ChangeRoster
from notifier.duty.confirm_handover import confirm_running
from notifier.duty.follow_roster import FollowRoster
from notifier.duty.roster import Override, Plan, Shift, Week, gaps, running
from notifier.duty.roster_store import SHOWN, RosterReader, select_overrides
from notifier.duty.views import (
    Confirmed,
    OnCallView,
    Overridden,
    OverrideBody,
    OverrideKept,
    PersonView,
    RosterChange,
    RosterChanged,
    RosterView,
)
from notifier.people.model import Directory

_GAPS = timedelta(weeks=4)

_change = partial(change_route, errors=(NotFound, Conflict))


class RosterRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self, *, database: Database, directory: Directory, clock: Clock, follow: FollowRoster, wake: Callable[[], None]
    ) -> None:
        self._follow = follow
        self._database = database
        self._changes = Changes(database, committed=wake)
        self._roster = ChangeRoster(directory=directory)
        self._directory = directory
        self._clock = clock

    async def show(self, _request: Request[None, None]) -> RosterView:
        """Answer the plan and what follows from it."""
        async with self._database.acquire() as connection:
            return await self._view(connection)

    async def replace(self, request: Request[RosterChange, None]) -> Answer:
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

        return await self._changes.carry_out(
            request, partial(self._replace, plan=plan, expected_version=body.expected_version)
        )

    async def _replace(self, change: Change, *, plan: Plan, expected_version: int | None) -> RosterChanged:
        before = await self._follow.before(change)
        await self._roster.replace(change, plan, expected_version=expected_version)
        replaced = await self._follow(change, before)
        view = await self._view(change.connection, dry_run=change.dry_run)
        return RosterChanged.model_validate({**dict(view), "replaced": replaced}, from_attributes=True)

    async def overrides(self, request: Request[None, PageQuery]) -> Page[OverrideKept]:
        """Answer the overrides, also those that are over."""

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return select_overrides(before=None if after is None else after[0], limit=limit)

        return await listed(
            self._database, request.query, select, key={"id": int}, item=lambda row: OverrideKept(**row)
        )

    async def one_override(self, request: Request[None, None]) -> OverrideKept:
        """Answer one override, also one that is over."""
        name = request.path_int("id")
        found = select_overrides(before=name + 1, limit=1)
        return await one_listed(self._database, found, named={"id": name}, item=lambda row: OverrideKept(**row))

    async def override(self, request: Request[OverrideBody, None]) -> Answer:
        """Put somebody over the plan for a while, or swap two weeks."""
        return await self._changes.carry_out(request, partial(self._override, body=request.body))

    async def _override(self, change: Change, *, body: OverrideBody) -> Overridden:
        await self._roster.ensure_unchanged(change, body.expected_version)
        before = await self._follow.before(change)
        if body.swap is not None:
            made = await self._roster.swap(change, *body.swap, looked_at=body.expected_version is not None)
        elif body.starts_at is None or body.ends_at is None:
            raise Unprocessable("starts_at and ends_at are needed")
        else:
            override = await self._roster.override(
                change, place=body.place, person=body.person, starts_at=body.starts_at, ends_at=body.ends_at
            )
            made = [override]
        return await self._overridden(change, made, before)

    async def take_back(self, request: Request[AdminChange, None]) -> Answer:
        """Take an override back."""
        return await self._changes.carry_out(request, partial(self._take_back, override_id=request.path_int("id")))

    async def _take_back(self, change: Change, *, override_id: int) -> Overridden:
        before = await self._follow.before(change)
        return await self._overridden(change, [await self._roster.take_back(change, override_id)], before)

    async def _overridden(self, change: Change, overrides: Sequence[Override], before: Sequence[Shift]) -> Overridden:
        answer = {"items": overrides, "replaced": await self._follow(change, before), "dry_run": change.dry_run}
        return Overridden.model_validate(answer, from_attributes=True)

    async def confirm(self, request: Request[AdminChange, None]) -> Answer:
        """Confirm the running shift's handover for whoever has it."""
        return await self._changes.carry_out(request, self._confirm)

    async def _confirm(self, change: Change) -> Confirmed:
        handover_id, person = await confirm_running(change, now=self._clock.now())
        return Confirmed(handover_id=handover_id, person=person, dry_run=change.dry_run)

    async def on_call(self, _request: Request[None, None]) -> OnCallView:
        """Answer who answers now, with phone numbers."""
        now = self._clock.now()
        async with self._database.acquire() as connection:
            reader = RosterReader(connection)
            duty = await reader.duty(now)
            found = await reader.final_shifts(now)
            current = running(found, now)
            handover = None
            if current is not None and current.on_duty is not None:
                handover = await reader.handover(starts_at=current.starts_at, person=current.on_duty)
        following = next((shift for shift in found if shift.starts_at > now and shift.on_duty is not None), None)
        return OnCallView.model_validate(
            {
                "now": now,
                "on_duty": self._person(duty.on_duty),
                "backup": self._person(duty.backup),
                "previous": self._person(duty.previous),
                "since": None if current is None else current.starts_at,
                "until": None if current is None else current.ends_at,
                "confirmed": handover is not None and handover.confirmed_at is not None,
                "handed_over_by": None
                if handover is None or handover.previous == handover.person
                else handover.previous,
                "next": following,
                "gaps": [gap for gap in gaps(found) if gap.ends_at > now and gap.starts_at < now + _GAPS],
            },
            from_attributes=True,
        )

    async def _view(self, connection: Connection, *, dry_run: bool = False) -> RosterView:
        reader, now = RosterReader(connection), self._clock.now()
        plan, version = await reader.versioned()
        found = await reader.final_shifts(now)
        overrides = await reader.overrides(since=now, until=now + SHOWN)
        return RosterView.model_validate(
            {
                "version": version,
                "revision": await reader.current_revision(),
                "plan": plan,
                "overrides": overrides,
                "shifts": found,
                "gaps": gaps(found),
                "dry_run": dry_run,
            },
            from_attributes=True,
        )

    def _person(self, person_id: str | None) -> PersonView | None:
        if person_id is None:
            return None
        person = self._directory.person(person_id)
        if person is None:
            return PersonView(id=person_id, name=person_id, phone=None)
        return PersonView.model_validate(person, from_attributes=True)

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            read_route("/admin/v1/roster", self.show, "The plan, overrides, final shifts and gaps", RosterView),
            _change("PUT", "/admin/v1/roster", self.replace, "Replace the plan", RosterChange, RosterChanged),
            read_route(
                "/admin/v1/roster/overrides",
                self.overrides,
                "Overrides of the roster with who made them and why, the newest first",
                Page[OverrideKept],
                query=PageQuery,
            ),
            read_route(
                "/admin/v1/roster/overrides/{id}",
                self.one_override,
                "One override of the roster, also one that is over",
                OverrideKept,
                errors=(NotFound,),
            ),
            _change(
                "POST",
                "/admin/v1/roster/overrides",
                self.override,
                "Put somebody over the plan for a while, or swap two weeks",
                OverrideBody,
                Overridden,
            ),
            _change(
                "DELETE",
                "/admin/v1/roster/overrides/{id}",
                self.take_back,
                "Take an override back: what lies under it holds again",
                AdminChange,
                Overridden,
            ),
            _change(
                "POST",
                "/admin/v1/roster/handovers/confirm",
                self.confirm,
                "Confirm the running shift's handover",
                AdminChange,
                Confirmed,
            ),
            read_route("/admin/v1/on-call", self.on_call, "Who answers now, with phone numbers", OnCallView),
        ]
