"""Questions and feedback that are well-formed and senseless: answered with a code, or decided; never a fault, and no sum out of bounds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from aiohttp import web

from tests.integration.tips.conftest import ENDED, Start
from tests.support.strange import TEXTS, strange_bodies

SAID = {
    "rating": 5,
    "tips": {"type": "percent", "value": "10"},
    "choice": "suggested",
    "done": False,
    "updated_at": ENDED.isoformat(),
}


class AnyFeedback:
    """A feedback service that answers what it was given."""

    url = ""
    body = b""

    async def answer(self, _: web.Request) -> web.Response:
        """``GET /feedback/v1/orders/{order_id}``."""
        return web.Response(body=self.body, content_type="application/json")


@pytest.fixture
async def feedback() -> AsyncIterator[AnyFeedback]:
    """It, at an address of its own."""
    any_feedback, app = AnyFeedback(), web.Application()
    app.router.add_get("/feedback/v1/orders/{order_id}", any_feedback.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    any_feedback.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield any_feedback
    await runner.cleanup()


async def test_every_strange_question_is_answered_with_a_code(start: Start) -> None:
    tips = await start()
    await tips.order()
    headers = {"Authorization": "Bearer token-internal", "Content-Type": "application/json"}
    for body in strange_bodies({"order_id": "ORDER1"}):
        async with tips.http.post("/tips/v1/set-tips-sum", data=body, headers=headers) as answer:
            said = await answer.json()
            assert answer.status < 500, (body[:500], said)
            assert answer.status == 200 or said["code"], body[:500]
    for text in TEXTS:
        for path in ("/tips/v1/need-hold-tips", "/admin/v1/explain"):
            status, said = await tips.call(
                "GET", f"{path}?order_id={quote(text[:2000])}", role="viewer" if "admin" in path else "internal"
            )
            assert (status < 500, bool(said["code"])) == (True, True), (path, text)


async def test_no_strange_feedback_is_a_fault_or_tips_out_of_bounds(start: Start, feedback: AnyFeedback) -> None:
    tips = await start(feedback_url=feedback.url)
    await tips.order()
    statuses: Counter[int] = Counter()
    for body in strange_bodies(SAID):
        feedback.body = body
        status, said = await tips.set_sum()
        statuses[status] += 1
        assert status in {200, 503}, (body[:500], said)
        amount = (await tips.stored())["tips_amount"]
        assert amount is None or 0 <= amount < 2**63, body[:500]
    assert min(statuses[200], statuses[503]) > 0
    feedback.body = json.dumps(SAID).encode()
    assert (await tips.set_sum())[0] == 200
    assert (await tips.stored())["tips_amount"] == 1_600
