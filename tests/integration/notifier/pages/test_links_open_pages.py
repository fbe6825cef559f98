"""Every link of every message opens a page in a browser, and shows what the reader may see."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from tests.integration.notifier.factories import Kit, MakeKit, a_problem, an_order, created
from tests.integration.notifier.people import REFUND, crashed, put_roster, refund_failed, settings_for
from tests.support.servers import eventually

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
_ADDRESS = re.compile(r'href="([^"]+)"')


async def opened(kit: Kit, path: str, *, token: str | None = None) -> tuple[int, str]:
    """GET as a browser does, signed in or not; nothing but HTML is answered."""
    basic = {} if token is None else {"Authorization": "Basic " + base64.b64encode(f"x:{token}".encode()).decode()}
    async with kit.sandbox.session.get(kit.url + path, headers={**BROWSER, **basic}) as answer:
        assert answer.content_type == "text/html", (path, await answer.text())
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return answer.status, await answer.text()


async def test_links_of_messages_open_pages_with_what_the_reader_may_see(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(console_url="https://console.example", **settings_for(tmp_path))
    await put_roster(kit, "oleg", "anna")
    number = an_order().number
    endangered = a_problem("e:1", kind="website_order.endangered", link="/e/0190-e", severity="critical")
    runbook = a_problem("b:1", kind="order_stuck", link="docs/runbooks/orchestrator-workflows-wait.md")
    await kit.publish(created(), crashed(77), refund_failed(), endangered, runbook)

    async def ticketed() -> list[dict[str, str]]:
        items: list[dict[str, str]] = (await kit.call("GET", "/admin/v1/tickets"))[1]["items"]
        assert len(items) == 4
        return items

    tickets = await eventually(ticketed)

    wanted = {f"/o/{number}", "/w/77", f"/r/{REFUND}", "/e/0190-e", "/runbook/orchestrator-workflows-wait"}

    async def all_told() -> set[str]:
        texts = [entry["request"].get("text", "") for entry in await kit.telegram()]
        found = {link for text in texts for link in _ADDRESS.findall(text)}
        assert wanted < {link.removeprefix("https://console.example") for link in found}
        return found

    links = await eventually(all_told)
    assert all(link.startswith("https://console.example/") for link in links)
    paths = {link.removeprefix("https://console.example") for link in links}
    for path in paths | {f"/t/{ticket['key']}" for ticket in tickets}:
        status, text = await opened(kit, path)
        assert status == 200, path
        assert "+7" not in text, path  # neither a customer's phone nor a colleague's

    # Without a token: the notice. Signed in: the ticket's text and what was sent, too.
    ticket = next(each for each in tickets if each["kind"] == "workflow.crashed")
    whole = "Позвоните дежурному: Oleg"
    assert whole not in (await opened(kit, "/w/77"))[1]
    assert whole not in (await opened(kit, "/w/77", token="wrong"))[1]
    assert whole not in (await opened(kit, "/w/77", token="internal-token"))[1]
    assert whole in (await opened(kit, "/w/77", token="viewer-token"))[1]
    assert whole in (await opened(kit, f"/t/{ticket['key']}", token="viewer-token"))[1]

    # People are called by their names, as in chats.
    taken = f"/admin/v1/incidents/{ticket['incident_id']}/ack"
    assert (await kit.call("POST", taken, body={"reason": "разбираюсь"}))[0] == 200
    assert "Занимается: Oleg" in (await opened(kit, f"/i/{ticket['incident_id']}"))[1]

    async def commented() -> bool:
        return "Oleg: " in (await opened(kit, f"/t/{ticket['key']}", token="viewer-token"))[1]

    await eventually(commented)

    for path in (
        "/i/999",
        "/i/x",
        f"/i/{10**30}",
        "/o/<script>",
        "/t/NO-1",
        "/runbook/no",
        "/runbook/..%2fREADME",
    ):
        status, text = await opened(kit, path)
        assert (status, "<script" in text) == (404, False), path


async def test_signing_in_asks_the_browser_for_a_token_and_leads_back_to_a_page_of_ours(make_kit: MakeKit) -> None:
    kit = await make_kit()
    assert (await opened(kit, "/sign-in?to=/i/5"))[0] == 401
    basic = {"Authorization": "Basic " + base64.b64encode(b"x:viewer-token").decode()}
    for target, location in (
        ("/i/5", "/i/5"),
        ("//evil.example/i/5", "/on-call"),
        ("https://evil.example", "/on-call"),
    ):
        async with kit.sandbox.session.get(
            f"{kit.url}/sign-in", params={"to": target}, headers=basic, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, location)
