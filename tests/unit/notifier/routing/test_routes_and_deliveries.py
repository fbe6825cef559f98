"""Who is notified, and what an outcome means."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.orders import WorkflowCrashedV1, WorkflowStoppedV1
from common.contracts.refunds import RefundRejectedV1
from common.errors import ConfigurationError, Conflict
from notifier.delivery.outcomes import (
    After,
    Moved,
    NotSent,
    Outcome,
    Refused,
    RetryPolicy,
    Sent,
    State,
    Throttled,
    Unclear,
    after,
    backoff,
    pause_for,
)
from notifier.incidents import model as incidents
from notifier.incidents.model import IncidentState, Reported, should_notify
from notifier.inputs.events import problem_fact, rejection_fact, workflow_fact
from notifier.messages.document import text_of
from notifier.messages.incident_notices import render_problem
from notifier.messages.words import Language, Words
from notifier.routing.file import read_routes
from notifier.routing.model import Labels
from notifier.settings import DEFAULT_ROUTES

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ROUTES = read_routes(DEFAULT_ROUTES.read_bytes(), name="default")


@pytest.mark.parametrize(
    ("labels", "notified"),
    [
        ({"kind": "order.created", "store_id": "17"}, ["pickers-17", "store-17"]),
        ({"kind": "order.cancelled", "store_id": "999"}, ["pickers", "store"]),
        ({"kind": "order.created"}, ["pickers", "store"]),
        ({"kind": "workflow.stopped"}, ["orders-notifications"]),
        ({"kind": "workflow.crashed", "severity": "critical"}, ["orders-notifications", "on-call-production"]),
        ({"kind": "problem.alert"}, ["on-call-production", "orders-notifications"]),
        ({"kind": "refund.rejected", "environment": "testing"}, ["on-call-testing", "orders-notifications"]),
        ({"kind": "something.else"}, []),
    ],
)
def test_the_default_routes_notify_those_whom_the_requirements_name(
    labels: dict[str, str], notified: list[str]
) -> None:
    chosen = ROUTES.choose(Labels(**{"environment": "production", **labels}))
    assert [each.destination.name for each in chosen] == notified


def a_file(**changes: Any) -> str:
    """A small routes file with something changed."""
    values: dict[str, Any] = {
        "destinations": {"a": {"channel": "telegram", "address": "-1"}},
        "routes": [{"name": "r", "to": ["a"]}],
    }
    return json.dumps({**values, **changes})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "{",
            "the routes file f is not JSON: unexpected end of data: line 1 column 2 (char 1)",
        ),
        (a_file(extra=1), "the routes file f is malformed at extra: Extra inputs are not permitted"),
        (a_file(routes=[{"name": "r", "to": ["b"]}]), "the routes file f: route 'r' goes to 'b', which is not defined"),
        (
            a_file(routes=[{"name": "r", "to": ["@x"]}]),
            "the routes file f: route 'r' goes to '@x', which is not defined",
        ),
        (
            a_file(stores={"1": {"pickers": "z"}}),
            "the routes file f: store '1' has pickers 'z', which is not a destination",
        ),
        (
            a_file(destinations={"a": {"channel": "telegram", "address": "chat one"}}),
            "the routes file f: a needs a Telegram chat id or @name as its address",
        ),
        (a_file(destinations={"a": {"channel": "mail", "address": "x"}}), "the routes file f: a needs a mail address"),
        (
            a_file(destinations={"a": {"channel": "slack", "address": "#x", "topic": 1}}),
            "the routes file f: a has a topic, which only Telegram knows",
        ),
        (
            a_file(routes=[{"name": "r", "match": {"colour": ["red"]}, "to": ["a"]}]),
            (
                "the routes file f is malformed at routes.0.match.colour.[key]: Input should be 'environment', 'kind', "
                "'severity', 'source', 'store_id', 'zone', 'service', 'alert', 'order_number' or 'fingerprint'"
            ),
        ),
    ],
)
def test_a_wrong_routes_file_is_refused_with_one_line(text: str, line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_routes(text, name="f")
    assert caught.value.detail == line


@pytest.mark.parametrize(
    ("outcome", "shared", "expected"),
    [
        (Sent("7"), False, After(state=State.SENT, not_before=NOW)),
        (Throttled(3), False, After(state=State.PENDING, not_before=NOW, reason="the provider's limit")),
        (Moved("-2"), False, After(state=State.PENDING, not_before=NOW, reason="the chat moved")),
        (
            Refused("blocked", whole_channel=True),
            True,
            After(state=State.FAILED, not_before=NOW, reason="blocked", problem="channel"),
        ),
        (
            Refused("bad text", whole_channel=False),
            True,
            After(state=State.PENDING, not_before=NOW, reason="bad text", alone=True),
        ),
        (
            Refused("bad text", whole_channel=False),
            False,
            After(state=State.FAILED, not_before=NOW, reason="bad text", problem="notice"),
        ),
        (NotSent("away"), False, After(state=State.PENDING, not_before=NOW + timedelta(seconds=2), reason="away")),
        (
            Unclear("silence"),
            False,
            After(state=State.UNKNOWN, not_before=NOW + timedelta(seconds=2), reason="silence"),
        ),
    ],
)
def test_each_outcome_has_its_consequence(outcome: Outcome, shared: bool, expected: After) -> None:
    decided = after(outcome, now=NOW, created_at=NOW, attempts=3, shared=shared, jitter=0.0, retry_policy=RetryPolicy())
    assert decided == expected


def test_what_cannot_be_sent_for_too_long_fails_and_is_a_problem() -> None:
    old = NOW - timedelta(hours=7)
    decided = after(
        Unclear("silence"), now=NOW, created_at=old, attempts=90, shared=False, jitter=0.5, retry_policy=RetryPolicy()
    )
    assert decided == After(state=State.FAILED, not_before=NOW, reason="given up: silence", problem="channel")


def test_what_waited_while_nothing_ran_is_tried_for_a_while_before_it_is_given_up() -> None:
    old = NOW - timedelta(
        hours=9
    )  # nobody was there for a night; the first call fails because the network is not up yet
    decided = after(
        NotSent("away"), now=NOW, created_at=old, attempts=1, shared=False, jitter=0.0, retry_policy=RetryPolicy()
    )
    assert decided.state is State.PENDING


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300, -5.0])
def test_a_senseless_wait_of_a_provider_is_a_short_wait(seconds: float) -> None:
    assert 0 <= pause_for(Throttled(seconds)).total_seconds() <= 3600


def test_a_chat_that_keeps_moving_is_not_chased_for_ever() -> None:
    decided = after(
        Moved("-2"), now=NOW, created_at=NOW, attempts=9, shared=False, jitter=0.0, retry_policy=RetryPolicy()
    )
    assert decided.not_before > NOW
    old = after(
        Moved("-2"),
        now=NOW,
        created_at=NOW - timedelta(hours=7),
        attempts=90,
        shared=False,
        jitter=0.0,
        retry_policy=RetryPolicy(),
    )
    assert (old.state, old.problem) == (State.FAILED, "channel")


def test_two_names_of_one_chat_are_notified_once() -> None:
    table = read_routes(
        a_file(
            destinations={
                "pickers": {"channel": "telegram", "address": "-1"},
                "store": {"channel": "telegram", "address": "-1"},
                "topic": {"channel": "telegram", "address": "-1", "topic": 7},
            },
            routes=[{"name": "r", "to": ["pickers", "store", "topic"]}],
        ),
        name="f",
    )
    chosen = table.choose(Labels(environment="production", kind="order.created"))
    assert [each.destination.name for each in chosen] == ["pickers", "topic"]


def test_the_backoff_doubles_is_jittered_and_ends_at_five_minutes() -> None:
    assert [backoff(attempts, 0.0).total_seconds() for attempts in (0, 1, 2, 3, 40)] == [0.5, 0.5, 1, 2, 150]
    assert backoff(40, 0.999).total_seconds() < 300


def test_only_news_of_an_incident_is_notified() -> None:
    def report(*, opened: bool, before: str | None) -> Reported:
        return Reported(incident_id=1, opened=opened, severity_before=before, occurrences=2)

    assert should_notify(report(opened=True, before=None), "info") == "opened"
    assert should_notify(report(opened=False, before="warning"), "critical") == "escalated"
    assert should_notify(report(opened=False, before="info"), "critical") == "escalated"
    assert should_notify(report(opened=False, before="info"), "warning") == "graver"  # who hears of it may be others
    assert should_notify(report(opened=False, before="critical"), "critical") is None
    assert should_notify(report(opened=False, before="warning"), "info") is None
    assert should_notify(report(opened=False, before="warning"), "warning") is None


def test_every_act_on_every_state_is_a_transition_or_a_conflict() -> None:
    opened, taken, over = IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED
    assert [incidents.acknowledge(state, by="anna", holder=None) for state in (opened, taken)] == [taken, taken]
    assert incidents.acknowledge(taken, by="anna", holder="anna") is taken
    assert incidents.acknowledge(taken, by="boris", holder="anna", take_over=True) is taken
    with pytest.raises(incidents.TakenAlready):
        incidents.acknowledge(taken, by="boris", holder="anna")
    assert [incidents.resolve(state) for state in (opened, taken)] == [over, over]
    assert [incidents.comment(state) for state in (opened, taken, over)] == [opened, taken, over]
    with pytest.raises(Conflict):
        incidents.acknowledge(over, by="anna", holder="anna", take_over=True)
    with pytest.raises(Conflict):
        incidents.resolve(over)


def test_free_text_of_problems_is_scrubbed_and_a_workflow_is_one_incident() -> None:
    problem = problem_fact(
        ProblemRaisedV1(
            kind="endangered_order",
            severity="critical",
            fingerprint="f",
            summary="call +7 916 123-45-67",
            details={"who": "anna@example.org"},
            service="gateway",
            occurred_at=NOW,
        )
    )
    assert (problem.kind, problem.summary, dict(problem.details)) == (
        "problem.endangered_order",
        "call [masked]",
        {"who": "[masked]"},
    )
    stopped = workflow_fact(
        WorkflowStoppedV1(
            workflow_id=7, kind="order_life", order_number="N", actor="oleg", reason="by hand", occurred_at=NOW
        ),
        Words("ru"),
    )
    assert (stopped.fingerprint, stopped.severity, dict(stopped.details)) == (
        "workflow:7",
        "info",
        {"who": "oleg", "why": "by hand"},
    )


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "order_life 7: crashed again after the retry of oleg at 2026-11-21 07:00 UTC: e [masked]"),
        ("ru", "order_life 7: снова упал после повтора (oleg, 2026-11-21 07:00 UTC): e [masked]"),
    ],
)
def test_a_crash_says_its_error_and_whose_retry_it_followed(language: Language, said: str) -> None:
    crash = WorkflowCrashedV1(
        workflow_id=7,
        kind="order_life",
        order_number="N",
        event_type="timer",
        error="e\n+7 916 123-45-67",
        attempts=5,
        occurred_at=NOW,
    )
    at = datetime(2026, 11, 21, 10, tzinfo=timezone(timedelta(hours=3)))
    again = crash.model_copy(update={"retried_by": "oleg", "retried_at": at})
    assert [workflow_fact(each, Words(language)).summary for each in (crash, again)] == [
        "order_life 7: e [masked]",
        said,
    ]


def test_a_refund_that_cannot_be_made_is_a_problem_and_an_instruction_is_what_to_do() -> None:
    rejected = rejection_fact(
        RefundRejectedV1(
            order_number="N",
            payment_id="p",
            business_key="N:cancel",
            code="no_payment",
            detail="paid at the marketplace",
            occurred_at=NOW,
        )
    )
    assert (rejected.kind, rejected.fingerprint, rejected.severity) == (
        "refund.rejected",
        "refund-rejected:N:cancel",
        "warning",
    )
    problem = problem_fact(
        ProblemRaisedV1(
            kind="refund.error",
            severity="critical",
            fingerprint="f",
            summary="s",
            details={"attempt": "3", "instruction": "restart it"},
            service="refunds",
            occurred_at=NOW,
        )
    )
    document = render_problem(problem, transition="opened", environment="testing", words=Words("en"))
    assert [text_of(line) for line in document.flatten()] == [
        "🔴 [testing] Problem: s",
        "Service: refunds",
        "Attempt: 3",
        "What to do: restart it",
    ]
