"""Mail through aiosmtplib."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from common.ids import derived_id
from notifier.delivery.model import Limit, Message
from notifier.delivery.outcomes import NotSent, Outcome, Refused, Sent, Unclear
from notifier.messages.layout.mail import compose

_WIRE = policy.SMTP.clone(cte_type="7bit")
_GOODBYE = 0.5


class MailSender:
    """One mail server. 4xx is tried again, 5xx is for good, silence after the text was sent is unclear.

    The Message-ID is the same whenever the same notice is sent again, so that mail programs can drop a repeat.
    """

    def __init__(self, *, host: str, port: int, sender: str, user: str | None, password: str | None, tls: bool) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._user = user
        self._password = password
        self._tls = tls

    async def send(self, message: Message, *, deadline: float) -> Outcome:
        """Send one mail over a connection of its own."""
        import aiosmtplib

        mail = self._compose(message)
        client = aiosmtplib.SMTP(
            hostname=self._host, port=self._port, timeout=deadline, start_tls=self._tls, use_tls=False
        )
        handed_over = False
        try:
            async with asyncio.timeout(deadline):
                await client.connect()
                if self._user is not None:
                    await client.login(self._user, self._password or "")
                await client.mail(parseaddr(self._sender)[1])
                await client.rcpt(message.address)
                handed_over = True  # from here on silence is unclear
                await client.data(mail.as_bytes(policy=_WIRE))
        except aiosmtplib.SMTPRecipientRefused as error:
            return _by_code(error.code, "the server refuses the recipient")
        except aiosmtplib.SMTPSenderRefused as error:
            return _by_code(error.code, "the server refuses the sender")
        except aiosmtplib.SMTPDataError as error:
            return _by_code(error.code, f"SMTP {error.code}")
        except aiosmtplib.SMTPAuthenticationError:
            return NotSent("the mail server refuses the login")
        except (TimeoutError, aiosmtplib.SMTPException, OSError) as error:
            if handed_over:
                return Unclear("no answer from the mail server")
            if isinstance(error, aiosmtplib.SMTPResponseException):
                return NotSent(f"the mail server refuses us ({error.code})")
            return NotSent("no connection to the mail server")
        else:
            # Taken is taken: a server that does not say goodbye must not make us send it again.
            with suppress(TimeoutError, aiosmtplib.SMTPException, OSError):
                async with asyncio.timeout(_GOODBYE):
                    await client.quit()
            return Sent(str(mail["Message-ID"]))
        finally:
            client.close()

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
            thread  # the same for all that is told of one order or problem: mail programs put it together
        )
        mail.set_content(body)
        return mail


def mail_limits(*, address: str) -> tuple[Limit, ...]:
    """Return a limit of our own, for the reader's sake: one mail a second to an address."""
    return (Limit(key=f"mail:{address}", places=1, period=timedelta(seconds=1)),)


def _by_code(code: int, what: str) -> Outcome:
    return Refused(f"{what} ({code})", True) if code >= 500 else NotSent(f"{what} ({code})")
