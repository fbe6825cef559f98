"""What is read out of Sentry's notifications: the problem, and the basket that the front end could not place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from notifier.inputs.sentry_event import LostBasket, SentryEvent, read

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
ORDER = {"positions": [{"id": "sku-1", "quantity": 1}], "customer": {"name": "Анна", "phone": "+79990001122"}}


def alert(**event: Any) -> dict[str, Any]:
    """An issue alert of the integration platform."""
    return {
        "action": "triggered",
        "data": {
            "event": {
                "event_id": "e1",
                "issue_id": "17",
                "title": "HttpError: 422",
                "level": "error",
                "project": 1,
                "datetime": "2026-11-21T06:59:00.000Z",
                "web_url": "https://sentry.example/17",
                **event,
            }
        },
    }


def test_an_alert_of_the_integration_platform_is_read() -> None:
    assert read(alert(), now=NOW) == SentryEvent(
        event_id="e1",
        issue="17",
        title="HttpError: 422",
        level="error",
        project="1",
        occurred_at=datetime(2026, 11, 21, 6, 59, tzinfo=UTC),
        resolved=False,
        link="https://sentry.example/17",
        basket=None,
    )


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "yesterday"])
def test_a_time_that_cannot_be_meant_is_now(text: str) -> None:
    event = read(alert(datetime=text), now=NOW)
    assert event is not None
    assert event.occurred_at == NOW


def test_a_notification_of_the_older_plugin_is_read() -> None:
    event = read(
        {
            "id": "17",
            "project": "front",
            "message": "HttpError",
            "url": "https://sentry.example/17",
            "event": {"event_id": "e1", "extra": {"order": ORDER}},
        },
        now=NOW,
    )
    assert event == SentryEvent(
        event_id="e1",
        issue="17",
        title="HttpError",
        level="error",
        project="front",
        occurred_at=NOW,
        resolved=False,
        link="https://sentry.example/17",
        basket=LostBasket(order=ORDER, status=0, answer=None),
    )


@pytest.mark.parametrize(
    ("attached", "basket"),
    [
        ({"extra": {"order": ORDER, "status": 422}}, LostBasket(order=ORDER, status=422, answer=None)),
        (
            {"extra": {"order": json.dumps(ORDER), "answer": '{"status": 422, "code": "unprocessable"}'}},
            LostBasket(order=ORDER, status=422, answer={"status": 422, "code": "unprocessable"}),
        ),
        (
            {"contexts": {"order": {**ORDER, "type": "order"}}},
            LostBasket(order={**ORDER, "type": "order"}, status=0, answer=None),
        ),
        (
            {
                "contexts": {"shop": {"cart": ORDER["positions"], "address": "Тверская 1"}},
                "user": {"email": "a@b.example"},
            },
            LostBasket(
                order={"address": "Тверская 1", "customer": {"email": "a@b.example"}, "positions": ORDER["positions"]},
                status=0,
                answer=None,
            ),
        ),
        (
            {"extra": {"basket": {"items": ORDER["positions"], "customer": ORDER["customer"]}, "response": "timeout"}},
            LostBasket(order=ORDER, status=0, answer="timeout"),
        ),
        ({"extra": {"basket": []}}, None),
        ({"extra": {"order": {"positions": []}}}, None),
        ({"extra": ["basket"], "contexts": "cart", "user": 7}, None),
        ({"extra": {"basket": "{" * 100_000}}, None),
    ],
)
def test_a_basket_is_found_wherever_the_front_end_attached_it(
    attached: dict[str, Any], basket: LostBasket | None
) -> None:
    event = read(alert(**attached), now=NOW)
    assert event is not None
    assert event.basket == basket


@pytest.mark.parametrize(
    ("action", "status", "over"),
    [
        *((each, "unresolved", True) for each in ("Resolved ", "ignored", "archived", "deleted")),
        *((each, status, False) for each in ("created", "unresolved") for status in ("unresolved", "resolved")),
        ("priority_changed", "ignored", True),
        ("merged", "resolved", True),
        ("escalating", "unresolved", False),
        ("dreamt", None, False),
    ],
)
def test_an_act_on_an_issue_that_is_over_opens_nothing(action: str, status: str | None, over: bool) -> None:
    event = read({"action": action, "data": {"issue": {"id": 17, "title": "x", "status": status}}}, now=NOW)
    assert event is not None
    assert (event.issue, event.resolved) == ("17", over)


def test_a_resolved_issue_is_over_and_other_resources_are_nothing() -> None:
    resolved = read({"action": "resolved", "data": {"issue": {"id": "17", "title": "x"}}}, now=NOW)
    assert resolved is not None
    assert (resolved.issue, resolved.resolved) == ("17", True)
    others: tuple[dict[str, Any], ...] = (
        {},
        {"action": "created", "data": {"installation": {"uuid": "u"}}},
        {"data": {"event": []}},
    )
    assert [read(other, now=NOW) for other in others] == [None, None, None]
