"""The table of kinds: every problem that any service raises is in it, with what to do, and nothing that nobody raises."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from notifier.incidents.kinds import KINDS, page
from notifier.incidents.model import RecipeName
from notifier.messages.words import Words
from notifier.tickets.model import built_in
from orchestrator.orders.model import IncidentKind
from refunds.refunds.states import RefundState

ROOT = Path(__file__).parents[4]
RAISES = {"ProblemRaisedV1", "ProblemFact"}
# Where a kind is no literal: what it can be there. Whoever raises another one at such a place adds it here.
COMPUTED = {
    "orchestrator/orders/messages.py": {kind.value for kind in IncidentKind},
    "orchestrator/refunds/messages.py": {"refund.unanswered"},
    "refunds/refunds/problems.py": {
        f"refund.{state.name.lower()}" for state in (RefundState.ERROR, RefundState.REVERSED)
    },
    "notifier/delivery/journal.py": {"channel_refused", "notice_refused"},
    "notifier/inputs/events.py": {"workflow.stopped", "workflow.crashed"},
    "notifier/inputs/unread.py": {"problem.alerts_not_taken"},
    "notifier/tickets/support_desk.py": {"problem.ticket.summons"},
    "common/service/repeated_acts.py": {"acts.repeated"},
    "notifier/duty/keep_roster.py": {"problem.roster"},
    "notifier/delivery/notifications.py": set(),  # reads what was stored
}


def raised() -> Iterator[tuple[str, str | None, str]]:
    """Every place that raises a problem: (file, kind, class); the kind is None where it is no literal."""
    for path in sorted([*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/common/src/**/*.py")]):
        name = path.as_posix().partition("/src/")[2]
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called not in RAISES:
                continue
            [value] = [word.value for word in node.keywords if word.arg == "kind"]
            literal = value.value if isinstance(value, ast.Constant) else None
            yield name, literal if isinstance(literal, str) else None, called


def kinds_raised() -> set[str]:
    """The kinds that the code raises, as the routes see them."""
    found: set[str] = set()
    for name, literal, called in raised():
        kinds = {literal} if literal is not None else COMPUTED[name]
        found |= {f"problem.{kind}" if called == "ProblemRaisedV1" else kind for kind in kinds}
    return found


def test_every_problem_that_is_raised_has_an_instruction_and_no_instruction_is_idle() -> None:
    assert kinds_raised() == set(KINDS)


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
