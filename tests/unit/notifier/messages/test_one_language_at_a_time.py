"""A problem is told in one language, whoever raised it."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.refunds import RefundRejectedV1
from notifier.incidents.kinds import KINDS
from notifier.incidents.model import ProblemFact
from notifier.inputs.events import problem_fact, rejection_fact
from notifier.messages.document import text_of
from notifier.messages.incident_notices import render_problem
from notifier.messages.otherwise import otherwise
from notifier.messages.problem_words import INSTRUCTIONS, PHRASES, SUMMARIES, in_our_words, phrase
from notifier.messages.words import Language, Words, languages
from orchestrator.orders.model import IncidentKind
from refunds.payments.model import DoesNotFit, Payment, fit
from refunds.refunds import settle

_ENDS = re.compile(r"(problem_over|resolve_incident)\(\w")
_PLACES = {"problem_over": 1, "_arrived": 2}
"""Calls that end a problem, and which of their values says why."""
ROOT = Path(__file__).parents[4]
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ENGLISH = re.compile(r"\b(?!ordersctl )[A-Za-z']{2,} [a-z']{2,} [a-z']{2,}\b")
ENGLISH_WORD = re.compile("[A-Za-z]{3,}")
RUSSIAN = re.compile("[А-Яа-яЁё]{2,}")
ORDER = {"hook": "order.changed", "status": "created", "sent_at": "2026-11-29T12:00:00Z", "comment": "changed"}
REFUND = {
    "refund_id": "r-1",
    "payment_id": "p-1",
    "amount": "everything captured",
    "currency": "RUB",
    "attempt": "2",
    "version": "7",
    "error": "declined",
    "money": "may have gone out; counted as spent",
    "calls": "2026-11-29 12:00:00Z create: declined (answered)",
    "gateway_now": "was not asked",
    "instruction": "Look the refund up at the gateway",
}
HOOK = {"delivery_id": "d-1", "event": "order.gift", "external_id": "42", "reason": "no_goods", "timestamp": "soon"}
WEBSITE = {"endangered_id": "e-1", "category": "back_end", "status": "503", "name": "А***", "positions": "2"}
DETAILS: Mapping[str, Mapping[str, str]] = {
    **{kind.value: {**ORDER, "customer.phone": "changed, +7***67"} for kind in IncidentKind},
    "order_never_created": {"first_hook": "order.paid", "parked_since": "2026-11-29T12:00:00Z"},
    "refund.unanswered": {"business_key": "N:cancel", "since": "2026-11-29T12:00:00Z"},
    "refund.error": REFUND,
    "refund.reversed": {**REFUND, "money": "taken back by the gateway", "gateway_now": "failed"},
    "refund.difference": {
        "difference": "amount_differs",
        "detail": "we have 100 RUB of p-1, the gateway 90 RUB of p-1",
        "instruction": "Compare our refund with the gateway's own records",
    },
    "task.failing": {
        "task": "sweep",
        "item": "*",
        "error": "KeyError at a.py:7",
        "attempts": "3",
        "instruction": "look",
    },
    "dead_letter": {
        "queue": "refunds.wanted",
        "handler": "refunds",
        "error": "KeyError",
        "event_type": "x.v1",
        "letter": "17",
        "letters": "3",
        "instruction": "3 undecided here",
    },
    "acts.repeated": {"action": "stop", "reason": "#", "times": "10", "people": "olga"},
    "hook.quarantined": HOOK,
    "hook.ignored_order": HOOK,
    "hook.time_unreadable": HOOK,
    "edge.refused": {
        "path": "POST /alerts/v1/alertmanager",
        "status": "413",
        "network": "10.0.0.0/24",
        "bytes": "70000000",
        "hour": "12:00",
        "instruction": "Найти у отправителя, что было в запросе",
    },
    "source.refused": {"status": "403", "external_id": "42", "digest": "ab12"},
    "website_order.endangered": {**WEBSITE, "instruction": "Сверить с похожими заказами, исправить"},
    "website_order.anonymous": {"network": "10.0.0.0/24", "hour": "12:00", "instruction": "Не наш ли это сайт"},
    "website_order.unreachable": {"delivery_id": "d-1", "external_id": "42", "instruction": "Нет ни телефона"},
    "endangered_report.failed": {"endangered_id": "e-1", "report_id": "r-1", "reason": "550"},
}
GATEWAYS = {
    kind for kind in DETAILS if kind.startswith(("edge.", "hook.", "source.", "website_order.", "endangered_report."))
}
"""Kinds that their service tells in Russian."""


def raised(kind: str, words: Words) -> ProblemFact:
    """A problem that its service raised, in the notices' language."""
    event = ProblemRaisedV1(
        kind=kind,
        severity="critical",
        fingerprint="f",
        summary="Заказ под угрозой" if kind in GATEWAYS else "Something that was said in English",
        details=dict(DETAILS[kind]),
        service="orchestrator",
        order_number="A1",
        source="kuper",
        zone="north",
        occurred_at=NOW,
    )
    return in_our_words(problem_fact(event), words)


