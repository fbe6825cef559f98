"""The sandbox's Sentry, spoken to by the real SDK."""

from __future__ import annotations

import asyncio
import io

import sentry_sdk

from sandbox.testing import running_sandbox


def fail(text: str) -> None:
    """Go wrong."""
    raise RuntimeError(text)


def send(dsn: str, text: str) -> None:
    """Send one event with a client of its own; blocks until it has gone."""
    client = sentry_sdk.Client(dsn=dsn, default_integrations=False, auto_enabling_integrations=False)
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        try:
            fail(text)
        except RuntimeError as error:
            sentry_sdk.capture_exception(error)
    client.close(timeout=5)


async def test_an_event_arrives_with_its_stack_and_the_sdk_hears_of_limits() -> None:
    async with running_sandbox() as sandbox:
        await asyncio.to_thread(send, sandbox.sentry_dsn, "first")
        await sandbox.fault("sentry", mode="rate_limit", count=1)
        await asyncio.to_thread(send, sandbox.sentry_dsn, "second")
        first, second = await sandbox.log("sentry")
        [item] = first["request"]["items"]
        [value] = item["payload"]["exception"]["values"]
        assert (item["type"], value["type"], value["value"]) == ("event", "RuntimeError", "first")
        assert value["stacktrace"]["frames"][-1]["function"] == "fail"
        assert first["answer"] == {"id": item["payload"]["event_id"]}
        assert (second["status"], second["fault"], second["effect"]) == (429, "rate_limit", False)


async def test_what_is_no_envelope_or_has_no_key_is_refused() -> None:
    async with running_sandbox() as sandbox:
        url = sandbox.url + "/api/1/envelope/"
        key = {"X-Sentry-Auth": "Sentry sentry_key=public, sentry_version=7"}
        for path, headers, body, status in (
            (url, {}, b"{}\n", 401),
            (url, key, b"nonsense", 400),
            (url, key, b"{}\nnonsense\n", 400),
            (sandbox.url + "/api/x/envelope/", key, b"{}\n", 400),
            (url, key, b'{}\n{"type":"attachment","length":1048577}\n' + b"a" * 1048577, 413),
            (
                url + "?sentry_key=public",
                {},
                b'{}\n{"type":"attachment","length":3}\na\nb\n{"type":"event"}\n{}\n',
                200,
            ),
        ):
            async with sandbox.session.post(path, data=io.BytesIO(body), headers=headers) as answer:
                assert (answer.status, body[:30]) == (status, body[:30])
        shown = (await sandbox.log("sentry"))[-1]["request"]["items"]
        assert shown == [
            {"type": "attachment", "size": 3, "payload": None},
            {"type": "event", "size": 2, "payload": {}},
        ]
