"""Endangered orders under people's hands: every state and act, resubmission, the report and its mail."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.contracts import intake
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import Envelope, parse
from common.contracts.intake import IntakeMessage
from common.errors import Conflict, Unprocessable
from common.ids import order_number
from common.mail import MailFailed, MailOutcome, MailSent, MailStage, SmtpSender
from tests.support.clocks import ManualClock
from webhook_gateway.rescue.alerts import incident_over
from webhook_gateway.rescue.letter import CAUSE_WANTED, REMEDY_WANTED, letter_of
from webhook_gateway.rescue.mend import mended
from webhook_gateway.rescue.metrics import RescueMetrics
from webhook_gateway.rescue.model import (
    Act,
    LockedOrder,
    LostOrder,
    Report,
    State,
    after,
    endangered_fingerprint,
    state_of,
)
from webhook_gateway.rescue.report_store import ReportQueue
from webhook_gateway.rescue.resubmit import resubmitted
from webhook_gateway.rescue.send_reports import SendReports, compose
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.write_report import Addresses, ReportWriting, written

AT = datetime(2026, 11, 21, 7, tzinfo=UTC)
HOURS_LATER = datetime(2026, 11, 21, 9, tzinfo=UTC)
LOST = LostOrder(
    id="e-1",
    received_at=AT,
    status=422,
    category="front_end",
    customer={"name": "Анна", "phone": "+79990001122"},
    address="Тверская 1",
    basket=[{"id": "sku-1", "name": "Мёд", "quantity": "2", "price": "85.00"}, "сыр"],
    number=None,
    source="website",
    external_id="key-1",
    network="192.0.2.0/24",
    anonymous=False,
    link="https://gw/e/e-1",
)
FOUND = LockedOrder(order=LOST, state=State.NEW, body=b"{}")
GOOD: dict[str, Any] = {"positions": [{"id": "1", "quantity": 1}]}
ADDRESSES = Addresses.of("Suite <suite@shop.example>", to="arsen@shop.example", copies=("dev@shop.example",))
CAUSE = "мы не предусмотрели, что этаж бывает цокольным"
REMEDY = "форма снова принимает такие этажи"


def test_every_state_and_act_is_allowed_or_a_conflict() -> None:
    table = {}
    for state, act in itertools.product(State, Act):
        try:
            table[state.value, act.value] = after(state, act, number=None).value
        except Conflict:
            table[state.value, act.value] = "conflict"
    assert table == {
        ("new", "mend"): "mended",
        ("new", "resubmit"): "resubmitted",
        ("new", "report"): "reported",
        ("new", "close"): "closed",
        ("mended", "mend"): "mended",
        ("mended", "resubmit"): "resubmitted",
        ("mended", "report"): "reported",
        ("mended", "close"): "closed",
        ("resubmitted", "mend"): "conflict",
        ("resubmitted", "resubmit"): "conflict",
        ("resubmitted", "report"): "reported",
        ("resubmitted", "close"): "closed",
        ("reported", "mend"): "reported",
        ("reported", "resubmit"): "reported",
        ("reported", "report"): "conflict",
        ("reported", "close"): "closed",
        ("closed", "mend"): "conflict",
        ("closed", "resubmit"): "conflict",
        ("closed", "report"): "conflict",
        ("closed", "close"): "conflict",
        ("new", "call"): "new",
        ("mended", "call"): "mended",
        ("resubmitted", "call"): "resubmitted",
        ("reported", "call"): "reported",
        ("closed", "call"): "conflict",
    }
    with pytest.raises(Conflict, match="as N-1"):
        after(State.REPORTED, Act.RESUBMIT, number="N-1")
    assert state_of("open") is State.NEW


def test_a_resubmitted_order_is_the_one_that_the_customer_would_have_got() -> None:
    arguments: dict[str, Any] = {"now": HOURS_LATER, "replica": "gw-1", "currency": "RUB", "actor": "anna", "why": "w"}
    with pytest.raises(Unprocessable):
        resubmitted(FOUND, None, **arguments)
    hook, state = resubmitted(FOUND, GOOD, **arguments)
    number = order_number("website", "key-1")
    assert (state, hook.number, hook.external_id, hook.body_form, hook.type) == (
        State.RESUBMITTED,
        number,
        "key-1",
        "payload",
        intake.HOOK_RECEIVED,
    )
    assert (hook.occurred_at, hook.received_at, hook.actor) == (AT, HOURS_LATER, "anna")  # its time is its customer's
    assert IntakeMessage.from_envelope(hook.to_envelope()) == hook
    saved = replace(FOUND, state=state, order=replace(LOST, number=number))
    with pytest.raises(Conflict, match=number):
        resubmitted(saved, GOOD, **arguments)
    with pytest.raises(Conflict, match=number):
        mended(saved, GOOD, currency="RUB")


def test_a_body_that_still_does_not_fit_is_not_kept_as_mended() -> None:
    with pytest.raises(Unprocessable):
        mended(FOUND, {"positions": []}, currency="RUB")
    body, state, _ = mended(FOUND, GOOD, currency="RUB")
    assert (body, state) == (b'{"positions":[{"id":"1","quantity":1}]}', State.MENDED)


def test_closing_ends_the_incident() -> None:
    over = parse(incident_over(endangered_fingerprint("e-1"), None, now=AT), ProblemResolvedV1)
    assert over.fingerprint == endangered_fingerprint("e-1")


def test_the_draft_says_what_to_fill_in_and_names_the_customer_in_its_text_only() -> None:
    letter = letter_of([LOST], cause=None, remedy=None)
    assert letter.subject == "Проблемный заказ с сайта от 21.11.2026 10:00:00 МСК: ответ 422"
    assert letter.text == (
        "Заказ, отправленный 21.11.2026 10:00:00 МСК, не был принят с первого раза: сайт прислал заказ, который сервер не смог "
        "принять (ответ 422).\nЗаказ пока не восстановлен: нужна помощь менеджеров.\n\n"
        f"Причина\n{CAUSE_WANTED}\n\nЧто сделали или сделаем\n{REMEDY_WANTED}\n\n"
        "Покупатель\nИмя: Анна\nТелефон: +79990001122\nАдрес доставки: Тверская 1\n\n"
        "Корзина\n— Мёд (sku-1): 2 шт. по 85.00\n— сыр\n\nЗапись: https://gw/e/e-1\n"
    )


def test_one_letter_covers_many_orders_each_with_its_customer_and_basket() -> None:
    saved = replace(LOST, id="e-2", customer={"name": "Борис", "email": "b@example.org"}, number="N-2", address=None)
    letter = letter_of([LOST, saved], cause=CAUSE, remedy=REMEDY)
    assert letter.subject.startswith("Проблемные заказы с сайта: 2, с 21.11.2026 10:00:00 МСК по 21.11")
    assert "Анна" not in letter.subject
    assert [letter.text.count(part) for part in (CAUSE, REMEDY)] == [1, 1]
    for said in ("Имя: Анна", "Телефон: +79990001122", "Почта: b@example.org", "под номером N-2", "Восстановлены: 1"):
        assert said in letter.text


def test_an_order_whose_name_was_anothers_becomes_an_order_of_its_own() -> None:
    reused = replace(FOUND, order=replace(LOST, category="key_reused", external_id="1001"))
    arguments: dict[str, Any] = {"now": AT, "replica": "gw-1", "currency": "RUB", "actor": "anna", "why": "w"}
    hook, _ = resubmitted(reused, {**GOOD, "externalId": "1001"}, **arguments)
    assert hook.number == order_number("website", "e-1")
    hook, _ = resubmitted(reused, {**GOOD, "externalId": "1002"}, **arguments)
    assert hook.number == order_number("website", "1002")


def a_report(addresses: Addresses = ADDRESSES) -> Report:
    writing = ReportWriting(
        store=EndangeredStore.__new__(EndangeredStore),
        addresses=addresses,
        mail_due=None,
        cause=CAUSE,
        remedy=REMEDY,
        now=AT,
    )
    return written(FOUND, writing, author="olga")


def test_the_mail_of_a_report_is_the_same_however_often_it_is_made() -> None:
    made = a_report()
    mail = compose(made)
    assert bytes(mail) == bytes(compose(made))
    assert (mail["To"], mail["Cc"], mail["Message-ID"]) == (
        "arsen@shop.example",
        "dev@shop.example",
        f"<endangered-{made.id}@shop.example>",
    )
    assert CAUSE in mail.get_content()
    assert REMEDY in mail.get_content()


def test_nobody_to_report_to_is_said_at_once() -> None:
    with pytest.raises(Conflict, match="REPORT_TO"):
        a_report(replace(ADDRESSES, to=None))


class Queue(ReportQueue):
    """One report, and what is decided about it."""

    def __init__(self, report: Report) -> None:
        self.report: Report | None = report
        self.decided: list[tuple[Any, ...]] = []

    async def any_due(self) -> bool:
        return self.report is not None

    async def compose(self) -> bool:
        return False

    async def claim(self, *, lease: timedelta) -> Report | None:
        taken, self.report = self.report, None
        return taken

    async def sent(self, report: Report, *, at: datetime) -> None:
        self.decided.append(("sent",))

    async def postpone(self, report: Report, *, pause: timedelta, error: str) -> None:
        self.decided.append(("postponed", pause.total_seconds(), error))

    async def give_up(self, report: Report, *, error: str, problem: Envelope) -> None:
        self.decided.append(("failed", error, parse(problem, ProblemRaisedV1).kind))


class Server(SmtpSender):
    """A mail server that answers one thing."""

    def __init__(self, outcome: MailOutcome) -> None:
        self.outcome = outcome
        self.recipients: Sequence[str] = ()

    async def send(self, mail: EmailMessage, *, recipients: Sequence[str], deadline: float) -> MailOutcome:
        self.recipients = recipients
        return self.outcome


LATER = MailFailed(MailStage.TEXT, 451, "451")
REFUSED = MailFailed(MailStage.TEXT, 550, "550")


@pytest.mark.parametrize(
    ("outcome", "attempts", "age", "decision"),
    [
        (MailSent(), 1, 0, ("sent",)),
        (LATER, 1, 0, ("postponed", 10, "451")),
        (LATER, 3, 0, ("postponed", 40, "451")),
        (LATER, 300, 0, ("postponed", 600, "451")),
        (LATER, 3, 3601, ("failed", "451", "endangered_report.failed")),
        (REFUSED, 1, 0, ("failed", "550", "endangered_report.failed")),
    ],
)
async def test_what_the_mail_server_says_decides_what_becomes_of_a_report(
    outcome: MailOutcome, attempts: int, age: float, decision: tuple[Any, ...]
) -> None:
    made = replace(a_report(), attempts=attempts)
    queue, server, registry = Queue(made), Server(outcome), CollectorRegistry()
    send = SendReports(
        queue,
        server,
        metrics=RescueMetrics(registry),
        clock=ManualClock(AT + timedelta(seconds=age)),
        deadline=5,
        retry=10,
        patience=3600,
    )
    await send()
    assert queue.decided == [decision]
    assert server.recipients == ["arsen@shop.example", "dev@shop.example"]
    assert registry.get_sample_value("gateway_endangered_reports_total", {"outcome": decision[0]}) == 1
