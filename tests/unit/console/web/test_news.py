"""News of a list: one reader however many look, and an end when nobody does."""

from __future__ import annotations

import asyncio
import html
import re
from contextlib import aclosing
from urllib.parse import parse_qs

import aiohttp
import pytest

from console.client.operations import SERVICES, operation
from console.client.suite import Page, Suite
from console.client.things import THINGS
from console.web.lists.filtering import list_operation
from console.web.live.news import News
from console.web.people import People
from console.web.seen import seen_of, unseen
from tests.support.console_browser import Browser
from tests.support.servers import eventually
from tests.unit.console.web.factories import Services

LIST = "GET /admin/v1/incidents"


def listed(*ids: int) -> tuple[int, object]:
    """A page of incidents."""
    return 200, {"items": [{"id": each} for each in ids], "next_cursor": None}


async def test_however_many_look_a_list_is_read_by_one(services: Services) -> None:
    services.answers[LIST] = listed(1)
    news = News(every=0.02)
    seen: list[list[str]] = [[] for _ in range(20)]

    async def look(place: list[str]) -> None:
        async with aclosing(news.watch(suite, THINGS["incident"], {}, role="viewer")) as changes:
            async for names in changes:
                place[:] = names

    async with aiohttp.ClientSession() as session:
        suite = Suite(session, {"notifier": services.url}, "token-viewer")
        looking = [asyncio.create_task(look(place)) for place in seen]

        async def all_saw(expected: list[str]) -> bool:
            return all(place == expected for place in seen)

        await eventually(lambda: all_saw(["1"]), what="everybody's first look")
        assert news.pollers == 1
        services.answers[LIST] = listed(2, 1)
        await eventually(lambda: all_saw(["2", "1"]), what="everybody's news")
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

        async def stopped() -> bool:
            return news.pollers == 0

        await eventually(stopped, what="the end of reading")


async def test_a_token_that_may_not_read_ends_the_news(services: Services) -> None:
    services.answers[LIST] = (403, {"code": "forbidden", "detail": "no"})
    async with aiohttp.ClientSession() as session:
        suite = Suite(session, {"notifier": services.url}, "token-viewer")
        async with aclosing(News(every=0.02).watch(suite, THINGS["incident"], {}, role="viewer")) as changes:
            assert [names async for names in changes] == []


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_service_that_cannot_answer_now_ends_nobodys_news(services: Services, status: int) -> None:
    services.answers[LIST] = (status, {"code": "unavailable", "detail": "the database restarts"})
    async with aiohttp.ClientSession() as session:
        suite = Suite(session, {"notifier": services.url}, "token-viewer")
        async with aclosing(News(every=0.01).watch(suite, THINGS["incident"], {}, role="viewer")) as changes:
            following = asyncio.ensure_future(anext(changes, None))

            async def asked_again() -> bool:
                return len(services.calls) > 1 or following.done()

            await eventually(asked_again, what="another look")
            services.answers[LIST] = listed(1)
            assert await following == ["1"]


async def test_who_comes_as_the_last_one_leaves_has_news_of_her_own(services: Services) -> None:
    services.answers[LIST] = listed(1)
    news = News(every=0.01)
    async with aiohttp.ClientSession() as session:
        suite = Suite(session, {"notifier": services.url}, "token-viewer")
        first, second = (news.watch(suite, THINGS["incident"], {}, role="viewer") for _ in range(2))
        assert await anext(first) == ["1"]
        services.answers[LIST] = listed(2, 1)
        await first.aclose()  # its reader is told to end, and has not yet
        assert (await anext(second), news.pollers) == (["2", "1"], 1)
        services.answers[LIST] = listed(3, 2, 1)
        assert await anext(second) == ["3", "2", "1"]
        await second.aclose()
        assert news.pollers == 0


async def test_a_list_is_read_masked_and_as_one_who_still_looks(services: Services) -> None:
    orders, line = THINGS["order"], "GET /admin/v1/orders"
    services.answers[line] = (200, {"items": [{"number": "N"}], "next_cursor": None})
    news = News(every=0.01)
    async with aiohttp.ClientSession() as session:
        urls = {"orchestrator": services.url}
        first, second = (
            news.watch(Suite(session, urls, token), orders, {}, role="operator")
            for token in ("token-operator", "token-operator-2")
        )
        assert (await anext(first), await anext(second)) == (["N"], ["N"])
        await first.aclose()
        services.readers.clear()
        services.answers[line] = (200, {"items": [{"number": "M"}], "next_cursor": None})
        assert await anext(second) == ["M"]
        assert set(services.readers[-1:]) == {(line, "token-operator-2", "masked")}
        third = news.watch(Suite(session, urls, "token-operator"), orders, {}, role="operator")
        assert await anext(third) == ["M"]
        services.withdrawn.add("token-operator-2")  # hers is the end, not everybody's
        assert await anext(second, None) is None
        services.answers[line] = (200, {"items": [{"number": "L"}], "next_cursor": None})
        assert await anext(third) == ["L"]
        await third.aclose()


