"""Writes the report on an endangered order (M6) and keeps the intention to send it; ``send_reports`` mails it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from common.errors import Conflict
from common.ids import new_id
from webhook_gateway.rescue import letter as report
from webhook_gateway.rescue.model import Act, after
from webhook_gateway.website.ports import Endangered, Report, RescueUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Who is told. ``to`` is the responsible person, ``copies`` the developers; None: nobody has been configured."""

    sender: str
    to: str | None
    copies: tuple[str, ...]
    domain: str

    @classmethod
    def of(cls, *, sender: str, to: str | None, copies: tuple[str, ...]) -> Addresses:
        """Take the settings; the Message-ID gets the sender's domain."""
        domain = sender.rpartition("@")[2].strip(" >") or "gateway.invalid"
        return cls(sender=sender, to=to, copies=copies, domain=domain)


async def report_endangered(
    unit: RescueUnit,
    endangered_id: str,
    *,
    cause: str,
    remedy: str,
    author: str,
    addresses: Addresses,
    now: datetime,
    traceparent: str | None,
) -> tuple[Endangered, Report]:
    """Write the report that a person has completed; it goes after the transaction.

    Its Message-ID is fixed here, so that a repeated mail can be recognised as one. Raises ``NotFound``, ``Conflict`` when the order is
    closed, has a report already, or nobody is configured to get one.
    """
    found = await unit.lock(endangered_id)
    after(found.state, Act.REPORT, number=found.order.number)
    if addresses.to is None:
        raise Conflict("nobody is configured to get reports (REPORT_TO, SMTP_HOST)")
    letter = report.write(found.order, cause=cause, remedy=remedy)
    report_id = new_id()
    written = Report(
        id=report_id,
        endangered_id=endangered_id,
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
        traceparent=traceparent,
    )
    await unit.add_report(written)
    return found, written
