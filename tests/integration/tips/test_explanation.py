"""``GET /admin/v1/explain`` on the real orders database."""

from __future__ import annotations

from tips.settings import TipsSettings

from .conftest import Start


async def test_the_explanation_goes_rule_by_rule(start: Start) -> None:
    service = await start()
    await service.order()
    await service.feedback()
    status, body = await service.call("GET", "/admin/v1/explain?order_id=ORDER1", role="viewer")
    assert status == 200
    assert (body["tips"]["amount"], body["tips"]["write"], body["hold"]["need_hold_tips"]) == (1_600, "set", False)
    assert [(step["rule"], step["outcome"]) for step in body["tips"]["steps"]] == [
        ("cashless", "pass"),
        ("not refunded", "pass"),
        ("not zeroed", "pass"),
        ("feedback", "pass"),
        ("rating", "pass"),
        ("sum", "1600"),
        ("cap", "pass"),
    ]
    assert body["hold"]["steps"][-1] == {
        "rule": "tips",
        "outcome": "no hold",
        "detail": "no tips are set",
        "source": "docs/requirements.md#need-hold-tips: only tips above zero are held",
    }
    assert body["constants"] == {
        "cashless_methods": sorted(TipsSettings.model_fields["cashless_methods"].default),
        "maximum": 500_000,
        "maximum_share": "100",
        "negative_rating": 3,
        "hold_after": 1_800.0,
        "hold_until": 86_400.0,
    }
    assert (await service.call("GET", "/admin/v1/explain?order_id=NOBODY", role="viewer"))[0] == 404


async def test_nothing_waits_in_a_service_that_answers_at_once(start: Start) -> None:
    service = await start()
    status, body = await service.call("GET", "/admin/v1/queues", role="viewer")
    assert (status, [(each["name"], each["waiting"], each["state"]) for each in body["items"]]) == (
        200,
        [("requests", 0, "empty")],
    )
