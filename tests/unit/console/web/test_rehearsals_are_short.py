"""A rehearsal is read at a glance: what only programs and programmers read stands folded."""

from __future__ import annotations

import pytest

from tests.support.console_browser import Browser
from tests.support.console_plans import RETRY, planned
from tests.unit.console.web.factories import Services


@pytest.mark.parametrize(
    "raw", [{"workflow": {"id": 7, "error_stack": "Traceback of 7"}}, {"error_stack": "Traceback of 7\n  line 1"}]
)
async def test_a_traceback_or_json_is_folded(browser: Browser, services: Services, raw: dict[str, object]) -> None:
    retried = planned({"id": "7", "version": 3, "outcome": "retried", "detail": "it goes on", **raw})
    services.answers[RETRY] = (200, retried)
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=7")
    page = await browser.post("/change/workflow/retry", ids="7", reason="for a test")
    shown = page.partition("What the service says")[2].partition("Traceback of 7")
    folded = shown[0].rpartition("<details")[2]
    assert (shown[1] != "", folded.startswith("><summary>"), "</details>" in folded) == (True, True, False)
