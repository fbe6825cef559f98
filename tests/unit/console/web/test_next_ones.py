"""What a plan had no room for: the console goes on with the next ones."""

from __future__ import annotations

from tests.support.console_browser import Browser
from tests.support.console_plans import RETRY, hidden, planned
from tests.unit.console.web.factories import Services


async def test_what_a_plan_had_no_room_for_is_done_by_the_next_one(browser: Browser, services: Services) -> None:
    first = {**planned({"id": "7", "outcome": "retried"}), "matched": 5, "more": True}
    second = {**planned({"id": "8", "outcome": "retried"}), "plan": "second"}
    services.answers[RETRY] = lambda body: (200, second if body.get("after") == "digest" else first)
    for name in ("7", "8"):
        services.answers[f"GET /admin/v1/workflows/{name}"] = (
            200,
            {"id": int(name), "state_name": "finished", "pending": 0},
        )
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?all=1&filter.state=crashed")
    page = await browser.post("/change/workflow/retry", all="1", reason="for a test", **{"filter.state": "crashed"})
    page = await browser.post("/apply", plan=hidden(page, "plan"))
    assert "4 more match and were in no plan" in page
    page = await browser.post("/next", done=hidden(page, "done"))
    page = await browser.post("/apply", plan=hidden(page, "plan"))
    assert "Do the next ones" not in page
    sent = [body for line, body, _ in services.calls if line == RETRY]
    assert [(body["limit"], body.get("after"), body.get("plan")) for body in sent] == [
        (1000, None, None),
        (1000, None, "digest"),
        (1000, "digest", None),
        (1000, "digest", "second"),
    ]
    assert all(body["filter"] == {"state": "crashed"} and body["reason"] == "for a test" for body in sent)
    assert "does not hold a plan" in await browser.post("/next", done="{}")


async def test_a_thousand_crashed_workflows_with_their_stacks_fit_into_a_page(
    browser: Browser, services: Services
) -> None:
    stack = "".join(f'  File "orchestrator/orders/fold.py", line {line}, in fold\n' for line in range(20))
    items = [
        {
            "id": str(each),
            "version": 3,
            "outcome": "retried",
            "detail": "it goes on",
            "error_stack": stack,
            "error": stack,
        }
        for each in range(1000)
    ]
    crashed = {"state_name": "crashed", "pending": 1, "error_stack": stack}
    services.answers[RETRY] = (200, {**planned(*items), "matched": 2000, "more": True})
    services.answers |= {f"GET /admin/v1/workflows/{each}": (200, {"id": each, **crashed}) for each in range(1000)}
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?all=1&filter.state=crashed")
    page = await browser.post("/change/workflow/retry", all="1", reason="for a test", **{"filter.state": "crashed"})
    assert "fold.py" in page  # shown, though not carried
    page = await browser.post("/apply", plan=hidden(page, "plan"))
    assert "1000 crashed" in page
    done = hidden(page, "done")
    assert "fold.py" not in done
    assert "1000 crashed" in await browser.post("/watch", done=done)
    assert "retried: 1000" in await browser.post("/next", done=done)
