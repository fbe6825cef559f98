"""Endangered orders under people's hands: every state and act, resubmission, the report and its mail (M5, M6)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.clock import ManualClock
from common.contracts import intake
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import Envelope, parse
from common.contracts.intake import Hook
from common.errors import Conflict, Unprocessable
from common.ids import order_number
from webhook_gateway.rescue import letter as report
from webhook_gateway.rescue.letter import LostOrder
from webhook_gateway.rescue.mail import compose
from webhook_gateway.rescue.model import Act, State, after, state_of
from webhook_gateway.rescue.resubmit import close, mend, resubmit
from webhook_gateway.rescue.send_reports import SendReports
from webhook_gateway.rescue.write_report import Addresses, report_endangered
from webhook_gateway.website.ports import Endangered, MailOutcome, Report

AT = datetime(2026, 11, 21, 7, tzinfo=UTC)
LOST = LostOrder(
    id="e-1",
    received_at=AT,
    status=422,
    category="front_end",
    customer={"name": "Анна", "phone": "+79990001122"},
    address="Тверская 1",
    basket=[{"id": "sku-1", "name": "Мёд", "quantity": "2", "price": "85.00"}, "сыр"],
    number=None,
    link="https://gw/admin/v1/endangered-orders?id=e-1",
)
FOUND = Endangered(order=LOST, state=State.NEW, body=b"{}", external_id="key-1", fingerprint="f-1")
GOOD = {"positions": [{"id": "1", "quantity": 1}]}
ADDRESSES = Addresses.of(sender="Suite <suite@shop.example>", to="arsen@shop.example", copies=("dev@shop.example",))
CAUSE = "мы не предусмотрели, что этаж бывает цокольным"
REMEDY = "форма снова принимает такие этажи"


@dataclass
class Unit:
    """One transaction, remembered."""

    found: Endangered = FOUND
    did: list[tuple[Any, ...]] = field(default_factory=list)
    events: list[Envelope] = field(default_factory=list)

    async def lock(self, endangered_id: str) -> Endangered:
        return self.found

    async def mended(self, endangered_id: str, *, body: bytes, state: State, at: datetime) -> None:
        self.did.append(("mended", body, state))

    async def resubmitted(self, endangered_id: str, *, number: str, body: bytes, state: State, at: datetime) -> None:
        self.did.append(("resubmitted", number, state))
        self.found = replace(self.found, state=state, order=replace(self.found.order, number=number))

    async def closed(self, endangered_id: str, *, at: datetime) -> None:
        self.did.append(("closed",))

    async def add_report(self, report: Report) -> None:
        self.did.append(("report", report))

    async def publish(self, events: Sequence[Envelope]) -> None:
        self.events += events


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
    }
    with pytest.raises(Conflict, match="as N-1"):
        after(State.REPORTED, Act.RESUBMIT, number="N-1")
    assert state_of("open") is State.NEW


async def test_an_endangered_order_becomes_the_order_that_the_customer_would_have_got_and_only_once() -> None:
    unit = Unit()
    arguments: dict[str, Any] = {"now": AT, "replica": "gw-1", "currency": "RUB", "traceparent": None}
    with pytest.raises(Unprocessable):
        await resubmit(unit, "e-1", mended=None, **arguments)
    before, state, hook = await resubmit(unit, "e-1", mended=GOOD, **arguments)
    number = order_number("website", "key-1")
    assert (before.state, state, hook.number, hook.external_id, hook.body_form, hook.type) == (
        State.NEW,
        State.RESUBMITTED,
        number,
        "key-1",
        "payload",
        intake.HOOK_RECEIVED,
    )
    assert [Hook.from_envelope(event) for event in unit.events] == [hook]
    with pytest.raises(Conflict, match=number):
        await resubmit(unit, "e-1", mended=GOOD, **arguments)
    with pytest.raises(Conflict, match=number):
        await mend(unit, "e-1", body=GOOD, now=AT)
    assert unit.did == [("resubmitted", number, State.RESUBMITTED)]


async def test_a_body_that_still_does_not_fit_is_not_kept_as_mended() -> None:
    unit = Unit()
    with pytest.raises(Unprocessable):
        await mend(unit, "e-1", body={"positions": []}, now=AT)
    await mend(unit, "e-1", body=GOOD, now=AT)
    assert unit.did == [("mended", b'{"positions":[{"id":"1","quantity":1}]}', State.MENDED)]


async def test_closing_ends_the_incident() -> None:
    unit = Unit()
    await close(unit, "e-1", now=AT, traceparent=None)
    [event] = unit.events
    assert parse(event, ProblemResolvedV1).fingerprint == "f-1"


def test_the_draft_says_what_a_person_has_to_fill_in_and_names_the_customer_in_the_text_only() -> None:
    letter = report.write(LOST, cause=None, remedy=None)
    assert letter.subject == "Проблемный заказ с сайта от 2026-11-21T07:00:00+00:00: ответ 422"
    assert letter.text == (
        "Заказ, отправленный 2026-11-21T07:00:00+00:00, не был принят с первого раза: сайт прислал заказ, который сервер не смог "
        "принять (ответ 422).\nЗаказ пока не восстановлен: нужна помощь менеджеров.\n\n"
        f"Причина\n{report.CAUSE_WANTED}\n\nЧто сделали или сделаем\n{report.REMEDY_WANTED}\n\n"
        "Покупатель\nИмя: Анна\nТелефон: +79990001122\nАдрес доставки: Тверская 1\n\n"
        "Корзина\n— Мёд (sku-1): 2 шт. по 85.00\n— сыр\n\nЗапись: https://gw/admin/v1/endangered-orders?id=e-1\n"
    )


async def written(unit: Unit, addresses: Addresses = ADDRESSES) -> Report:
    _, made = await report_endangered(
        unit, "e-1", cause=CAUSE, remedy=REMEDY, author="olga", addresses=addresses, now=AT, traceparent=None
    )
    return made


async def test_the_mail_of_a_report_is_the_same_however_often_it_is_made() -> None:
    made = await written(Unit())
    mail = compose(made)
    assert bytes(mail) == bytes(compose(made))
    assert (mail["To"], mail["Cc"], mail["Message-ID"]) == (
        "arsen@shop.example",
        "dev@shop.example",
        f"<endangered-{made.id}@shop.example>",
    )
    assert CAUSE in mail.get_content()
    assert REMEDY in mail.get_content()


async def test_nobody_to_report_to_is_said_at_once() -> None:
    with pytest.raises(Conflict, match="REPORT_TO"):
        await written(Unit(), replace(ADDRESSES, to=None))


class Queue:
    """One report, and what is decided about it."""

    def __init__(self, report: Report) -> None:
        self.report: Report | None = report
        self.decided: list[tuple[Any, ...]] = []

    async def claim(self, *, lease: timedelta) -> Report | None:
        taken, self.report = self.report, None
        return taken

    async def sent(self, report: Report, *, at: datetime) -> None:
        self.decided.append(("sent",))

    async def postpone(self, report: Report, *, pause: timedelta, error: str) -> None:
        self.decided.append(("postponed", pause.total_seconds(), error))

    async def give_up(self, report: Report, *, error: str, problem: Envelope) -> None:
        self.decided.append(("failed", error, parse(problem, ProblemRaisedV1).kind))


class Server:
    """A mail server that answers one thing."""

    def __init__(self, outcome: MailOutcome) -> None:
        self.outcome = outcome

    async def send(self, report: Report) -> MailOutcome:
        return self.outcome


class Observer:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def reported(self, outcome: str) -> None:
        self.seen.append(outcome)

    def admitted(self, admission: object) -> None: ...

    def endangered(self, category: str) -> None: ...

    def not_kept(self, reason: str) -> None: ...


@pytest.mark.parametrize(
    ("outcome", "attempts", "age", "decision"),
    [
        (MailOutcome("sent"), 1, 0, ("sent",)),
        (MailOutcome("later", "451"), 1, 0, ("postponed", 10, "451")),
        (MailOutcome("later", "451"), 3, 0, ("postponed", 40, "451")),
        (MailOutcome("later", "451"), 300, 0, ("postponed", 600, "451")),
        (MailOutcome("later", "451"), 3, 3601, ("failed", "451", "endangered_report.failed")),
        (MailOutcome("refused", "550"), 1, 0, ("failed", "550", "endangered_report.failed")),
    ],
)
async def test_what_the_mail_server_says_decides_what_becomes_of_a_report(
    outcome: MailOutcome, attempts: int, age: float, decision: tuple[Any, ...]
) -> None:
    made = replace(await written(Unit()), attempts=attempts)
    queue, observer = Queue(made), Observer()
    send = SendReports(
        queue,
        Server(outcome),
        observer=observer,
        clock=ManualClock(AT + timedelta(seconds=age)),
        deadline=5,
        retry=10,
        patience=3600,
        public_url="https://gw",
    )
    await send()
    assert queue.decided == [decision]
    assert observer.seen == [decision[0]]
