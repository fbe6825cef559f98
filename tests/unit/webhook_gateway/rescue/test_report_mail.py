"""What is taken for sent, by a real client, of what a mail server says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.support.mail_servers import HELLO, mail_server
from webhook_gateway.rescue.mail import SmtpMailer
from webhook_gateway.website.ports import MailOutcome, Report

REPORT = Report(
    id="1",
    endangered_id="2",
    created_at=datetime(2026, 11, 21, 7, tzinfo=UTC),
    created_by="olga",
    cause="c",
    remedy="r",
    sender="suite@shop.example",
    recipient="owner@shop.example",
    copies=(),
    subject="s",
    text="t",
    message_id="<1@shop.example>",
    traceparent=None,
)


@pytest.mark.parametrize(
    ("answers", "deadline", "outcome"),
    [
        ((*HELLO, b"250 taken", b"221 goodbye"), 60.0, MailOutcome("sent", "")),
        # Sent again and again for a day, it would be, if the goodbye counted.
        ((*HELLO, b"250 taken", None), 60.0, MailOutcome("sent", "")),
        ((*HELLO, b"250 taken"), 60.0, MailOutcome("sent", "")),
        ((*HELLO, None), 0.5, MailOutcome("later", "no answer from the mail server (TimeoutError)")),
        ((*HELLO, b"451 later"), 60.0, MailOutcome("later", "the mail server refuses (451)")),
        ((*HELLO, b"550 never"), 60.0, MailOutcome("refused", "the mail server refuses (550)")),
        ((*HELLO[:3], b"550 nobody"), 60.0, MailOutcome("refused", "all recipients are refused (550)")),
    ],
)
async def test_what_the_server_has_taken_is_sent_and_nothing_else(
    answers: tuple[bytes | None, ...], deadline: float, outcome: MailOutcome
) -> None:
    async with mail_server(answers) as port:
        mailer = SmtpMailer(host="127.0.0.1", port=port, user=None, password=None, tls=False, deadline=deadline)
        found = await mailer.send(REPORT)
    # Two clocks run, the client's own as well; which is first is all one.
    assert (found.kind, found.error.replace("SMTPReadTimeoutError", "TimeoutError")) == (outcome.kind, outcome.error)
