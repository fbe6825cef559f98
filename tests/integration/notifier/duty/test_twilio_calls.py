"""Phone calls by Twilio: placed once although answers are lost, and heard of by signed callbacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from notifier.duty.twilio import signature_of
from suite_local.ports import free_port
from tests.integration.notifier.factories import Kit, MakeKit
from tests.integration.notifier.people import DIRECTORY, crashed, put_roster, settings_for
from tests.support.servers import eventually

ACCOUNT, TOKEN = "AC00000000000000000000000000000001", "auth-token"
CHAIN = [
    {"after": 0.1, "act": "call", "whom": "on_duty"},
    {"after": 3600, "act": "call", "whom": "backup"},
]


async def with_twilio(make_kit: MakeKit, tmp_path: Path, **changes: Any) -> Kit:
    """A notifier that calls by the sandbox's Twilio."""
    port = free_port()
    at_twilio: Callable[[Any], str] = lambda sandbox: str(sandbox.url)  # noqa: E731 - a setting of the kit
    return await make_kit(
        sandbox_twilio_account_sid=ACCOUNT,
        sandbox_twilio_auth_token=TOKEN,
        **{
            **settings_for(tmp_path, escalation=CHAIN, escalation_rounds=1),
            "port": port,
            "call_provider": "twilio",
            "call_url": at_twilio,
            "call_token": SecretStr(TOKEN),
            "call_account": ACCOUNT,
            "call_from": "+15005550006",
            "call_callback_url": f"http://127.0.0.1:{port}/notifications/v1/twilio",
            **changes,
        },
    )


async def rung(kit: Kit) -> list[str]:
    """Whose phones rang."""
    return [
        entry["request"]["To"]
        for entry in await kit.sandbox.log("twilio")
        if entry["operation"] == "create_call" and entry["effect"]
    ]


async def calls(kit: Kit, *expected: tuple[str, str, str | None]) -> list[dict[str, Any]]:
    """Wait until these are the calls of the incident: (person, state, how it went on)."""

    async def probe() -> list[dict[str, Any]]:
        status, story = await kit.call("GET", "/admin/v1/incidents/1")
        assert status == 200, story
        assert [(each["person"], each["state"], each["progress"]) for each in story["calls"]] == list(expected)
        return list(story["calls"])

    return await eventually(probe)


