"""Mail through a server."""

from __future__ import annotations

from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from common.ids import derived_id
from common.mail import MailFailed, MailStage, SmtpSender
from notifier.delivery.model import Limit, Message
from notifier.delivery.outcomes import NotSent, Outcome, Refused, Sent, Unclear
from notifier.messages.layout.mail import compose

_REFUSED = {MailStage.SENDER: "the server refuses the sender", MailStage.RECIPIENTS: "the server refuses the recipient"}


class MailSender:
    """One mail server. 4xx is tried again, 5xx is for good, silence after the text was sent is unclear.

    The Message-ID is the same whenever the same notice is sent again, so that mail programs can drop a repeat.
    """

    def __init__(self, *, host: str, port: int, sender: str, user: str | None, password: str | None, tls: bool) -> None:
        self._sender = sender
        self._smtp = SmtpSender(host=host, port=port, user=user, password=password, tls=tls)

    async def send(self, message: Message, *, deadline: float) -> Outcome:
        """Send one mail over a connection of its own."""
        mail = self._compose(message)
        outcome = await self._smtp.send(mail, recipients=[message.address], deadline=deadline)
        return _outcome(outcome) if isinstance(outcome, MailFailed) else Sent(str(mail["Message-ID"]))

    def _compose(self, message: Message) -> EmailMessage:
        subject, body = compose(message.pages)
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = message.address
        mail["Subject"] = subject
        mail["Date"] = format_datetime(message.dated)
        domain = parseaddr(self._sender)[1].rpartition("@")[2] or "notifier.invalid"
        mail["Message-ID"] = f"<{message.key}@{domain}>"
        thread = f"<{derived_id('thread', message.subject)}@{domain}>"
        mail["References"] = (
            thread  # the same for all that is sent about one order or problem: mail programs put it together
        )
        mail.set_content(body)
        return mail


def mail_limits(*, address: str) -> tuple[Limit, ...]:
    """Return a limit of our own, for the reader's sake: one mail a second to an address."""
    return (Limit(key=f"mail:{address}", places=1, period=timedelta(seconds=1)),)


def _outcome(failed: MailFailed) -> Outcome:
    code = failed.code
    if failed.unclear:
        return Unclear("no answer from the mail server")
    if code is None:
        return NotSent("no connection to the mail server")
    if failed.stage is MailStage.LOGIN:
        return NotSent("the mail server refuses the login")
    if failed.stage is MailStage.GREETING:
        return NotSent(f"the mail server refuses us ({code})")
    reason = f"{_REFUSED.get(failed.stage, f'SMTP {code}')} ({code})"
    return Refused(reason, True) if failed.permanent else NotSent(reason)
