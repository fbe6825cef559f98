"""A comment to a ticket, wherever it was written: "no need to call", said by somebody who could be called, is an acknowledgement."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import Conflict
from notifier.delivery.notifications import NotificationStore
from notifier.duty.escalation import Duty, may_be_called
from notifier.incidents.act import ActOnIncident
from notifier.incidents.store import IncidentStore
from notifier.people.model import Directory
from notifier.tickets.model import says_no_call


class AcknowledgeFromComment:
    """Raises ``CallUnderWay`` (see ``patiently``); nothing else for what a person writes."""

    def __init__(self, *, act: ActOnIncident, directory: Directory, wordings: Sequence[str]) -> None:
        self._act = act
        self._directory = directory
        self._wordings = tuple(wordings)

    async def __call__(
        self,
        incident_store: IncidentStore,
        notifications: NotificationStore,
        *,
        ticket_id: int,
        incident_id: int | None,
        author: str,
        text: str,
        duty: Duty,
        dry_run: bool = False,
    ) -> bool:
        """Acknowledge the ticket's incident if that is what the comment says; returns whether it did.

        What somebody else holds, or what is over, stays as it is.
        """
        if incident_id is None or not says_no_call(text, self._wordings):
            return False
        fact = (await incident_store.incident(incident_id)).fact
        if author not in may_be_called(duty, self._directory, source=fact.source, service=fact.service):
            return False
        try:
            await self._act(
                incident_store,
                notifications,
                incident_id=incident_id,
                act="ack",
                actor=author,
                text=text,
                dry_run=dry_run,
                origin=f"ticket:{ticket_id}",
            )
        except Conflict:
            return False
        return True
