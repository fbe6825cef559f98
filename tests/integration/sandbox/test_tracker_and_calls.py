"""Yandex Tracker and the phone robot over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.testing import RunningSandbox, running_sandbox

CALLER = {"Authorization": "OAuth tracker", "X-Org-ID": "1"}
ISSUE = {"queue": "TRAVELORDERSUP", "summary": "Возврат не проходит", "description": "Что делать: …", "unique": "inc-1"}


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(tracker_token="tracker") as running:
        yield running


async def call(
    sandbox: RunningSandbox, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    wanted = CALLER if headers is None else headers
    async with sandbox.session.request(method, sandbox.url + path, json=body, headers=wanted) as response:
        return response.status, await response.json()


async def test_an_issue_is_created_once_by_its_unique_value(sandbox: RunningSandbox) -> None:
    status, issue = await call(sandbox, "POST", "/v3/issues", ISSUE)
    assert (status, issue["key"], issue["summary"]) == (201, "TRAVELORDERSUP-1", ISSUE["summary"])
    status, refusal = await call(sandbox, "POST", "/v3/issues", ISSUE)
    assert (status, refusal["statusCode"]) == (409, 409)
    assert await call(sandbox, "GET", "/v3/issues/_findByUnique?unique=inc-1") == (200, issue)
    assert (await call(sandbox, "GET", "/v3/issues/_findByUnique?unique=inc-2"))[0] == 404
    assert await call(sandbox, "GET", "/v3/issues/TRAVELORDERSUP-1") == (200, issue)


async def test_no_key_is_given_again_after_a_restart_or_a_reset(tmp_path: Path) -> None:
    keys: list[str] = []
    for number in range(3):
        async with running_sandbox(tracker_token="tracker", keep_file=tmp_path / "kept") as sandbox:
            for queue in ("TRAVELORDERSUP", "TRAVELSUP", "TRAVELORDERSUP"):
                body = {**ISSUE, "queue": queue, "unique": f"inc-{number}-{len(keys)}"}
                status, issue = await call(sandbox, "POST", "/v3/issues", body)
                assert status == 201
                keys.append(issue["key"])
            sandbox.world.systems["tracker"].reset()
    assert keys[-3:] == ["TRAVELORDERSUP-5", "TRAVELSUP-3", "TRAVELORDERSUP-6"]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "OAuth other", "X-Org-ID": "1"}, 401),
        ({"Authorization": "Basic tracker", "X-Org-ID": "1"}, 401),
        ({"Authorization": "OAuth tracker"}, 403),
        ({"Authorization": "Bearer tracker", "X-Cloud-Org-ID": "c"}, 201),
    ],
)
async def test_the_caller_needs_a_token_and_an_organisation(
    sandbox: RunningSandbox, headers: dict[str, str], status: int
) -> None:
    assert (await call(sandbox, "POST", "/v3/issues", ISSUE, headers=headers))[0] == status


@pytest.mark.parametrize("body", [{"queue": "SUP"}, {"summary": "x"}, {"summary": "x", "queue": "no such"}, {}])
async def test_an_issue_needs_a_summary_and_a_queue(sandbox: RunningSandbox, body: dict[str, Any]) -> None:
    status, refusal = await call(sandbox, "POST", "/v3/issues", body)
    assert (status, bool(refusal["errors"])) == (422, True)


async def test_machines_and_people_comment_on_an_issue(sandbox: RunningSandbox) -> None:
    await call(sandbox, "POST", "/v3/issues", ISSUE)
    path = "/v3/issues/TRAVELORDERSUP-1/comments"
    status, first = await call(sandbox, "POST", path, {"text": "Ещё раз"})
    assert (status, first["text"]) == (201, "Ещё раз")
    words = "Разбираюсь с проблемой. Звонить не нужно."
    person = {"text": words, "user": "anna"}
    await sandbox.control("POST", "/sandbox/tracker/issues/TRAVELORDERSUP-1/comments", person)
    _, comments = await call(sandbox, "GET", path)
    assert [(comment["text"], comment["createdBy"]["display"]) for comment in comments] == [
        ("Ещё раз", "Order suite"),
        (words, "anna"),
    ]
    _, rest = await call(sandbox, "GET", f"{path}?id={first['id']}&perPage=1")
    assert rest == comments[1:]
    assert (await call(sandbox, "POST", path, {"text": ""}))[0] == 422


async def test_issues_are_linked_edited_and_closed(sandbox: RunningSandbox) -> None:
    await call(sandbox, "POST", "/v3/issues", ISSUE)
    await sandbox.control("PUT", "/sandbox/tracker/issues/DEV-7", {"summary": "Починить"})
    link = {"relationship": "relates", "issue": "DEV-7"}
    base = "/v3/issues/TRAVELORDERSUP-1"
    assert (await call(sandbox, "POST", f"{base}/links", link))[0] == 201
    assert (await call(sandbox, "POST", f"{base}/links", link))[0] == 422
    assert (await call(sandbox, "POST", f"{base}/links", link | {"issue": "DEV-8"}))[0] == 404
    _, links = await call(sandbox, "GET", "/v3/issues/DEV-7/links")
    assert [each["object"]["key"] for each in links] == ["TRAVELORDERSUP-1"]
    assert (await call(sandbox, "PATCH", base, {"summary": "Новое"}))[1]["summary"] == "Новое"
    steps = f"{base}/transitions"
    assert (await call(sandbox, "POST", f"{steps}/reopen/_execute", {}))[0] == 404
    assert (await call(sandbox, "POST", f"{steps}/resolve/_execute", {}))[0] == 422
    assert (await call(sandbox, "POST", f"{steps}/resolve/_execute", {"resolution": "fixed"}))[0] == 200
    assert [step["id"] for step in (await call(sandbox, "GET", steps))[1]] == ["reopen", "close"]
    assert (await call(sandbox, "GET", base))[1]["status"]["key"] == "resolved"


async def test_people_close_and_assign_issues_and_the_search_is_behind(sandbox: RunningSandbox) -> None:
    await call(sandbox, "POST", "/v3/issues", ISSUE)
    base, hand = "/v3/issues/TRAVELORDERSUP-1", "/sandbox/tracker/issues/TRAVELORDERSUP-1"

    async def search() -> list[tuple[str, str, Any]]:
        status, found = await call(
            sandbox, "POST", "/v3/issues/_search?perPage=50", {"keys": ["TRAVELORDERSUP-1", "A-9"]}
        )
        assert status == 200
        return [(each["key"], each["status"]["key"], each.get("assignee")) for each in found]

    assert [await search(), await search()] == [[], [("TRAVELORDERSUP-1", "open", None)]]
    order = {"transition": "close", "assignee": "anna", "comment": "Готово", "user": "oleg"}
    await sandbox.control("PATCH", hand, order)
    anna = {"id": "anna", "display": "anna"}
    assert [await search(), await search()] == [
        [("TRAVELORDERSUP-1", "open", None)],
        [("TRAVELORDERSUP-1", "closed", anna)],
    ]
    with pytest.raises(AssertionError, match="409"):
        await sandbox.control("PATCH", hand, {"transition": "resolve"})
    await sandbox.control("PATCH", hand, {"transition": "reopen", "assignee": None, "user": "vera"})
    _, shown = await call(sandbox, "GET", base)
    assert (shown["status"]["key"], shown.get("assignee")) == ("open", None)
    for field, people in (("status", ["oleg", "vera"]), ("assignee", ["oleg", "vera"])):
        _, changes = await call(sandbox, "GET", f"{base}/changelog?field={field}")
        assert [change["updatedBy"]["id"] for change in changes] == people
        _, rest = await call(sandbox, "GET", f"{base}/changelog?field={field}&id={changes[0]['id']}&perPage=1")
        assert rest == changes[1:]
    assert (await call(sandbox, "PATCH", base, {"status": "closed"}))[0] == 422
    assert (await call(sandbox, "PATCH", base, {"assignee": 7}))[0] == 422
    assert (await call(sandbox, "POST", "/v3/issues/_search?perPage=51", {"keys": ["A-1"]}))[0] == 400
    assert (await call(sandbox, "POST", "/v3/issues/_search", {"filter": {}}))[0] == 422


async def test_a_lost_answer_leaves_an_issue_that_unique_finds(sandbox: RunningSandbox) -> None:
    await sandbox.fault("tracker", mode="lost_response", count=1)
    with pytest.raises(aiohttp.ClientError):
        await call(sandbox, "POST", "/v3/issues", ISSUE)
    assert (await call(sandbox, "POST", "/v3/issues", ISSUE))[0] == 409
    assert (await call(sandbox, "GET", "/v3/issues/_findByUnique?unique=inc-1"))[1]["key"] == "TRAVELORDERSUP-1"


async def test_a_call_rings_once_for_one_key_and_is_in_the_log(sandbox: RunningSandbox) -> None:
    ring = {"phone": "+79000000000", "text": "Заказы не принимаются"}
    first = await call(sandbox, "POST", "/calls/v1/calls", ring, headers={"Idempotency-Key": "k"})
    again = await call(sandbox, "POST", "/calls/v1/calls", ring, headers={"Idempotency-Key": "k"})
    assert (first, again) == (
        (202, {"call_id": "call-000001", "status": "accepted", "repeated": False}),
        (202, {"call_id": "call-000001", "status": "accepted", "repeated": True}),
    )
    assert (await call(sandbox, "POST", "/calls/v1/calls", {"phone": "anna"}))[0] == 400
    await sandbox.fault("calls", mode="declined", count=1)
    assert await call(sandbox, "POST", "/calls/v1/calls", ring) == (422, {"code": "number_unreachable"})
    entries = await sandbox.log("calls")
    assert [(entry["request"]["phone"], entry["status"]) for entry in entries] == [
        ("+79000000000", 202),
        ("+79000000000", 202),
        ("anna", 400),
        ("+79000000000", 422),
    ]


async def test_the_token_is_the_robots_or_a_persons_who_is_named_as_author(sandbox: RunningSandbox) -> None:
    key = (await call(sandbox, "POST", "/v3/issues", ISSUE))[1]["key"]
    assert (await call(sandbox, "GET", "/v3/myself"))[1]["login"] == "1"
    assert (await call(sandbox, "PUT", "/sandbox/tracker/token", {"user": "anna"}))[0] == 200
    assert (await call(sandbox, "GET", "/v3/myself"))[1]["login"] == "anna"
    _, comment = await call(sandbox, "POST", f"/v3/issues/{key}/comments", {"text": "Проверяю"})
    assert comment["createdBy"]["id"] == "anna"
