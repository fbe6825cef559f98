"""Operators have the document of an order issued again."""

from __future__ import annotations

from datetime import datetime

from common.errors import Conflict, NotFound
from common.http import AdminChange, Change, ChangeAnswer
from common.ids import new_id
from common.telemetry import current_traceparent
from orchestrator.documents.issue import REISSUE
from orchestrator.documents.store import document_status
from orchestrator.engine.append import append_events
from orchestrator.engine.model import ORDER_DOCUMENT, WorkflowState, new_event, require_version
from orchestrator.engine.views import ExpectedVersion


class ReissueChange(AdminChange):
    """The document is issued again."""

    expected_version: int | None = ExpectedVersion


class ReissueTaken(ChangeAnswer):
    """A new version will be issued; `replaces` is the version of now, 0 for none. Nobody is told."""

    number: str
    dry_run: bool
    replaces: int


async def reissue_document(change: Change, number: str, *, expected_version: int | None, now: datetime) -> ReissueTaken:
    """Notify the document's workflow, and record it. Raises ``NotFound``, ``Conflict``, ``StaleVersion``."""
    status = await document_status(change.connection, number)
    if status is None:
        raise NotFound(f"there is no order {number}")
    version: int = status["version"]
    require_version(f"the document of order {number}", at=version, expected=expected_version)
    if not status["closed"]:
        raise Conflict(f"order {number} is not closed, or cancelled: it has no document")
    if status["workflow"] in {WorkflowState.STOPPED, WorkflowState.CRASHED}:
        state = WorkflowState(status["workflow"]).name.lower()
        raise Conflict(f"the document's workflow of order {number} is {state}: mend that first")
    event = new_event(
        number,
        ORDER_DOCUMENT,
        REISSUE,
        new_id(),
        attributes={"reason": change.reason, "actor": change.principal.name},
        now=now,
        traceparent=current_traceparent(),
    )
    await append_events(change.connection, [event])
    await change.record(
        "order.document.reissue", f"order:{number}", before={"version": version}, after={"version": version + 1}
    )
    return ReissueTaken(number=number, dry_run=change.dry_run, replaces=version)
