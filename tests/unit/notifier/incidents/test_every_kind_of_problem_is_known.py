"""The table of kinds: every problem that any service raises is in it, with what to do, and nothing that nobody raises."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from common.http.runbook_pages import runbook
from notifier.incidents.kinds import KINDS, recipe_of, runbook_of
from notifier.incidents.kinds_page import page
from notifier.incidents.model import ProblemFact, RecipeName
from notifier.messages.links import page_of
from notifier.messages.words import Words
from notifier.tickets.model import Queues, built_in, wants_ticket
from tests.support.problem_kinds import Producers

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[4]
RUNBOOKS = ROOT / "docs" / "runbooks"
PRODUCERS = Producers(ROOT)
PASSED_ON = {"notifier/inputs/events.py", "notifier/delivery/notifications.py", "notifier/incidents/doubtful.py"}
"""Where a problem is built whose kind comes from elsewhere: of an event, or of what was stored."""


WITHOUT_A_PAGE = {
    "problem.alert": "its sender's own link",
    "problem.acts.repeated": "what its ticket says is all there is",
}
"""Kinds that link neither a page nor a runbook, and why."""


NOTICES = frozenset({"NewNotice"})
NOBODY_ACTS_ON = {
    "heartbeat": "it says that all is well",
    "recipe.question": "its answer is pressed in the chat",
    "test": "whoever sent it looks for it",
}
"""Kinds of notices that are no problem, and why. Those of orders are made of the orders' events."""


def kinds_raised() -> Iterator[tuple[str, ast.Call]]:
    """The kinds that the code raises, as the routes see them, each with the call that raises it."""
    for _, kinds, call in PRODUCERS.raised():
        by_event = getattr(call.func, "id", getattr(call.func, "attr", "")) == "ProblemRaisedV1"
        yield from ((f"problem.{kind}" if by_event else kind, call) for kind in kinds)


def pages_of(kind: str, call: ast.Call) -> set[str]:
    """The pages that a problem's notice links because of what its producer says."""
    said = {word.arg: word.value for word in call.keywords if ast.unparse(word.value) != "None"}
    pages = {"w"} if kind.startswith("workflow.") else set()
    pages |= {"o"} if "order_number" in said else set()
    if isinstance(link := said.get("link"), ast.JoinedStr):
        pages.add(str(getattr(link.values[0], "value", "")).split("/")[1])
    details = (
        [node.value for node in ast.walk(said["details"]) if isinstance(node, ast.Constant)]
        if "details" in said
        else []
    )
    return pages | ({"r"} if "refund_id" in details else set())


def a_problem(kind: str, **changes: Any) -> ProblemFact:
    """A problem of a kind, of no order, that nobody is phoned for."""
    values: dict[str, Any] = {
        "severity": "warning",
        "fingerprint": "f",
        "summary": "s",
        "service": "refunds",
        "occurred_at": NOW,
    }
    return ProblemFact(kind=kind, **{**values, **changes})


def test_every_place_that_raises_a_problem_says_of_which_kind() -> None:
    assert {name for name, kinds, _ in PRODUCERS.raised() if not kinds} == PASSED_ON


def test_every_problem_that_is_raised_has_an_instruction_and_no_instruction_is_idle() -> None:
    assert {kind for kind, _ in kinds_raised()} | (notices() - set(NOBODY_ACTS_ON)) == set(KINDS)


def test_every_notice_that_calls_for_somebody_has_an_instruction() -> None:
    assert notices() - set(KINDS) == set(NOBODY_ACTS_ON)


def notices() -> set[str]:
    """The kinds of notices that no report of a problem brings about."""
    return {kind for _, kinds, _ in PRODUCERS.raised(NOTICES) for kind in kinds}


def test_every_kind_links_the_page_of_what_it_is_about_and_its_runbook() -> None:
    missing = {
        kind: KINDS[kind].page
        for kind, call in kinds_raised()
        if KINDS[kind].page is not None and KINDS[kind].page not in pages_of(kind, call)
    }
    assert missing == {}
    assert {name for name, kind in KINDS.items() if kind.page is None and kind.runbook is None} == set(WITHOUT_A_PAGE)
    for name, kind in KINDS.items():
        services = (
            ("webhook-gateway", "orchestrator", "refunds", "notifier") if kind.by == "every service" else ("refunds",)
        )
        for path in filter(None, (runbook_of(a_problem(name, service=service)) for service in services)):
            assert runbook(RUNBOOKS, path.removeprefix("/runbook/"), language="en") is not None, path


def test_an_incident_of_every_kind_that_has_a_page_leads_to_it() -> None:
    about: dict[str, dict[str, Any]] = {
        "w": {"fingerprint": "workflow:7"},
        "o": {"order_number": "7"},
        "r": {"details": {"refund_id": "7"}},
    }
    paged = {name: str(kind.page) for name, kind in KINDS.items() if kind.page is not None}
    found = {name: page_of(a_problem(name, **about.get(page, {"link": f"/{page}/7"}))) for name, page in paged.items()}
    assert found == {name: f"/{page}/7" for name, page in paged.items()}
    assert page_of(a_problem("problem.alert")) is None


def test_every_kind_opens_a_ticket_or_says_why_none_is_opened() -> None:
    opened = {name for name in KINDS if wants_ticket(a_problem(name))}
    assert opened == {name for name, kind in KINDS.items() if kind.without is None}
    grave: list[dict[str, Any]] = [{"severity": "critical"}, {"details": {"request": "POST /orders"}}]
    for name, kind in KINDS.items():
        if kind.without is not None:
            assert kind.without.ru
            assert kind.without.en
            assert [wants_ticket(a_problem(name, **each)) for each in grave] == [kind.without.when_grave] * 2
    assert wants_ticket(a_problem("problem.of_a_newer_release"))


def test_a_ticket_is_opened_in_the_queue_of_the_team_or_of_the_kind() -> None:
    queues = Queues(teams={"tips": "TRAVELTIPS"}, development="MYBACK")
    assert {queues.of(a_problem(name, service="tips")) for name in KINDS} == {"TRAVELTIPS"}
    named = {"operators": "TRAVELORDERSUP", "development": "MYBACK"}
    assert {name: queues.of(a_problem(name)) for name in KINDS} == {
        name: named[kind.queue] for name, kind in KINDS.items()
    }


def test_the_recipe_that_is_offered_is_the_one_of_the_table() -> None:
    details = {"refund_id": "r-1", "version": "4"}
    for name, kind in KINDS.items():
        offered = recipe_of(a_problem(name, fingerprint="workflow:77", details=details))
        assert (None if offered is None else offered.name) == kind.recipe


def test_problems_are_as_grave_as_the_table_says() -> None:
    for kind, call in kinds_raised():
        [said] = [word.value for word in call.keywords if word.arg == "severity"]
        if isinstance(said, ast.Constant):
            assert said.value == KINDS[kind].severity, kind


def test_instructions_are_there_in_both_languages_and_speak_only_one() -> None:
    for name, kind in KINDS.items():
        russian, english = built_in(name, Words("ru").language), built_in(name, Words("en").language)
        assert russian is not None
        assert english is not None
        assert (russian.text, english.text) == (kind.ru, kind.en)
        assert any("а" <= letter <= "я" for letter in kind.ru.lower())
        assert not any("а" <= letter <= "я" for letter in kind.en.lower())
    assert {kind.recipe for kind in KINDS.values()} - {None} == set(get_args(RecipeName))


def test_the_operators_page_is_made_of_the_table() -> None:
    assert (ROOT / "docs" / "problems.md").read_text() == page()
