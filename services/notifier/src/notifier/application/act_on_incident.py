"""What a person does to an incident: take it, close it, remark on it. Each act is audited in the transaction of its change."""

from __future__ import annotations

from typing import Literal

from common.ids import derived_id
from common.telemetry import scrub_text
from notifier.application.ports import Desk, Incident, Ledger
from notifier.application.take_in import TakeIn
from notifier.domain import incidents
from notifier.domain.incidents import IncidentState
from notifier.domain.urgency import ACT

Act = Literal["ack", "resolve", "comment"]
_RULES = {"ack": incidents.acknowledge, "resolve": incidents.resolve, "comment": incidents.comment}


class ActOnIncident:
    """Raises ``NotFound`` for an unknown incident, ``Conflict`` where its state does not allow the act."""

    def __init__(self, *, take_in: TakeIn) -> None:
        self._take_in = take_in

    async def __call__(
        self, desk: Desk, ledger: Ledger, *, incident_id: int, act: Act, actor: str, text: str, dry_run: bool
    ) -> tuple[Incident, IncidentState]:
        """Carry the act out, in the caller's transaction; returns the incident before it, and the state after it.

        A resolved incident is told as over wherever it was told; every message about it is edited. A dry run changes nothing.
        """
        incident = await desk.incident(incident_id)
        state = _RULES[act](incident.state)
        if dry_run:
            return incident, state
        await desk.change(incident, state, act=act, actor=actor, text=scrub_text(text))
        await desk.audit(
            action=f"incident.{act}",
            target=f"incident:{incident_id}",
            reason=text,
            before={"state": incident.state.value, "version": incident.version},
            after={"state": state.value, "version": incident.version + 1},
        )
        await ledger.refresh([incident_id], priority=ACT)
        if act == "resolve":
            event_id = derived_id("notifier.resolved-by-hand", str(incident_id))
            await ledger.add(
                [self._take_in.resolved_notice(incident_id, incident.fact, event_id=event_id, traceparent=None)]
            )
        return incident, state
