"""SMTP as aiosmtplib meets it: mail is taken whole, deferred, refused, or its answer is lost."""

from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import pytest

from sandbox.testing import RunningSandbox, running_sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox() as running:
        yield running


def mail(subject: str = "Заказ под угрозой") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "suite@example.org"
    message["To"] = "owner@example.org"
    message["Cc"] = "dev@example.org"
    message["Subject"] = subject
    message["Message-ID"] = "<incident-1@suite>"
    message.set_content("Причина: …")
    message.add_alternative("<p>Причина: …</p>", subtype="html")
    return message


async def send(sandbox: RunningSandbox, message: EmailMessage, timeout: float = 5) -> Any:
    return await aiosmtplib.send(message, hostname=sandbox.smtp_host, port=sandbox.smtp_port, timeout=timeout)


async def test_a_mail_is_taken_whole(sandbox: RunningSandbox) -> None:
    message = mail()
    message["traceparent"] = "00-1-2-01"
    await send(sandbox, message)
    [entry] = await sandbox.log("mail")
    request = entry["request"]
    assert (entry["status"], entry["effect"], entry["traceparent"]) == (250, True, "00-1-2-01")
    assert (request["from"], request["to"]) == ("suite@example.org", ["owner@example.org", "dev@example.org"])
    assert (request["subject"], request["message_id"]) == ("Заказ под угрозой", "<incident-1@suite>")
    assert (request["text"].strip(), request["html"].strip()) == ("Причина: …", "<p>Причина: …</p>")


@pytest.mark.parametrize(("mode", "code"), [("error", 451), ("rate_limit", 450), ("declined", 550)])
async def test_mail_is_deferred_or_refused_after_data(sandbox: RunningSandbox, mode: str, code: int) -> None:
    await sandbox.fault("mail", mode=mode, count=1)
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await send(sandbox, mail())
    assert refused.value.code == code
    await send(sandbox, mail())
    assert [(entry["status"], entry["effect"]) for entry in await sandbox.log("mail")] == [(code, False), (250, True)]


@pytest.mark.parametrize(("mode", "kept"), [("lost_response", True), ("timeout", False), ("reset", False)])
async def test_a_sender_may_never_learn_what_became_of_its_mail(sandbox: RunningSandbox, mode: str, kept: bool) -> None:
    await sandbox.fault("mail", mode=mode, count=1, delay_s=0.05)
    with pytest.raises((aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPReadTimeoutError)):
        await send(sandbox, mail())
    [entry] = await sandbox.log("mail")
    assert (entry["fault"], entry["status"], entry["effect"]) == (mode, None, kept)


async def test_a_sender_that_gives_up_waiting_after_data_gets_a_time_out(sandbox: RunningSandbox) -> None:
    await sandbox.fault("mail", mode="timeout", count=1, delay_s=60)
    with pytest.raises(aiosmtplib.SMTPReadTimeoutError):
        await send(sandbox, mail(), timeout=0.3)


async def test_a_slow_mail_is_kept(sandbox: RunningSandbox) -> None:
    await sandbox.fault("mail", mode="slow", count=1, delay_s=0.05, match="owner@example.org")
    await send(sandbox, mail())
    [entry] = await sandbox.log("mail")
    assert (entry["fault"], entry["effect"]) == ("slow", True)
