"""Mail through a server: one connection a mail, under a deadline, and an outcome that says whether sending again can help."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.utils import parseaddr
from enum import StrEnum

import aiosmtplib

_GOODBYE_S = 0.5
_PERMANENT = 500


class MailStage(StrEnum):
    """How far the dialogue had come. Only at ``text`` may the server have taken the mail without our knowing."""

    GREETING = "greeting"
    LOGIN = "login"
    SENDER = "sender"
    RECIPIENTS = "recipients"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class MailSent:
    """The server has taken the mail, though not for those whose number is ``refused``."""

    refused: int = 0


@dataclass(frozen=True, slots=True)
class MailFailed:
    """The server did not say that it took the mail. ``code`` is its answer, None for silence or a connection that broke.

    ``error`` is a sentence for a person and names nobody.
    """

    stage: MailStage
    code: int | None
    error: str

    @property
    def permanent(self) -> bool:
        """Whether the same mail will be refused again. A refused login is not: it is ours to mend, the mail can wait."""
        return self.code is not None and self.code >= _PERMANENT and self.stage is not MailStage.LOGIN

    @property
    def unclear(self) -> bool:
        """Whether the server may have the mail all the same."""
        return self.code is None and self.stage is MailStage.TEXT


MailOutcome = MailSent | MailFailed


class SmtpSender:
    """One mail server. ``tls`` is STARTTLS, then demanded. Safe for concurrent use: each mail has a connection of its own."""

    def __init__(self, *, host: str, port: int, user: str | None, password: str | None, tls: bool) -> None:
        self._host = host
        self._port = port
        self._user = user
        self._password = password
        self._tls = tls

    async def send(self, mail: EmailMessage, *, recipients: Sequence[str], deadline: float) -> MailOutcome:
        """Send a mail from its ``From`` to the recipients (bare addresses), within ``deadline`` seconds.

        Non-ASCII text goes as it is to a server that offers 8BITMIME, encoded to any other; a non-ASCII address needs SMTPUTF8 and
        fails without it, to be tried again. Never raises for what the server says or does not say. What it has taken is sent, whatever
        becomes of the connection afterwards.
        Refused for some recipients only, the mail goes to the others.
        """
        client = aiosmtplib.SMTP(
            hostname=self._host, port=self._port, timeout=deadline, start_tls=self._tls, use_tls=False
        )
        dialogue = _Dialogue(client)
        try:
            async with asyncio.timeout(deadline):
                await dialogue.greet(self._user, self._password)
                refused = await dialogue.hand_over(mail, recipients)
        except aiosmtplib.SMTPNotSupported as error:
            return MailFailed(dialogue.stage, None, f"the mail server cannot do this: {error.message}")
        except aiosmtplib.SMTPResponseException as error:
            return MailFailed(dialogue.stage, error.code, _refusal(dialogue.stage, error.code))
        except (TimeoutError, aiosmtplib.SMTPException, OSError) as error:
            return MailFailed(dialogue.stage, None, f"no answer from the mail server ({type(error).__name__})")
        else:
            # Taken is taken: a server that does not say goodbye must not make anybody send it again.
            with suppress(TimeoutError, aiosmtplib.SMTPException, OSError):
                async with asyncio.timeout(_GOODBYE_S):
                    await client.quit()
            return MailSent(refused)
        finally:
            client.close()


class _Dialogue:
    """The commands of one mail; ``stage`` is the one in hand."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.stage = MailStage.GREETING
        self._client = client

    async def greet(self, user: str | None, password: str | None) -> None:
        """Connect, ask what the server can do, and log in if there is a user."""
        await self._client.connect()
        if self._client.is_ehlo_or_helo_needed:
            try:
                await self._client.ehlo()
            except aiosmtplib.SMTPHeloError:
                if not self._client.is_connected:
                    raise
                await self._client.helo()
        if user is not None:
            self.stage = MailStage.LOGIN
            await self._client.login(user, password or "")

    async def hand_over(self, mail: EmailMessage, recipients: Sequence[str]) -> int:
        """Hand the mail over; return how many recipients were refused. Raises the mildest refusal when all were: one may take it later."""
        self.stage = MailStage.SENDER
        sender = parseaddr(str(mail["From"]))[1]
        international = not all(address.isascii() for address in (sender, *recipients))
        encoding = "utf-8" if international else "ascii"
        options, text = self._written(mail, international=international)
        await self._client.mail(sender, options=options, encoding=encoding)
        self.stage = MailStage.RECIPIENTS
        refused: list[aiosmtplib.SMTPRecipientRefused] = []
        for recipient in recipients:
            try:
                await self._client.rcpt(recipient, encoding=encoding)
            except aiosmtplib.SMTPRecipientRefused as error:
                refused.append(error)
        if refused and len(refused) == len(recipients):
            raise min(refused, key=lambda error: error.code)
        self.stage = MailStage.TEXT
        await self._client.data(text)
        return len(refused)

    def _written(self, mail: EmailMessage, *, international: bool) -> tuple[list[str], bytes]:
        """Return MAIL's options and the text, as this server takes them."""
        options = []
        if international:
            if not self._client.supports_extension("smtputf8"):
                raise aiosmtplib.SMTPNotSupported("an address is not ASCII, and SMTPUTF8 is not offered")
            options.append("SMTPUTF8")
        wire = policy.SMTPUTF8 if international else policy.SMTP
        if self._client.supports_extension("8bitmime"):
            options.append("BODY=8BITMIME")
        else:
            wire = wire.clone(cte_type="7bit")
        text = mail.as_bytes(policy=wire)
        if self._client.supports_extension("size"):
            options.append(f"SIZE={len(text)}")
        return options, text


def _refusal(stage: MailStage, code: int) -> str:
    what = {
        MailStage.LOGIN: "the login",
        MailStage.SENDER: "the sender",
        MailStage.RECIPIENTS: "all recipients",
        MailStage.TEXT: "the mail",
    }.get(stage, "us")
    return f"the mail server refuses {what} ({code})"
