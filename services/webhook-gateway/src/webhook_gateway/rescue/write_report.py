"""A person completes the report on an endangered order; ``send_reports`` mails it after the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from common.errors import Conflict
from common.http import Change
from common.ids import new_id
from common.service import add_act
from common.telemetry import current_traceparent
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.letter import letter_of
from webhook_gateway.rescue.model import Act, LockedOrder, Report, after
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
    def of(cls, *, sender: str, to: str | None, copies: tuple[str, ...]) -> Addresses:
        """Take the settings; the Message-ID gets the sender's domain."""
        domain = sender.rpartition("@")[2].strip(" >") or "gateway.invalid"
        return cls(sender=sender, to=to, copies=copies, domain=domain)


async def write_report(
    change: Change,
    store: EndangeredStore,
    endangered_id: str,
    *,
    cause: str,
    remedy: str,
    addresses: Addresses,
    mail_due: Callable[[], None] | None,
    now: datetime,
) -> WrittenReport:
    """Keep the report, to be mailed. Raises ``NotFound``, ``Conflict`` when the order is closed, has a report already, or nobody is
    configured to get one. ``mail_due`` is called after the commit.
    """
    found = await store.lock(change.connection, endangered_id)
    report = written(found, cause=cause, remedy=remedy, author=change.principal.name, addresses=addresses, now=now)
    await store.add_report(change.connection, report)
    if mail_due is not None:
        change.after_commit(mail_due)
    await change.record(
        "endangered_order.report",
        f"endangered:{endangered_id}",
        before={"state": found.state},
        after={"report_id": report.id, "message_id": report.message_id},
    )
    await add_act(
        change,
        "endangered_order.report_written",
        found.number,
        "The report on the endangered order was written",
        service=SERVICE,
        details={"report_id": report.id},
        now=now,
    )
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


def written(found: LockedOrder, *, cause: str, remedy: str, author: str, addresses: Addresses, now: datetime) -> Report:
    """Return the report. Its Message-ID is fixed here, so that a repeated mail can be recognised as one."""
    after(found.state, Act.REPORT, number=found.order.number)
    if addresses.to is None:
        raise Conflict("nobody is configured to get reports (REPORT_TO, SMTP_HOST)")
    letter = letter_of(found.order, cause=cause, remedy=remedy)
    report_id = new_id()
    return Report(
        id=report_id,
        endangered_id=found.order.id,
        created_at=now,
        created_by=author,
        cause=cause,
        remedy=remedy,
        sender=addresses.sender,
        recipient=addresses.to,
        copies=addresses.copies,
        subject=letter.subject,
        text=letter.text,
        message_id=f"<endangered-{report_id}@{addresses.domain}>",
        traceparent=current_traceparent(),
    )
