"""Mails reports that were written: intention, mail, outcome, each on its own, so that a crash in between is seen and repeated."""

from __future__ import annotations

from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses

from common.clock import Clock
from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import Envelope
from common.ids import derived_id
from common.mail import MailSent, SmtpSender
from common.service import apart
from common.telemetry import get_logger
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.metrics import RescueMetrics
from webhook_gateway.rescue.model import Report, report_fingerprint
from webhook_gateway.rescue.report_store import ReportQueue

_log = get_logger()
_LONGEST_PAUSE = timedelta(minutes=10)
_LEASE_MARGIN = timedelta(seconds=30)
_MOST_DOUBLINGS = 16


class SendReports:
    """Any number of replicas may run it; a report is tried by one at a time.

    A mail is sent again only when the server did not say yes, with the same Message-ID; at a lost yes the recipient may therefore see
    it twice, and recognise it.
    """

    def __init__(
        self,
        queue: ReportQueue,
        mailer: SmtpSender,
        *,
        metrics: RescueMetrics,
        clock: Clock,
        deadline: float,
        retry: float,
        patience: float,
    ) -> None:
        """``deadline`` is what one mail may take, ``retry`` the first pause, ``patience`` when a report is given up; seconds."""
        self._queue = queue
        self._mailer = mailer
        self._metrics = metrics
        self._clock = clock
        self._deadline = deadline
        self._lease = timedelta(seconds=deadline) + _LEASE_MARGIN
        self._retry = timedelta(seconds=retry)
        self._patience = timedelta(seconds=patience)

    async def __call__(self) -> None:
        """Send everything that is due."""
        if not await self._queue.any_due():
            return
        while await self._queue.compose():
            pass
        while (report := await self._queue.claim(lease=self._lease)) is not None:
            with apart(f"report {report.id}"):  # its lease keeps it apart
                await self._send(report)

    async def _send(self, report: Report) -> None:
        mail = compose(report)
        recipients = [address for _, address in getaddresses([report.recipient, *report.copies])]
        outcome = await self._mailer.send(mail, recipients=recipients, deadline=self._deadline)
        now = self._clock.now()
        if isinstance(outcome, MailSent):
            await self._queue.sent(report, at=now)
            self._metrics.reported("sent")
            if outcome.refused:
                _log.warning("endangered_report_partly_refused", report_id=report.id, refused=outcome.refused)
            _log.info("endangered_report_sent", report_id=report.id, endangered_id=report.endangered_id)
        elif outcome.permanent or now - report.created_at > self._patience:
            await self._queue.give_up(report, error=outcome.error, problem=self._problem(report, outcome.error))
            self._metrics.reported("failed")
            _log.error("endangered_report_failed", report_id=report.id, reason=outcome.error)
        else:
            doubled = self._retry * 2 ** min(report.attempts - 1, _MOST_DOUBLINGS)
            await self._queue.postpone(report, pause=min(doubled, _LONGEST_PAUSE), error=outcome.error)
            self._metrics.reported("postponed")
            _log.warning("endangered_report_postponed", report_id=report.id, reason=outcome.error)

    def _problem(self, report: Report, error: str) -> Envelope:
        now = self._clock.now()
        problem = ProblemRaisedV1(
            kind="endangered_report.failed",
            severity="warning",
            fingerprint=report_fingerprint(report.id),
            summary="Письмо о проблемном заказе не отправлено",
            details={"endangered_id": report.endangered_id, "report_id": report.id, "reason": error},
            service=SERVICE,
            link=f"/e/{report.endangered_id}",
            occurred_at=now,
        )
        return Envelope.of(
            problem,
            event_id=derived_id("problem", "endangered_report.failed", report.id),
            source=f"/{SERVICE}",
            subject=None,
            time=now,
            traceparent=report.traceparent,
        )


def compose(report: Report) -> EmailMessage:
    """Return the mail; the same report always gives the same one, Date and Message-ID too."""
    mail = EmailMessage()
    mail["From"] = report.sender
    mail["To"] = report.recipient
    if report.copies:
        mail["Cc"] = ", ".join(report.copies)
    mail["Subject"] = report.subject
    mail["Date"] = format_datetime(report.created_at)
    mail["Message-ID"] = report.message_id
    mail["Auto-Submitted"] = "auto-generated"
    if report.traceparent is not None:
        mail["traceparent"] = report.traceparent
    mail.set_content(report.text)
    return mail