async def test_a_call_whose_answer_is_lost_rings_once_and_its_end_is_heard(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await with_twilio(make_kit, tmp_path, call_deadline=3.0, call_callback_url=None)
    await put_roster(kit, "oleg", "anna")
    # Without callbacks the repeat has to find the call by itself.
    await kit.sandbox.fault("twilio", mode="lost_response", count=1, delay_s=30, match="create_call")
    await kit.publish(crashed(error="<KeyError> & co"))
    [call] = await calls(kit, ("oleg", "placed", None))
    assert call["attempts"] == 2
    assert await rung(kit) == ["+79990000001"]
    operations = [entry["operation"] for entry in await kit.sandbox.log("twilio")]
    assert operations == ["create_call", "list_calls"]
    assert call["outside_id"].startswith("CA")


async def test_whoever_does_not_answer_makes_the_chain_go_on_at_once(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await with_twilio(make_kit, tmp_path)
    await put_roster(kit, "oleg", "anna")
    await kit.sandbox.control("PUT", "/sandbox/twilio/outcome", {"status": "no-answer"})
    await kit.publish(crashed())
    await calls(kit, ("oleg", "placed", "no-answer"), ("anna", "placed", "no-answer"))  # an hour before its time
    assert await rung(kit) == ["+79990000001", "+79990000002"]
    _, story = await kit.call("GET", "/admin/v1/incidents/1")
    failed = [line["text"] for line in story["history"] if line["act"] == "call_failed"]
    assert failed == ["oleg: no-answer", "anna: no-answer"]

    # A callback counts only with its signature, and nothing goes back to what was before.
    call = story["calls"][0]
    query = f"?call={call['id']}"
    form = {"CallSid": call["outside_id"], "CallStatus": "ringing"}
    signed = signature_of(
        f"{kit.settings.call_callback_url}{query}", {name: [value] for name, value in form.items()}, token=TOKEN
    )
    for signature, expected in ((signed, 200), ("wrong", 401), ("é", 401), (None, 401)):
        headers = {} if signature is None else {"X-Twilio-Signature": signature}
        url = f"{kit.url}/notifications/v1/twilio{query}"
        async with kit.sandbox.session.post(url, data=form, headers=headers) as answer:
            assert answer.status == expected
    await calls(kit, ("oleg", "placed", "no-answer"), ("anna", "placed", "no-answer"))


async def test_the_next_step_phones_by_the_roster_and_people_of_that_moment(make_kit: MakeKit, tmp_path: Path) -> None:
    nowhere = (
        "http://127.0.0.1:9/notifications/v1/twilio"  # the sandbox's news of calls stay away: the test brings them
    )
    chain = [*CHAIN, {"after": 3600, "act": "call", "whom": "owners"}]
    kit = await with_twilio(make_kit, tmp_path, call_callback_url=nowhere, escalation=chain, escalation_rounds=2)

    async def not_answered(call: dict[str, Any]) -> None:
        """Bring the news that nobody answered a call: the next step is due."""
        query, form = f"?call={call['id']}", {"CallSid": call["outside_id"], "CallStatus": "no-answer"}
        signature = signature_of(nowhere + query, {name: [value] for name, value in form.items()}, token=TOKEN)
        url, headers = f"{kit.url}/notifications/v1/twilio{query}", {"X-Twilio-Signature": signature}
        async with kit.sandbox.session.post(url, data=form, headers=headers) as answer:
            assert answer.status == 200

    await put_roster(kit, "oleg", "anna")
    await kit.publish(crashed())
    [first] = await calls(kit, ("oleg", "placed", None))
    await put_roster(kit, "boris", "oleg")  # oleg, who was phoned already, is the backup now
    await not_answered(first)
    _, second = await calls(kit, ("oleg", "placed", "no-answer"), ("boris", "placed", None))
    _, shown = await kit.call("GET", "/admin/v1/people", role="admin")
    body = {name: shown[name] for name in DIRECTORY} | {"owners": {"default": ["anna", "oleg"]}}
    body |= {"reason": "other owners", "expected_version": 0}
    assert (await kit.call("PUT", "/admin/v1/people", role="admin", body=body))[0] == 200
    await not_answered(second)
    told = ("oleg", "placed", "no-answer"), ("boris", "placed", "no-answer")
    *_, third = await calls(kit, *told, ("anna", "placed", None))
    await not_answered(third)  # the next round begins anew
    await calls(kit, *told, ("anna", "placed", "no-answer"), ("boris", "placed", None))
    assert await rung(kit) == ["+79990000001", "+79990000003", "+79990000002", "+79990000003"]


async def test_a_changed_number_rings_in_the_same_round_and_under_a_key_of_its_own(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    nowhere = "http://127.0.0.1:9/notifications/v1/twilio"
    kit = await with_twilio(make_kit, tmp_path, call_callback_url=nowhere)
    await put_roster(kit, "oleg", "anna")
    await kit.sandbox.fault("twilio", mode="error")
    await kit.publish(crashed())

    async def tried() -> str:
        status, story = await kit.call("GET", "/admin/v1/incidents/1")
        assert status == 200, story
        assert [call["attempts"] > 0 for call in story["calls"]] == [True]
        return str(story["calls"][0]["id"])

    first = await eventually(tried)
    await give_number(kit, "oleg", "+79990000777")
    await kit.sandbox.heal("twilio")
    [call] = await calls(kit, ("oleg", "placed", None))
    assert call["id"] != first
    assert await rung(kit) == ["+79990000777"]

    await give_number(kit, "oleg", "+79990000888")  # nobody answered: it was the wrong one
    query, form = f"?call={call['id']}", {"CallSid": call["outside_id"], "CallStatus": "no-answer"}
    signature = signature_of(nowhere + query, {name: [value] for name, value in form.items()}, token=TOKEN)
    url, headers = f"{kit.url}/notifications/v1/twilio{query}", {"X-Twilio-Signature": signature}
    async with kit.sandbox.session.post(url, data=form, headers=headers) as answer:
        assert answer.status == 200
    await eventually(lambda: rings(kit, ["+79990000002", "+79990000777", "+79990000888"]))


async def rings(kit: Kit, numbers: list[str]) -> bool:
    """Whether these phones rang, in whatever order."""
    assert sorted(await rung(kit)) == numbers
    return True


async def give_number(kit: Kit, person: str, phone: str) -> None:
    """Give a person another number."""
    _, shown = await kit.call("GET", "/admin/v1/people", role="admin")
    body = {name: shown[name] for name in DIRECTORY}
    body["people"] = [{**each, "phone": phone} if each["id"] == person else each for each in shown["people"]]
    body |= {"reason": "another number", "expected_version": shown["version"]}
    status, answer = await kit.call("PUT", "/admin/v1/people", role="admin", body=body)
    assert status == 200, answer


async def test_a_refused_number_is_given_up_and_an_answered_call_is_told(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await with_twilio(make_kit, tmp_path)
    await put_roster(kit, "oleg", "anna")
    await kit.sandbox.fault("twilio", mode="declined", count=1)
    await kit.publish(crashed())
    first, _ = await calls(kit, ("oleg", "failed", None), ("anna", "placed", "completed"))
    assert first["reason"] == "Twilio refuses (400, code 21217)"
    _, story = await kit.call("GET", "/admin/v1/incidents/1")
    assert [line["text"] for line in story["history"] if line["act"] == "call_answered"] == ["anna"]
