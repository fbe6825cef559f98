"""Confirm a handover: the newcomer by a button, or an operator for whoever has the running shift (they said so by phone)."""

from __future__ import annotations

from datetime import datetime

from common.contracts.notices import notice
from common.errors import Conflict, NotFound
from common.http import Change
from common.postgres import Connection
from notifier.duty.roster import running
from notifier.duty.roster_store import HandoverStore, RosterReader

_WAITING = "SELECT person FROM calls WHERE handover_id = $1 AND state = 'waiting' ORDER BY person"


async def confirm_own(connection: Connection, handover_id: int, *, person: str) -> tuple[str | None, bool]:
    """Confirm a handover if it is that person's; returns whose it is (None: there is none), and whether it was confirmed just now."""
    store = HandoverStore(connection)
    whose = await store.whose(handover_id)
    return whose, whose == person and await store.confirm(handover_id, by=person)


async def confirm_running(change: Change, *, now: datetime) -> tuple[int, str]:
    """Confirm the running shift's handover; returns its id and whose it is. Once confirmed, it stays as it was confirmed first.

    Raises ``NotFound`` when nobody is on duty, ``Conflict`` while the shift was not announced, and for whoever hands it over.
    """
    reader = RosterReader(change.connection)
    shift = running(await reader.final_shifts(now), now)
    if shift is None or shift.on_duty is None:
        raise NotFound("nobody is on duty")
    handover = await reader.handover(starts_at=shift.starts_at, person=shift.on_duty)
    if handover is None:
        raise Conflict("the handover was not announced yet")
    if change.principal.name == handover.previous != handover.person:
        raise Conflict(
            f"who hands over does not confirm: that is for {handover.person}, or somebody who has the word of {handover.person}"
        )
    waiting = await change.connection.fetch(_WAITING, handover.id)
    await confirm_own(change.connection, handover.id, person=shift.on_duty)
    change.tells(*(notice("call.dropped", of=f"handover:{handover.id}", to=row["person"]) for row in waiting))
    await change.record(
        "handover.confirm",
        f"handover:{handover.id}",
        before={"confirmed": handover.confirmed_at is not None},
        after={"confirmed": True, "person": shift.on_duty},
    )
    return handover.id, shift.on_duty
