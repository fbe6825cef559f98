"""Whatever a tracker or a call provider answers, it is an outcome: nobody who works with it dies of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from common.errors import Unavailable
from notifier.duty.call_webhook import CallWebhook
from notifier.duty.model import CallRequest, Placed, TryLater, Unreachable
from notifier.duty.twilio import TwilioCalls
from notifier.tickets.model import OutsideComment, TrackerRefused
from notifier.tickets.yandex import YandexTracker
from tests.integration.notifier.factories import Kit, MakeKit
from tests.integration.notifier.people import crashed, phoned, put_roster, settings_for
from tests.support.scripted_server import answering
from tests.support.servers import eventually

TEXT = st.text(max_size=20)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
NAMED = st.dictionaries(
    st.sampled_from(
        (
            "id",
            "key",
            "status",
            "to",
            "text",
            "createdBy",
            "assignee",
            "updatedBy",
            "aliases",
            "statusType",
            "sid",
            "calls",
            "call_id",
            "date_created",
            "code",
        )
    ),
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("id", "key")), inner)
    ),
)
BODIES = st.one_of(
    JSON, NAMED, st.lists(NAMED, max_size=4), st.fixed_dictionaries({"calls": st.lists(NAMED, max_size=3)})
)


class AnyAnswer:
    """A server that answers each call with the next of what it was given, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []

    async def serve(self, _request: web.Request) -> web.Response:
        """Answer."""
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, body=body, content_type="application/json")


@pytest.fixture
async def server() -> AsyncIterator[tuple[AnyAnswer, str]]:
    """The server and its address."""
    scripted = AnyAnswer()
    async with answering(scripted.serve) as address:
        yield scripted, address


def bodies(count: int) -> list[bytes]:
    """So many answers as Hypothesis makes them up, and some that are no JSON."""
    found: list[bytes] = [b"", b"{", b"\xff\xfe", b"null", b"[" * 500]

    @settings(max_examples=count, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(BODIES)
    def collect(body: Any) -> None:
        found.append(json.dumps(body).encode())

    collect()
    return found


async def test_trackers_and_providers_may_answer_anything(server: tuple[AnyAnswer, str]) -> None:
    scripted, url = server
    tracker = YandexTracker(
        url=url, token="t", scheme="OAuth", organisation="1", organisation_header="X-Org-ID", deadline=5.0
    )
    webhook = CallWebhook(url=url, token=None)
    twilio = TwilioCalls(url=url, account="A", token="t", sender="+1", callback_url=None, language="ru")
    request = CallRequest(key="k", phone="+7", text="т", repeated=True, since=datetime.now(UTC))
    fresh = CallRequest(key="k", phone="+7", text="т", repeated=False, since=datetime.now(UTC))

    async def ask(act: Any) -> object:
        try:
            return await act
        except (Unavailable, TrackerRefused) as error:
            return error

    for body in await asyncio.to_thread(bodies, 25):
        for status in (200, 409, 503):
            scripted.answers = [(status, body)]
            await ask(tracker.create(queue="Q", summary="s", description="d", unique="u"))
            await ask(tracker.comment("Q-1", "text", summon=()))
            await ask(tracker.comments("Q-1", after=0))
            await ask(tracker.move("Q-1", opened=False))
            await ask(tracker.issues(["Q-1", "Q-2"]))
            await ask(tracker.issue("Q-1"))
            await ask(tracker.changed_by("Q-1", "status"))
            await ask(tracker.own_names())
            scripted.answers = [(200, b'{"status": {"key": "open"}}'), (status, body)]
            await ask(tracker.move("Q-1", opened=False))
            scripted.answers = [(status, body)]
            for outcome in (
                await webhook.call(fresh, deadline=5.0),
                await twilio.call(fresh, deadline=5.0),
                await twilio.call(request, deadline=5.0),
            ):
                assert isinstance(outcome, Placed | TryLater | Unreachable)
            if status == 200:
                assert isinstance(await webhook.call(fresh, deadline=5.0), Placed)  # or it rings again
    for client in (tracker, webhook, twilio):
        await client.close()


async def test_one_comment_that_cannot_be_read_keeps_no_other_from_being_read(server: tuple[AnyAnswer, str]) -> None:
    scripted, url = server
    tracker = YandexTracker(
        url=url, token="t", scheme="OAuth", organisation="1", organisation_header="X-Org-ID", deadline=5.0
    )
    page = [None, {"id": "x"}, {"id": 10**30}, {"id": 5, "text": "смотрю\u0000\ud800", "createdBy": {"id": "anna"}}, 7]
    scripted.answers = [(200, json.dumps(page).encode())]
    assert await tracker.comments("Q-1", after=0) == [OutsideComment(id=5, author="anna", text="смотрю\ufffd?")]
    await tracker.close()


async def test_a_ticket_with_odd_comments_in_the_tracker_is_still_read(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(
        **settings_for(tmp_path),
        tracker="yandex",
        tracker_url=lambda sandbox: sandbox.tracker_url,
        tracker_token=SecretStr("tracker-token"),
        tracker_org_id="42",
        tracker_poll=0.1,
    )
    await put_roster(kit, "oleg", "anna")
    await kit.publish(crashed())

    async def ticket() -> dict[str, Any]:
        found = (await kit.call("GET", "/admin/v1/tickets"))[1]["items"]
        assert [bool(each["key"]) for each in found] == [True]
        return dict(found[0])

    key = (await eventually(ticket))["key"]
    said = [
        "<b>жирно</b> @all {{iframe}}",
        "👩‍🚒" * 50,
        "\u202eצהל\u202c",
        "я" * 10_000,
        "нуль\u0000",
        "Звонить не нужно",
    ]
    tracker: Any = kit.sandbox.world.systems["tracker"]
    for text in said:
        tracker._comment(tracker._issues[key], text, {"id": "oleg"})

    async def read() -> list[str]:
        texts = [comment["text"] for comment in (await ticket())["comments"]]
        assert [text.replace("\u0000", "\ufffd") for text in said] == texts[: len(said)]
        return texts

    await eventually(read)
    await eventually(lambda: taken(kit))
    assert await phoned(kit) == []


async def taken(kit: Kit) -> bool:
    """Whether the incident is somebody's."""
    page = (await kit.call("GET", "/admin/v1/incidents"))[1]
    assert [(item["state"], item["acknowledged_by"]) for item in page["items"]] == [("acknowledged", "oleg")]
    return True
