"""What is taken for sent, refused or unclear, by a real client, of what a mail server says."""

from __future__ import annotations

import asyncio
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from common.mail import MailFailed, MailOutcome, MailSent, MailStage, SmtpSender
from tests.support.mail_servers import HELLO, mail_server

SILENCE = "no answer from the mail server (TimeoutError)"


def a_mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Suite <suite@shop.example>"
    mail["Subject"] = "Заказ"
    mail.set_content("Заказ не принят")
    return mail


@pytest.mark.parametrize(
    ("answers", "deadline", "outcome", "permanent", "unclear"),
    [
        ((*HELLO, b"250 taken", b"221 goodbye"), 60.0, MailSent(), None, None),
        ((*HELLO, b"250 taken", None), 60.0, MailSent(), None, None),
        ((*HELLO, b"250 taken"), 60.0, MailSent(), None, None),
        ((*HELLO, None), 0.5, MailFailed(MailStage.TEXT, None, SILENCE), False, True),
        ((*HELLO[:4], None), 0.5, MailFailed(MailStage.TEXT, None, SILENCE), False, True),
        ((*HELLO[:3], None), 0.5, MailFailed(MailStage.RECIPIENTS, None, SILENCE), False, False),
        ((None,), 0.5, MailFailed(MailStage.GREETING, None, SILENCE), False, False),
        ((*HELLO, b"451 x"), 60.0, MailFailed(MailStage.TEXT, 451, "the mail server refuses the mail (451)"), False, False),
        ((*HELLO, b"550 x"), 60.0, MailFailed(MailStage.TEXT, 550, "the mail server refuses the mail (550)"), True, False),
        (
            (*HELLO[:3], b"550 x"),
            60.0,
            MailFailed(MailStage.RECIPIENTS, 550, "the mail server refuses all recipients (550)"),
            True,
            False,
        ),
        (
            (*HELLO[:2], b"553 x"),
            60.0,
            MailFailed(MailStage.SENDER, 553, "the mail server refuses the sender (553)"),
            True,
            False,
        ),
        ((b"554 x",), 60.0, MailFailed(MailStage.GREETING, 554, "the mail server refuses us (554)"), True, False),
    ],
)  # fmt: skip
async def test_what_the_server_has_taken_is_sent_and_nothing_else(
    answers: tuple[bytes | None, ...],
    deadline: float,
    outcome: MailOutcome,
    permanent: bool | None,
    unclear: bool | None,
) -> None:
    async with mail_server(answers) as port:
        sender = SmtpSender(host="127.0.0.1", port=port, user=None, password=None, tls=False)
        found = await sender.send(a_mail(), recipients=["owner@shop.example"], deadline=deadline)
    if isinstance(found, MailFailed):
        # Two clocks run, the client's own as well; which is first is all one.
        for name in ("SMTPReadTimeoutError", "SMTPConnectTimeoutError"):
            found = MailFailed(found.stage, found.code, found.error.replace(name, "TimeoutError"))
        assert (found.permanent, found.unclear) == (permanent, unclear)
    assert found == outcome


async def test_one_refused_recipient_does_not_keep_the_mail_from_the_others() -> None:
    answers = (*HELLO[:3], b"550 nobody", b"250 recipient", b"354 go on", b"250 taken", b"221 goodbye")
    async with mail_server(answers) as port:
        sender = SmtpSender(host="127.0.0.1", port=port, user=None, password=None, tls=False)
        found = await sender.send(a_mail(), recipients=["a@shop.example", "b@shop.example"], deadline=60.0)
    assert found == MailSent(refused=1)


@pytest.mark.parametrize("answers", [(b"550 nobody", b"450 greylisted"), (b"450 greylisted", b"550 nobody")])
async def test_refused_by_all_it_can_wait_while_one_of_them_may_take_it_later(answers: tuple[bytes, bytes]) -> None:
    async with mail_server((*HELLO[:3], *answers)) as port:
        sender = SmtpSender(host="127.0.0.1", port=port, user=None, password=None, tls=False)
        found = await sender.send(a_mail(), recipients=["a@shop.example", "b@shop.example"], deadline=60.0)
    assert found == MailFailed(MailStage.RECIPIENTS, 450, "the mail server refuses all recipients (450)")
    assert not found.permanent