async def test_who_a_person_is_is_asked_once_for_all_that_she_looks_at(services: Services) -> None:
    urls = dict.fromkeys(SERVICES, services.url)
    async with aiohttp.ClientSession() as session:
        people = People(session, urls)
        persons = await asyncio.gather(*(people.person("token-viewer") for _ in range(20)))
        assert len(services.readers) == len(SERVICES), "each page asked by itself"
        services.readers.clear()
        reads, acts = list_operation(THINGS["incident"]), operation("notifier", "POST /admin/v1/incidents/{id}/ack")
        assert await asyncio.gather(*(people.may_still(person, reads) for person in persons)) == [True] * 20
        assert [line for line, _, _ in services.readers] == ["GET /admin/v1/whoami"], "each stream asked by itself"
        assert not await people.may_still(persons[0], acts)


async def test_new_rows_are_announced_to_who_looks(browser: Browser, services: Services) -> None:
    services.answers[LIST] = listed(1)
    await browser.sign_in("token-viewer")
    page = await browser.get("/incidents")
    address = re.search(r'hx-sse:connect="(/live/incident[^"]*)"', page)
    assert address
    async with browser.session.get(browser.url + html.unescape(address[1])) as stream:
        services.answers[LIST] = listed(4, 3, 1)
        async for line in stream.content:
            if b"new" in line:
                assert b'<a class="button" href="/incidents?">2 new' in line
                break


async def test_incidents_of_a_service_that_only_an_alert_named_are_listed(browser: Browser, services: Services) -> None:
    services.answers[LIST] = listed(1)
    await browser.sign_in("token-viewer")
    page = await browser.get("/incidents?service=node-exporter")
    assert browser.status == 200
    assert [said.get("service") for line, said, _ in services.calls if line == LIST][-1:] == ["node-exporter"]
    address = re.search(r'hx-sse:connect="(/live/incident[^"]*)"', page)
    assert address
    async with browser.session.get(browser.url + html.unescape(address[1])) as stream:
        assert stream.status == 200
    for path in (
        "/live/dead-letter?service=node-exporter",
        "/live/dead-letter",
        "/list/dead-letter?service=x",
        "/live/x",
    ):
        await browser.get(path)
        assert (path, browser.status) == (path, 404)


async def test_later_pages_and_the_first_screen_tell_only_what_is_new(browser: Browser, services: Services) -> None:
    services.answers[LIST] = (200, {"items": [{"id": 1}], "next_cursor": "more"})
    await browser.sign_in("token-viewer")
    assert "hx-sse:connect" not in await browser.get("/incidents?cursor=later")
    seen = html.escape(seen_of(THINGS["incident"], Page([{"id": 1}], "more")))
    assert f'hx-sse:connect="/live/incident?state=open&amp;severity=critical&amp;{seen}"' in await browser.get("/")


@pytest.mark.parametrize(
    ("seen", "cut_off", "names", "new"),
    [
        ("543", False, "543", 0),
        ("543", True, "76543", 2),
        ("543", True, "432", 0),  # 5 was acknowledged and 2 moved up from the next page
        ("543", True, "6432", 1),
        ("135", True, "1235", 1),  # by when it ends, not by when it came
        ("135", False, "1357", 1),
        ("135", True, "1357", 0),
        ("543", True, "876", 3),
        ("", False, "5", 1),
        ("", False, "", 0),
        ("543", True, "", 0),
    ],
)
def test_new_is_what_was_not_seen_however_the_list_is_ordered(seen: str, cut_off: bool, names: str, new: int) -> None:
    page = Page([{"id": int(name)} for name in seen], "more" if cut_off else None)
    address = parse_qs(seen_of(THINGS["incident"], page), keep_blank_values=True)
    assert unseen(list(names), address["seen"][0], more=address["more"] == ["1"]) == new
