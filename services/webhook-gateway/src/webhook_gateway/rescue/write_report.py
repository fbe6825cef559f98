"""A person completes the report on endangered orders; ``send_reports`` mails it after the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from common.contracts.notices import notice
from common.errors import Conflict
from common.http import BulkDone, Change
from common.ids import new_id
from common.service import add_act
from common.telemetry import current_traceparent
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.letter import letter_of
from webhook_gateway.rescue.model import Act, LockedOrder, Report, after
from webhook_gateway.rescue.report_store import add_report
from webhook_gateway.rescue.said import said
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.views import WrittenReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Who gets the reports. ``to`` is the responsible person, ``copies`` the developers; None: nobody has been configured."""

    sender: str
    to: str | None
    copies: tuple[str, ...]
    domain: str

    @classmethod
    def of(cls, sender: str, *, to: str | None, copies: tuple[str, ...]) -> Addresses:
        """Take the settings; the Message-ID gets the sender's domain."""
        domain = sender.rpartition("@")[2].strip(" >") or "gateway.invalid"
        return cls(sender=sender, to=to, copies=copies, domain=domain)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportWriting:
    """What a person has filled in, and where it goes. ``mail_due`` is called after the commit; None: no mail is sent."""

    store: EndangeredStore
    addresses: Addresses
    mail_due: Callable[[], None] | None
    cause: str
    remedy: str
    now: datetime


async def write_report(change: Change, writing: ReportWriting, endangered_id: str) -> WrittenReport:
    """Keep the report, to be mailed. Raises ``NotFound``, ``Conflict`` when the order is closed, has a report already, or nobody is
    configured to get one.
    """
    found = await writing.store.lock(change.connection, endangered_id)
    report = written(found, writing, author=change.principal.name)
    await add_report(change.connection, report)
    await _cover(change, writing, found, report)
    return WrittenReport(
        id=None if change.dry_run else report.id,
        endangered_id=endangered_id,
        state="draft" if change.dry_run else "waiting",
        message_id=None if change.dry_run else report.message_id,
        sender=report.sender,
        recipient=report.recipient,
        copies=list(report.copies),
        subject=report.subject,
        text=report.text,
        dry_run=change.dry_run,
    )


class ReportOnMany:
    """One report on many orders, one after the other: the first that can be reported begins it."""

    def __init__(self, writing: ReportWriting) -> None:
        self._writing = writing
        self._begun: tuple[Change, str] | None = None

    async def __call__(self, change: Change, endangered_id: str) -> BulkDone:
        """Have the report cover one more order. Raises as ``write_report`` does."""
        writing = self._writing
        found = await writing.store.lock(change.connection, endangered_id)
        report = written(found, writing, author=change.principal.name)
        if self._begun is None or self._begun[0] is not change:  # a change that was a deadlock's victim begins anew
            await add_report(change.connection, report, composed=False)
            self._begun = (change, report.id)
        report_id = self._begun[1]
        await _cover(change, writing, found, replace(report, id=report_id))
        return BulkDone(outcome="reported", detail=None if change.dry_run else f"report {report_id}")


def written(found: LockedOrder, writing: ReportWriting, *, author: str) -> Report:
    """Return the report. Its Message-ID is fixed here, so that a repeated mail can be recognised as one."""
    after(found.state, Act.REPORT, number=found.order.number)
    if found.reported:
        raise Conflict("there is a report on this order already")
    addresses = writing.addresses
    if addresses.to is None:
        raise Conflict("nobody is configured to get reports (REPORT_TO, SMTP_HOST)")
    letter = letter_of([found.order], cause=writing.cause, remedy=writing.remedy)
    report_id = new_id()
    return Report(
        id=report_id,
        endangered_id=found.order.id,
        created_at=writing.now,
        created_by=author,
        cause=writing.cause,
        remedy=writing.remedy,
        sender=addresses.sender,
        recipient=addresses.to,
        copies=addresses.copies,
        subject=letter.subject,
        text=letter.text,
        message_id=f"<endangered-{report_id}@{addresses.domain}>",
        traceparent=current_traceparent(),
    )


async def _cover(change: Change, writing: ReportWriting, found: LockedOrder, report: Report) -> None:
    report_id = report.id
    await writing.store.cover(change.connection, report_id, found.order.id)
    people = f"{report.recipient}, copies to {', '.join(report.copies) or 'nobody'}"
    change.tells(notice("mail", of=found.number or found.order.id, to=people))
    if writing.mail_due is not None:
        change.after_commit(writing.mail_due)
    await change.record(
        "endangered_order.report",
        f"endangered:{found.order.id}",
        before={"state": found.state},
        after={"report_id": report_id},
    )
    await add_act(
        change,
        "endangered_order.report_written",
        found.number,
        "The report on the endangered order was written",
        service=SERVICE,
        reason=said(found, change.reason),
        details={"report_id": report_id},
        now=writing.now,
    )