def told(kind: str, language: Language) -> Iterator[str]:
    """The lines of a kind's notice, apart from what people and other systems wrote."""
    words = Words(language)
    fact = raised(kind, words)
    for transition in ("opened", "graver", "escalated", "resolved"):
        document = render_problem(fact, transition=transition, environment="testing", words=words)
        yield from (text_of(line) for line in document.flatten())


@pytest.mark.parametrize("kind", DETAILS)
def test_a_problem_is_told_in_russian_only(kind: str) -> None:
    assert [line for line in told(kind, "ru") if ENGLISH.search(line)] == []
    assert [line for line in told(kind, "ru") if re.match(r"[a-z_.]+: ", line) and "customer" not in line] == []


@pytest.mark.parametrize("kind", DETAILS)
def test_a_problem_is_told_in_english_only(kind: str) -> None:
    assert [line for line in told(kind, "en") if RUSSIAN.search(line)] == []


def read(fact: ProblemFact, kept_in: Language, language: Language) -> list[str]:
    """What a reader of the language sees of an incident: summary, instruction and details."""
    row = {"kind": fact.kind, "order_number": fact.order_number, "source": fact.source, "details": dict(fact.details)}
    said = otherwise(
        {**row, "summary": fact.summary, "instruction": fact.what_to_do}, kept_in=kept_in, language=language
    )
    return [text for text in (said["summary"], said["instruction"], *said["details"].values()) if text is not None]


@pytest.mark.parametrize("kind", DETAILS)
def test_what_is_kept_in_one_language_is_read_in_the_other(kind: str) -> None:
    assert [text for text in read(raised(kind, Words("ru")), "ru", "en") if RUSSIAN.search(text)] == []
    assert [text for text in read(raised(kind, Words("en")), "en", "ru") if ENGLISH.search(text)] == []
    kept = raised(kind, Words("ru"))
    assert read(kept, "ru", "ru")[0] == kept.summary


OWN = {
    "problem.channel_refused": ("{channel.refused}: telegram:-100", None),
    "problem.notice_refused": ("{notice.refused}: telegram:-100", None),
    "problem.alerts_not_taken": ("{unread.summary}", "unread.do"),
    "problem.alerts_refused": ("{refused.summary}", "refused.do"),
    "problem.webhook_refused": ("{refused.summary}", "refused.do.slack"),
    "problem.alerts_silent": ("{silent.summary}", "silent.do"),
    "problem.roster": ("{roster.gap}", "roster.do"),
    "problem.ticket.summons": ("{summons}", "summons.do"),
    "workflow.crashed": ("{crashed.again}", "do.workflow.crashed"),
    "workflow.stopped": ("order_life 7", "do.workflow.stopped"),
    "refund.rejected": ("no_payment", None),
}
"""Kinds that this service puts into words: how their summaries are made, and what is to be done."""
VALUES = {
    "sender": "alertmanager",
    "count": "3",
    "since": "29.11 09:00",
    "until": "30.11 09:00",
    "ticket": "TRAVELSUP-1",
}
VALUES |= {"workflow": "order_life 7", "who": "oleg", "at": "2026-11-29 12:00 UTC", "summary": "A1", "id": "7"}
VALUES["error"] = "KeyError: price"
UNTOLD = {"roster.handover": "no incident of its own", "problem.alert": "verbatim", "problem.sentry": "verbatim"}


@pytest.mark.parametrize("kind", OWN)
def test_what_this_service_says_itself_is_read_in_the_other_language(kind: str) -> None:
    made, to_do = OWN[kind]

    def fact(language: Language) -> ProblemFact:
        words = Words(language)
        summary = re.sub(r"{([a-z.]+)}", lambda key: words[key[1]], made).format(**VALUES)
        do = None if to_do is None else words[to_do].format(**VALUES)
        return ProblemFact(
            kind=kind,
            severity="critical",
            fingerprint="f",
            summary=summary,
            service="s",
            occurred_at=NOW,
            what_to_do=do,
        )

    for kept_in, language in itertools.permutations(languages(), 2):
        there = fact(language)
        assert read(fact(kept_in), kept_in, language) == [text for text in (there.summary, there.what_to_do) if text]


def test_every_kind_is_read_in_both_languages_and_what_others_wrote_stays() -> None:
    assert set(KINDS) == {*(f"problem.{kind}" for kind in DETAILS), *OWN, *UNTOLD}
    for kind in ("problem.alert", "problem.sentry"):
        words = "Заказ с сайта разобран"
        fact = ProblemFact(kind=kind, severity="info", fingerprint="f", summary=words, service="s", occurred_at=NOW)
        assert read(fact, "ru", "en") == [words]


