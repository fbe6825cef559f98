"""What a person does to an incident: take it, close it, remark on it. Each act is audited in the transaction of its change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

from common.http import Change
from common.ids import derived_id
from common.telemetry import scrub_text
from notifier.delivery.model import ACT
from notifier.delivery.notifications import NotificationStore
from notifier.incidents import model as incidents
from notifier.incidents.model import CallUnderWay, Incident, IncidentState
from notifier.incidents.problems import Problems
from notifier.incidents.store import IncidentStore

Act = Literal["ack", "resolve", "comment"]
Answer = TypeVar("Answer")
NameNotices = Callable[[Change, NotificationStore, Sequence[int]], Awaitable[None]]
"""Names what follows from what a change has done to these incidents: see ``tickets/name_notices.py``."""
_ACK_LASTS = timedelta(hours=1)
_ASK_AGAIN = 0.05


class ActOnIncident:
    """Raises ``NotFound`` for an unknown incident, ``Conflict`` where its state forbids the act, ``CallUnderWay`` (see ``patiently``).

    An acknowledgement that is committed stops the chain: no call because of the incident is on its way then, and none begins while it
    holds, for each is claimed under the incident's lock.
    """

    def __init__(self, *, problems: Problems, ack_lasts: timedelta = _ACK_LASTS) -> None:
        self._problems = problems
        self._ack_lasts = ack_lasts

    async def __call__(
        self,
        incident_store: IncidentStore,
        notifications: NotificationStore,
        *,
        incident_id: int,
        act: Act,
        actor: str,
        text: str,
        dry_run: bool,
        take_over: bool = False,
        origin: str | None = None,
    ) -> tuple[Incident, IncidentState]:
        """Carry the act out, in the caller's transaction; returns the incident before it, and the state after it.

        The end of an incident is notified wherever the problem was; every message about it is edited. A dry run, which the caller rolls
        back, does the same, without regard to a call under way.
        """
        incident = await incident_store.incident(incident_id)
        if act == "ack":
            state = incidents.acknowledge(incident.state, by=actor, holder=incident.holder, take_over=take_over)
        else:
            state = incidents.resolve(incident.state) if act == "resolve" else incidents.comment(incident.state)
        if act != "comment" and not dry_run:
            await incident_store.ensure_no_call_in_progress(incident)
        await incident_store.change(
            incident, state, act=act, actor=actor, text=scrub_text(text), ack_lasts=self._ack_lasts, origin=origin
        )
        await incident_store.audit(
            action=f"incident.{act}",
            target=f"incident:{incident_id}",
            reason=text,
            before={"state": incident.state.value, "version": incident.version},
            after={"state": state.value, "version": incident.version + 1},
        )
        if act == "resolve":
            event_id = derived_id("notifier.resolved-by-hand", str(incident_id))
            now = datetime.now(UTC)
            over = self._problems.resolved(incident_id, incident, now, event_id=event_id, traceparent=None)
            await notifications.add([over])
        if act != "comment":  # which no message shows
            await notifications.refresh([incident_id], priority=ACT)  # last: chats are locked before posts
        return incident, state


async def patiently(act: Callable[[], Awaitable[Answer]], *, seconds: float) -> Answer:
    """Carry out a whole transaction, again and again while a call is on its way; raises ``CallUnderWay`` after that many seconds.

    A call has a deadline, and the next step of the chain is minutes away: one wait is enough.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return await act()
        except CallUnderWay:
            if asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(_ASK_AGAIN)
