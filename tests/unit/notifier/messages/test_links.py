"""Links in messages: absolute, to pages that a browser opens, or none."""

from __future__ import annotations

from typing import Any

import pytest

from notifier.incidents.model import ProblemFact
from notifier.messages.links import Links, links_of
from notifier.messages.words import Words
from tests.unit.notifier.factories import NOW

LINKS = Links("https://console.example/")


def a_problem(**changes: Any) -> ProblemFact:
    values: dict[str, Any] = {
        "kind": "problem.x",
        "severity": "critical",
        "fingerprint": "f",
        "summary": "s",
        "service": "refunds",
        "occurred_at": NOW,
    }
    return ProblemFact(**{**values, **changes})


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("/e/0190b5f0", "https://console.example/e/0190b5f0"),
        ("docs/runbooks/notifier-down.md", "https://console.example/runbook/notifier-down"),
        ("https://git.example/blob/main/docs/runbooks/x.md", "https://console.example/runbook/x"),
        ("https://sentry.example/issues/17", "https://sentry.example/issues/17"),
        ("https://gateway.example/admin/v1/deliveries/17", None),  # answers JSON
        ("/admin/v1/deliveries/17", None),
        ("graph?g0.expr=1", None),
        ("javascript:alert(1)", None),
        ("https://", None),
        ("http://[", None),
        ("https://prometheus.example/graph?" + "x" * 500, None),
        (None, None),
    ],
)
def test_a_link_is_an_address_that_a_browser_opens_or_none(link: str | None, address: str | None) -> None:
    assert LINKS.resolve(link) == address


def test_without_an_address_of_the_pages_only_what_is_absolute_is_linked() -> None:
    assert [Links().resolve(link) for link in ("/e/1", "docs/runbooks/x.md", "https://s.example/1")] == [
        None,
        None,
        "https://s.example/1",
    ]
    assert links_of(a_problem(), 5, links=Links(), words=Words("en")) == ()


@pytest.mark.parametrize(
    ("fact", "shown"),
    [
        (a_problem(), {"Incident 5": "i/5"}),
        (a_problem(link="/d/9"), {"Incident 5": "i/5", "Delivery": "d/9"}),
        (a_problem(kind="workflow.crashed", fingerprint="workflow:77"), {"Incident 5": "i/5", "Workflow": "w/77"}),
        (
            a_problem(details={"refund_id": "r-1"}, link="docs/runbooks/refunds-error.md"),
            {"Incident 5": "i/5", "Refund": "r/r-1", "Runbook": "runbook/refunds-error"},
        ),
    ],
)
def test_a_problem_links_its_incident_what_it_is_about_and_its_runbook(
    fact: ProblemFact, shown: dict[str, str]
) -> None:
    line = links_of(fact, 5, links=LINKS, words=Words("en"))
    assert {span.text: span.link for span in line if span.link} == {
        text: f"https://console.example/{path}" for text, path in shown.items()
    }