def test_every_kind_that_services_raise_is_told_in_both_languages() -> None:
    theirs = {name for name, kind in KINDS.items() if kind.by not in {"notifier", "Alertmanager", "Sentry"}}
    assert {f"problem.{kind}" for kind in DETAILS} == {name for name in theirs if name.startswith("problem.")}
    assert set(SUMMARIES) == {f"problem.{kind}" for kind in DETAILS}
    assert set(INSTRUCTIONS) == {f"problem.{kind}" for kind, details in DETAILS.items() if "instruction" in details}


@pytest.mark.parametrize(("pattern", "said"), PHRASES)
def test_a_phrase_of_a_service_tells_every_value_in_the_other_language(
    pattern: str, said: Mapping[Language, str]
) -> None:
    groups = re.compile(pattern).groups
    for language, text in said.items():
        assert sorted(set(re.findall(r"{(\d)}", text))) == [str(number) for number in range(groups)]
        assert (RUSSIAN.search(text) is not None) == (language == "ru")


def ends() -> Iterator[str]:
    """What services say when they end a problem: texts that stand in the call, values as ``x``."""
    for file in (*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/*/src/**/*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"ProblemResolvedV1", "self._end"}:
                yield from (text for key in node.keywords if key.arg == "summary" for text in _texts(key.value))
            elif isinstance(node, ast.Call) and (place := _PLACES.get(ast.unparse(node.func))) is not None:
                yield from _texts(node.args[place])
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _ENDS.search(ast.unparse(node)):
                assigned = [each for each in ast.walk(node) if isinstance(each, ast.Assign)]
                yield from (text for each in assigned if "summary" in ast.unparse(each) for text in _texts(each.value))


def _texts(node: ast.expr) -> list[str]:
    match node:
        case ast.Tuple(elts=[first, *_]):
            return _texts(first)
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return [*_texts(one), *_texts(other)]
        case ast.JoinedStr(values=parts):
            return ["".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in parts)]
        case _:
            return []


def test_every_end_of_a_problem_is_told_in_one_language() -> None:
    told = {
        text: (phrase(text, Words("ru")), phrase(text, Words("en")))
        for text in ends()
        if ENGLISH_WORD.search(text) or RUSSIAN.search(text)
    }
    assert len(told) > 12
    assert [text for text, (russian, _) in told.items() if not RUSSIAN.search(russian)] == []
    assert [text for text, (_, english) in told.items() if RUSSIAN.search(english)] == []


def test_the_end_of_a_problem_and_a_refusal_are_told_in_russian() -> None:
    words = Words("ru")
    assert phrase("Refund r-1 is in SUCCESS, attempt 2", words) == "Возврат r-1 в состоянии SUCCESS, попытка 2"
    assert phrase("Заказ с сайта разобран", Words("en")) == "The website order was dealt with"
    assert phrase("what a person wrote", words) == "what a person wrote"
    assert phrase("oleg: the robot answered 503", words) == "oleg: сервис звонков ответил 503"
    event = RefundRejectedV1(
        order_number="A1",
        payment_id="p",
        business_key="A1:cancel",
        code="line_conflict",
        detail="line_exceeded: 3 is more than the 2 left of line milk",
        occurred_at=NOW,
    )
    assert in_our_words(rejection_fact(event), words).details == {"why": "3 больше остатка 2 позиции milk"}


@pytest.mark.parametrize(
    ("captured", "reserved", "amount", "currency", "russian"),
    [
        (0, 0, 5, "RUB", "ничего не было списано: платёж нужно отменить, а не возвращать"),
        (9, 5, 7, "RUB", "0.07 больше остатка 0.04 RUB: списано 0.09 RUB"),
        (9, 9, 7, "RUB", "всё списанное (0.09 RUB) возвращено или в пути"),
        (9, 0, 7, "USD", "валюта платежа RUB, возврата USD"),
    ],
)
def test_why_a_refund_does_not_fit_is_told_in_russian(
    captured: int, reserved: int, amount: int, currency: str, russian: str
) -> None:
    payment = Payment(payment_id="p", gateway="trust", currency="RUB", captured=captured, reserved=reserved)
    refused = fit(payment, amount=amount, currency=currency)
    assert isinstance(refused, DoesNotFit)
    assert phrase(str(refused), Words("ru")) == russian


def test_a_refusal_of_the_release_before_is_told_in_russian_too() -> None:
    before = "7 is more than the 4 left of the captured 9"
    assert phrase(before, Words("ru")) == "7 больше остатка 4: списано 9"


def test_what_settling_says_is_told_in_russian() -> None:
    said = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(settle)))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "detail"
    ]
    assert len(said) == 2
    assert {phrase(text, Words("ru")) for node in said for text in _texts(node.value)} == {
        "ничего не было списано: платёж отменён вместо возврата",
        "списано 7 7, возвращено, в пути или улажено иначе 7",
    }


def test_all_words_of_one_language_are_of_that_language() -> None:
    assert [text for text in languages()["en"].values() if RUSSIAN.search(text)] == []
    assert [text for text in languages()["ru"].values() if ENGLISH.search(text)] == []
