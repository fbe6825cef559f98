"""Mail through aiosmtplib."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from webhook_gateway.website.ports import MailOutcome, Report

_GOODBYE_S = 1.0


class SmtpMailer:
    """One mail server, a connection a mail. 4xx and silence are tried again, 5xx is for good."""

    def __init__(
        self, *, host: str, port: int, user: str | None, password: str | None, tls: bool, deadline: float
    ) -> None:
        self._host = host
        self._port = port
        self._user = user
        self._password = password
        self._tls = tls
        self._deadline = deadline

    async def send(self, report: Report) -> MailOutcome:
        """Send one mail within the deadline. What the server has taken is sent, whatever becomes of the connection afterwards."""
        client = aiosmtplib.SMTP(
            hostname=self._host, port=self._port, timeout=self._deadline, start_tls=self._tls, use_tls=False
        )
        try:
            outcome = await self._hand_over(client, report)
            if outcome.kind == "sent":
                await _say_goodbye(client)
            return outcome
        finally:
            client.close()

    async def _hand_over(self, client: aiosmtplib.SMTP, report: Report) -> MailOutcome:
        try:
            async with asyncio.timeout(self._deadline):
                await client.connect()
                if self._user is not None:
                    await client.login(self._user, self._password or "")
                refused, _ = await client.send_message(compose(report))
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _by_code(max((each.code for each in error.recipients), default=550), "all recipients are refused")
        except aiosmtplib.SMTPAuthenticationError:
            return MailOutcome("later", "the mail server refuses the login")
        except aiosmtplib.SMTPResponseException as error:
            return _by_code(error.code, "the mail server refuses")
        except (TimeoutError, aiosmtplib.SMTPException, OSError) as error:
            return MailOutcome("later", f"no answer from the mail server ({type(error).__name__})")
        return MailOutcome("sent", f"{len(refused)} recipients are refused" if refused else "")


async def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    """End the dialogue in order, if the server takes part in it."""
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await client.quit()
    except (TimeoutError, aiosmtplib.SMTPException, OSError):
        return


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


def _by_code(code: int, what: str) -> MailOutcome:
    return MailOutcome("refused" if code >= 500 else "later", f"{what} ({code})")
