"""A message's page: why it was late, and why one has no words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.console_browser import Browser
from tests.unit.console.web.factories import Services

AT = "2026-11-29T10:00:00Z"
TOLD = {
    "notice_id": "N1",
    "kind": "order.created",
    "transition": "created",
    "severity": "info",
    "order_number": "N",
    "incident_id": None,
    "event_id": "E1",
    "text": None,
    "occurred_at": AT,
    "created_at": AT,
    "received_at": None,
}
COPY = {
    **TOLD,
    "delivery_id": 1,
    "destination": "pickers",
    "channel": "telegram",
    "state": "sent",
    "reason": None,
    "route": "orders",
    "attempts": 2,
    "message_ids": ["7"],
    "not_before": AT,
    "sent_at": "2026-11-29T10:00:09Z",
    "held_by": "the provider answered 502",
    "failed_at": "2026-11-29T10:00:02Z",
    "waited": None,
    "came_by": None,
    "held_behind": None,
    "held_behind_kind": None,
}


async def shown(browser: Browser, services: Services, *copies: dict[str, Any], text: str | None = None) -> str:
    """The page of a message with these copies."""
    services.answers["GET /admin/v1/notifications/N1"] = (200, {**TOLD, "text": text, "deliveries": list(copies)})
    services.answers["POST /admin/v1/routes/dry-run"] = (200, {"targets": [], "past": None})
    await browser.sign_in("token-operator")
    return await browser.get("/m/N1")


async def test_what_failed_first_says_when_it_was_tried_and_when_again(browser: Browser, services: Services) -> None:
    page = await shown(browser, services, COPY, text="new order")
    assert "9 seconds after what it tells" in page
    assert "the provider answered 502" in page.lower()
    assert "tried at" in page
    assert "kept no longer" not in page


async def test_a_second_of_lateness_after_a_failure_is_explained(browser: Browser, services: Services) -> None:
    page = await shown(browser, services, {**COPY, "sent_at": "2026-11-29T10:00:03Z"}, text="new order")
    assert "3 seconds after what it tells" in page
    assert "the provider answered 502" in page.lower()


async def test_what_waited_for_the_one_before_it_names_and_links_it(browser: Browser, services: Services) -> None:
    behind = {"held_by": "earlier_notice", "held_behind": "N0", "held_behind_kind": "order.paid", "failed_at": None}
    page = await shown(browser, services, {**COPY, **behind, "sent_at": "2026-11-29T10:00:02Z"}, text="new order")
    assert '2 seconds after what it tells: earlier notice <a href="/m/N0">order paid</a>' in page


async def test_a_notice_of_what_a_person_entered_names_the_act_and_no_hook(
    browser: Browser, services: Services
) -> None:
    entered = {"received_at": AT, "came_by": "act", "kind": "order.cancelled"}
    page = await shown(browser, services, {**COPY, **entered}, text="cancelled")
    assert "9 seconds after a person had entered it: order cancelled" in page
    assert "the hook had come" not in page


async def test_what_nobody_was_told_has_no_words_and_says_why(browser: Browser, services: Services) -> None:
    untold = {**COPY, "delivery_id": None, "destination": None, "channel": None, "state": "not_told", "attempts": 0}
    untold |= {"sent_at": None, "held_by": None, "failed_at": None, "reason": "no route matches", "message_ids": []}
    page = await shown(browser, services, untold)
    words = page.partition("Word for word")[2].partition("</section>")[0]
    assert "Nobody was told, so it was never put into words." in words
    assert "no route matches" in words.lower()
    assert "kept no longer" not in page


async def test_what_was_told_and_has_no_words_any_more_says_that(browser: Browser, services: Services) -> None:
    assert "Its text is kept no longer." in await shown(browser, services, COPY)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("32 seconds after the hook had come", "22 seconds before the orchestrator: the broker was away")),
        ("ru", ("через 32 секунды после прихода хука", "22 секунды до orchestrator: брокер был недоступен")),
    ],
)
async def test_a_late_notice_names_the_wait_before_the_orchestrator(
    browser: Browser, services: Services, language: str, words: tuple[str, ...]
) -> None:
    waited = "22 s before the orchestrator: the broker was away, and the gateway kept the hook; 9 s in the notifier"
    await shown(browser, services, {**COPY, "received_at": "2026-11-29T09:59:37Z", "waited": waited})
    page = await browser.post("/language", language=language, to="/m/N1")
    assert [each for each in words if each not in page] == []
    assert "9 seconds after what it tells" not in page
