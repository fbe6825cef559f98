"""The chain's steps for every state, what counts as "no need to call", what a button carries, and what a ticket says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.errors import ConfigurationError
from notifier.duty.escalation import Duty, Firing, Policy, Step, fire, may_be_called, people_of, people_to_call
from notifier.incidents.kinds import recipe_of
from notifier.incidents.model import IncidentState, ProblemFact, Recipe
from notifier.inputs.alert import read_notification
from notifier.inputs.alertmanager import problem_of
from notifier.inputs.lenient import Vocabulary
from notifier.messages.incident_notices import ButtonData, data_of, incident_buttons, keyboard_of, read_data
from notifier.messages.words import Words
from notifier.people.file import read_people
from notifier.people.model import Directory, Person
from notifier.tickets.model import Instruction, Queues, done_there, instruction_for, says_no_call, ticket_for
from tests.support.alert_samples import notification, one_alert

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = Policy(
    steps=(Step(after=5 * MINUTE, act="remind", whom="on_duty"), Step(after=7 * MINUTE, act="call", whom="backup")),
    rounds=2,
    pause=30 * MINUTE,
)
DIRECTORY = Directory(
    people={
        "anna": Person(id="anna", name="Анна", role="operator", phone="+79990000002"),
        "oleg": Person(id="oleg", name="Олег", role="operator", phone="+79990000001"),
    },
    owners={"refunds": ("anna",), "default": ("oleg",)},
)


def fired(
    state: IncidentState, *, step: int = 0, round_: int = 0, until: datetime | None = None, critical: bool = True
) -> Firing:
    """What a timer does now."""
    return fire(state, critical=critical, step=step, round_=round_, ack_until=until, policy=POLICY, now=NOW)


def test_an_open_incident_goes_step_by_step_and_round_by_round_to_the_end() -> None:
    opened = IncidentState.OPEN
    assert fired(opened) == Firing(step=1, round=0, due=NOW + 7 * MINUTE, act="remind", whom="on_duty")
    assert fired(opened, step=1) == Firing(step=0, round=1, due=NOW + 35 * MINUTE, act="call", whom="backup")
    assert fired(opened, step=1, round_=1) == Firing(step=1, round=1, due=None, act="call", whom="backup")


def test_what_is_taken_or_over_or_not_critical_calls_nobody() -> None:
    taken = IncidentState.ACKNOWLEDGED
    assert fired(taken, until=NOW + MINUTE) == Firing(step=0, round=0, due=NOW + MINUTE)
    assert fired(taken, step=1, until=NOW) == Firing(step=0, round=0, due=NOW + 5 * MINUTE, reopen=True)
    assert fired(taken, until=NOW, critical=False) == Firing(step=0, round=0, due=None, reopen=True)
    assert fired(IncidentState.RESOLVED) == Firing(step=0, round=0, due=None)
    assert fired(IncidentState.OPEN, critical=False) == Firing(step=0, round=0, due=None)


def test_the_previous_person_answers_too_while_the_newcomer_has_not_confirmed() -> None:
    duty = Duty(on_duty="oleg", backup="anna", previous="boris")
    assert people_of("on_duty", duty, DIRECTORY, source=None, service="x") == ("oleg", "boris")
    assert people_of("owners", Duty(on_duty=None), DIRECTORY, source="kuper", service="refunds") == ("anna",)
    assert people_of("on_duty", Duty(on_duty=None), DIRECTORY, source=None, service="x") == ()
    assert may_be_called(duty, DIRECTORY, source=None, service="x") == {"oleg", "boris", "anna"}


def test_a_step_phones_whom_the_changed_roster_names_and_nobody_twice_in_a_round() -> None:
    steps = tuple(Step(after=MINUTE, act="call", whom=whom) for whom in ("on_duty", "backup", "owners", "owners"))
    policy = Policy(steps=(Step(after=MINUTE, act="remind", whom="on_duty"), *steps))

    def phoned(step: int, duty: Duty, **called: set[int]) -> tuple[str, ...]:
        """Whom a step phones; the owner is oleg."""
        return people_to_call(step, policy, duty, DIRECTORY, called=called, source=None, service="x")

    duty, swapped = Duty(on_duty="boris", backup="anna"), Duty(on_duty="anna", backup="boris")
    assert phoned(1, duty) == ("boris",)
    assert phoned(2, duty, boris={1}) == ("anna",)
    assert phoned(2, swapped, boris={1}) == ("anna",)  # who is on duty now; the backup of now was phoned before
    assert phoned(2, Duty(on_duty="clara", backup="anna"), boris={1}) == ("clara", "anna")
    assert phoned(2, Duty(on_duty="clara"), boris={1}) == ("clara",)
    assert phoned(3, duty, boris={1}, anna={2}) == ("oleg",)
    assert phoned(3, Duty(on_duty="boris", backup="oleg"), boris={1}, oleg={2}) == ()
    assert phoned(4, duty, boris={1}, anna={2}, oleg={3}) == ("oleg",)  # the chain itself means the owners twice
    assert phoned(4, duty, boris={1}, anna={2}, oleg={2}) == ()


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("Разбираюсь с проблемой. Звонить не нужно.", True),
        ("разбираюсь, ЗВОНИТЬ  НЕ НУЖНО!", True),
        ("Looking into it: no need to call", True),
        ("Don’t call, please", True),
        ("Разбираюсь с проблемой.", False),
        ("Звонить нужно", False),
        ("> Звонить не нужно.\nПочему? Звоните", False),
        ("Не перезвонить не нужноx", False),
        ("Звонить не нужно?", False),
        ("Почему не звоните? Заказ стоит.", False),
        ("Кто сказал? Звонить не требуется.", True),
        ("Звонить не нужно. " + "YWJj" * 250_000, True),  # a pasted file holds up nothing
    ],
)
def test_only_an_explicit_phrase_says_that_nobody_needs_to_call(text: str, heard: bool) -> None:
    assert says_no_call(text) is heard
    assert says_no_call("Беру на себя, ёж", ("ЕЖ",)) is True


def test_a_buttons_data_fits_telegram_and_only_ours_is_understood() -> None:
    assert len(data_of("recipe", 2**63 - 1).encode()) <= 64
    assert read_data(data_of("ack", 12)) == ButtonData("ack", 12)
    for wrong in ("", "n1:a:", "n1:x:1", "n2:a:1", "n1:a:-1", f"n1:a:{2**63}", "n1:a:1 ", "n1:a:１"):
        assert read_data(wrong) is None, wrong


def test_in_a_shared_message_each_problem_has_the_button_that_takes_it() -> None:
    words = Words("en")
    documents: list[tuple[dict[str, Any], IncidentState]] = [
        (
            {
                "buttons": [
                    [button.label, button.data, button.style]
                    for button in incident_buttons(
                        number, recipe=Recipe(name="retry_workflow", target="7"), words=words
                    )
                ]
            },
            IncidentState.OPEN,
        )
        for number in (1, 2)
    ]
    assert [[button.label for button in row] for row in keyboard_of(documents[:1])] == [
        ["✋ Mine, don't call", "🔁 Retry the workflow"],
        ["✅ Resolved", "🔕 Silence for an hour"],
    ]
    assert [[button.label for button in row] for row in keyboard_of([*documents, ({}, None)])] == [
        ["✋ Mine, don't call №1"],
        ["✋ Mine, don't call №2"],
    ]
    assert [[button.label for button in row] for row in keyboard_of([documents[0], documents[1], documents[0]])] == [
        ["✋ Mine, don't call №1"],
        ["✋ Mine, don't call №2"],
    ]
    taken, over = (
        [(document, state)]
        for document, state in zip(
            (document for document, _ in documents), (IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED), strict=True
        )
    )
    assert [[button.label for button in row] for row in keyboard_of(taken)] == [
        ["🔁 Retry the workflow", "✅ Resolved"],
        ["🔕 Silence for an hour"],
    ]
    assert keyboard_of(over) == ()


def a_fact(kind: str = "workflow.crashed", **changes: object) -> ProblemFact:
    """A problem."""
    values: dict[str, object] = {
        "kind": kind,
        "severity": "critical",
        "fingerprint": "workflow:77",
        "summary": "order 77",
        "service": "orchestrator",
        "occurred_at": NOW,
        "order_number": "7Q3M0V9XK2TDW8RC",
    }
    return ProblemFact(**{**values, **changes})  # type: ignore[arg-type]  # the values above


def test_only_a_crashed_workflow_and_a_refund_in_error_have_a_recipe() -> None:
    assert recipe_of(a_fact()) == Recipe(name="retry_workflow", target="77")
    details = {"refund_id": "0190b5f0-0000-7000-8000-000000000001", "version": "4"}
    refund = recipe_of(a_fact("problem.refund.error", details=details))
    assert refund is not None
    assert (refund.path, refund.body("why")) == (
        "/admin/v1/refunds/0190b5f0-0000-7000-8000-000000000001/restart",
        {"reason": "why", "expected_version": 4},
    )
    for fact in (
        a_fact("workflow.stopped"),
        a_fact(fingerprint="workflow:../../secrets"),
        a_fact("problem.refund.error", details={**details, "refund_id": "../x"}),
        a_fact("problem.refund.error", details={"refund_id": "1"}),
        a_fact("problem.alert"),
    ):
        assert recipe_of(fact) is None


def test_a_ticket_says_what_to_do_or_without_an_instruction_whom_to_phone() -> None:
    words = Words("ru")
    duty = Duty(on_duty="oleg", backup="anna")

    def lines(fact: ProblemFact, *instructions: Instruction) -> list[str]:
        ticket = ticket_for(
            1,
            fact,
            instructions=instructions,
            duty=duty,
            directory=DIRECTORY,
            environment="production",
            words=words,
            queues=Queues(),
        )
        assert ticket.queue == "TRAVELORDERSUP"
        return ticket.description.splitlines()

    phone = ["Позвоните дежурному: Олег, +79990000001", "Если не отвечает: Анна, +79990000002"]
    known = Instruction(kind="workflow.*", text="Ничего не делать.")
    assert lines(a_fact("problem.unheard_of"))[:3] == ["Что делать:", *phone]
    assert lines(a_fact(), known)[:4] == ["Что делать:", "Ничего не делать.", "", "order 77"]
    call = Instruction(kind="workflow.crashed", text="Проверить заказ.", call=True)
    assert lines(a_fact(), known, call)[:4] == ["Что делать:", "Проверить заказ.", *phone]
    assert "Заказ: 7Q3M0V9XK2TDW8RC" in lines(a_fact())
    assert instruction_for("problem.x", (known, call)) is None


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        (
            {"summary": "Disk full", "description": "Run cleanup.sh on h2\nThen call"},
            ["Run cleanup.sh on h2", "Then call"],
        ),
        ({"summary": None, "description": "Disk full\nRun cleanup.sh\non h2"}, ["Run cleanup.sh", "on h2"]),
    ],
)
def test_an_alerts_ticket_has_summary_instruction_and_runbook(
    annotations: dict[str, str | None], said: list[str]
) -> None:
    links = {"runbook_url": "https://wiki.example/disk", "sentry_url": "https://sentry.example/1"}
    alert = one_alert(severity="critical", annotations={**annotations, **links})
    [read] = read_notification(json.dumps(notification(alert)).encode(), now=NOW).alerts
    fact = problem_of(read, "f", now=NOW, vocabulary=Vocabulary(), words=Words("ru"))

    def lines(*instructions: Instruction) -> list[str]:
        ticket = ticket_for(
            1,
            fact,
            instructions=instructions,
            duty=Duty(on_duty=None),
            directory=DIRECTORY,
            environment="production",
            words=Words("ru"),
            queues=Queues(),
        )
        assert ticket.summary == "[production] Disk full"
        return ticket.description.splitlines()

    told = lines()
    assert told[1].startswith("Сработало оповещение")
    assert told[2 : 2 + len(said)] == said
    assert told[told.index("") + 1] == "Disk full"
    assert {"Инструкция: https://wiki.example/disk", "Подробнее: https://sentry.example/1"} <= set(told)
    # What people wrote about the kind comes first; the alert's own words stand below its summary.
    written = lines(Instruction(kind="problem.alert", text="Смотреть в чат."))
    assert written[: 4 + len(said)] == ["Что делать:", "Смотреть в чат.", "", "Disk full", *said]


def test_only_what_differs_after_both_sides_had_agreed_was_done_by_people() -> None:
    states = ("open", "closed")
    done = [
        (here, known, there)
        for here in states
        for known in (None, *states)
        for there in states
        if done_there(here=here, known=known, there=there)
    ]
    assert done == [("open", "open", "closed"), ("closed", "closed", "open")]


def test_a_wrong_directory_is_refused_with_one_line_and_none_of_its_values() -> None:
    person = '{"id": "oleg", "name": "Oleg", "telegram": 1, "phone": "secret"}'
    with pytest.raises(ConfigurationError, match=r"^the people file p is malformed at people\.0\.phone: ") as error:
        read_people(f'{{"people": [{person}]}}', name="p")
    assert "secret" not in error.value.detail
    for text, message in (
        ('{"people": [{"id": "a", "name": "A"}, {"id": "a", "name": "B"}]}', "somebody is named twice"),
        ('{"people": [], "owners": {"x": ["a"]}}', "x names 'a', who is not among the people"),
        (
            '{"people": [{"id": "a", "name": "A", "telegram": 1}, {"id": "b", "name": "B", "telegram": 1}]}',
            "two people have the same telegram account",
        ),
    ):
        with pytest.raises(ConfigurationError, match=message):
            read_people(text, name="p")