async def test_a_server_that_cannot_do_tls_is_given_nothing() -> None:
    async with mail_server((b"220 here", b"250 hello", b"502 no tls")) as port:
        sender = SmtpSender(host="127.0.0.1", port=port, user="suite", password="p", tls=True)
        found = await sender.send(a_mail(), recipients=["a@shop.example"], deadline=60.0)
    assert isinstance(found, MailFailed)
    assert (found.stage, found.permanent) == (MailStage.GREETING, False)


async def test_a_refused_login_is_for_us_to_mend_and_the_mail_can_wait() -> None:
    async with mail_server((b"220 here", b"250-here\r\n250 AUTH PLAIN", b"535 wrong", b"535 wrong")) as port:
        sender = SmtpSender(host="127.0.0.1", port=port, user="suite", password="p", tls=False)
        found = await sender.send(a_mail(), recipients=["a@shop.example"], deadline=60.0)
    assert isinstance(found, MailFailed)
    assert (found.stage, found.code, found.permanent) == (MailStage.LOGIN, 535, False)


class Postbox:
    """What a real server got; without some of the extensions that it could offer."""

    def __init__(self, *, without: tuple[str, ...] = ()) -> None:
        self.mails: list[Envelope] = []
        self.texts: list[bytes] = []
        self._without = without

    async def handle_EHLO(  # noqa: N802 - the name that aiosmtpd looks for
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer what is not to be left out."""
        session.host_name = hostname
        return [line for line in responses if not line.endswith(self._without)]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Keep the mail."""
        self.mails.append(envelope)
        assert isinstance(envelope.content, bytes)
        self.texts.append(envelope.content)
        return "250 taken"


async def delivered(postbox: Postbox, recipient: str) -> MailOutcome:
    """Send one mail to a real server."""
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(postbox, enable_SMTPUTF8=True, loop=asyncio.get_running_loop()), "127.0.0.1", 0
    )
    async with server:
        sender = SmtpSender(
            host="127.0.0.1", port=server.sockets[0].getsockname()[1], user=None, password=None, tls=False
        )
        return await sender.send(a_mail(), recipients=[recipient], deadline=60.0)


async def test_text_goes_as_it_is_where_8bitmime_is_offered() -> None:
    postbox = Postbox()
    assert await delivered(postbox, "owner@shop.example") == MailSent()
    assert postbox.mails[0].mail_options[0] == "BODY=8BITMIME"
    assert "Заказ не принят".encode() in postbox.texts[0]


async def test_text_is_encoded_where_8bitmime_is_not_offered() -> None:
    postbox = Postbox(without=("8BITMIME",))
    assert await delivered(postbox, "owner@shop.example") == MailSent()
    assert postbox.texts[0].isascii()
    assert read(postbox.texts[0]) == "Заказ не принят\n"


async def test_a_non_ascii_address_goes_where_smtputf8_is_offered() -> None:
    postbox = Postbox()
    assert await delivered(postbox, "хозяин@магазин.example") == MailSent()
    assert postbox.mails[0].mail_options[:2] == ["SMTPUTF8", "BODY=8BITMIME"]
    assert postbox.mails[0].rcpt_tos == ["хозяин@магазин.example"]
    assert "Subject: Заказ".encode() in postbox.texts[0]


async def test_a_non_ascii_address_waits_where_smtputf8_is_not_offered() -> None:
    postbox = Postbox(without=("SMTPUTF8",))
    outcome = await delivered(postbox, "хозяин@магазин.example")
    assert isinstance(outcome, MailFailed)
    assert (outcome.stage, outcome.permanent, outcome.unclear, postbox.mails) == (MailStage.SENDER, False, False, [])


def read(content: bytes) -> str:
    """Return the text of a mail, decoded."""
    text: str = message_from_bytes(content, policy=policy.default).get_content()
    return text.replace("\r\n", "\n")
