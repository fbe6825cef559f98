"""Effects: what ``--wait`` looks at until it is seen, where that is not the state of the thing itself."""

from __future__ import annotations

import re
from typing import Any

import pytest

from console.client.acts import ACTS, act_of
from console.client.effects import Effect
from console.client.operations import operations
from tests.unit.console.cli.conftest import Call, Ordersctl, Services

DIGEST = "a" * 64


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("failed", 1), ("new", 4)])
def test_an_event_that_goes_again_is_watched_to_its_end(
    services: Services, ordersctl: Ordersctl, state: str, code: int
) -> None:
    services.on("GET /admin/v1/workflows/5", {"version": 3})
    appended = {"id": "5-3", "workflow_id": 5, "state_name": "new"}
    services.on("POST /admin/v1/workflow-events/5-2/reprocess", {"appended": appended})

    def events(call: Call) -> tuple[int, Any]:
        assert call.query["workflow_id"] == "5"
        if "cursor" not in call.query:
            return 200, {"items": [{"id": "5-2", "state_name": "done"}], "next_cursor": "more"}
        return 200, {"items": [{**appended, "state_name": state}], "next_cursor": None}

    services.on("GET /admin/v1/workflow-events", events)
    ended = ordersctl("event", "reprocess", "5-2", "-r", "once more", "-y", "--wait", "--timeout", "0")
    assert ended.code == code, ended.remarks


@pytest.mark.parametrize(("state", "code"), [("sent", 0), ("failed", 1), ("pending", 4)])
def test_a_test_message_is_watched_until_it_is_sent(
    services: Services, ordersctl: Ordersctl, state: str, code: int
) -> None:
    services.on("POST /admin/v1/test-message", lambda call: (202, {"notice_id": None if call.key is None else "n"}))
    services.on("GET /admin/v1/notifications/n", {"deliveries": [{"state": state}]})
    message = ("message", "test", "--destination", "pickers", "-r", "a try", "-y", "--wait", "--timeout", "0")
    ended = ordersctl(*message)
    assert ended.code == code, ended.remarks


@pytest.mark.parametrize(
    "command",
    [
        ("order", "enter-event", "--source", "sbermarket", "--event-type", "order.paid", "--payload", "{}"),
        ("intake", "mend", "d0", "--body", "{}"),
    ],
)
def test_a_delivery_is_watched_until_its_order_has_its_event(
    services: Services, ordersctl: Ordersctl, command: tuple[str, ...]
) -> None:
    said = {"number": "N1", "delivery_id": "d", "event": "order.paid"}
    services.on("POST /admin/v1/events", lambda _: (200, said))
    services.on("GET /admin/v1/deliveries/d0", {"version": 1})
    services.on("POST /admin/v1/deliveries/d0/replay", lambda _: (200, said))
    other = {"state_name": "done", "attributes": {"delivery_id": "d0"}}
    seen: list[dict[str, Any]] = [other]
    services.on("GET /admin/v1/workflow-events", lambda _: (200, {"items": seen, "next_cursor": None}))
    manner = ("-r", "by hand", "-y", "--wait", "--timeout", "0")
    assert ordersctl(*command, *manner).code == 4
    for state, code in (("new", 4), ("failed", 1), ("done", 0)):
        seen[:] = [other, {"state_name": state, "attributes": {"delivery_id": "d"}}]
        ended = ordersctl(*command, *manner)
        assert (ended.code, f"seen: 1 {state}" in ended.remarks) == (code, True)
    asked = [call.query["order_number"] for call in services.calls if call.line == "GET /admin/v1/workflow-events"]
    assert set(asked) == {"N1"}
    said["number"] = ""
    ended = ordersctl(*command, *manner)
    assert (ended.code, "does not say where its effect is seen" in ended.remarks) == (0, True)


def test_a_dead_letter_is_watched_until_its_message_is_read(services: Services, ordersctl: Ordersctl) -> None:
    item = {"id": 4, "version": 1, "outcome": "replayed"}
    services.on("POST /admin/v1/dead-letters/replay", {"plan": DIGEST, "matched": 1, "more": False, "items": [item]})
    replay = ("dead-letter", "replay", "4", "--service", "refunds", "-r", "mended", "-y", "--wait", "--timeout", "0")
    for state, code in (("on_its_way", 4), ("dead_again", 1), ("handled", 0)):
        services.on("GET /admin/v1/dead-letters/4", {"state": "replayed", "became": state})
        ended = ordersctl(*replay)
        assert (ended.code, f"seen: 1 {state}" in ended.remarks) == (code, True)


def test_an_erasure_is_seen_by_rehearsing_it_once_more(services: Services, ordersctl: Ordersctl) -> None:
    left = [3]

    def erase(call: Call) -> tuple[int, Any]:
        assert call.body["phone"] == "+79990001122"
        found = left[0]
        if not call.body["dry_run"]:
            left[0] = 0
        return 200, {"places": found, "by_kind": {}, "kept": {}}

    services.on("POST /admin/v1/erasures", erase)
    whom = ("customer", "erase", "--phone", "+79990001122", "--service", "refunds", "-r", "she asked for it", "-y")
    ended = ordersctl(*whom, "--wait", "--timeout", "0")
    assert (ended.code, "seen: erased in 1 service\n" in ended.remarks) == (0, True)
    services.on("POST /admin/v1/erasures", {"places": 3, "by_kind": {}, "kept": {}})
    ended = ordersctl(*whom, "--wait", "--timeout", "0")
    assert (ended.code, "something is left in refunds" in ended.remarks) == (7, True)


def test_every_act_says_where_its_effect_is_seen() -> None:
    everywhere = [act_of(f"dead-letter {verb}", "refunds") for verb in ("replay", "mend", "dismiss")]
    acts = [*ACTS.values(), *everywhere, act_of("customer erase", "refunds")]
    assert [act.name for act in acts if act.sight is None] == []
    assert [act.name for act in acts if isinstance(act.sight, Effect) and not _readable(act.service, act.sight)] == []


def _readable(service: str, effect: Effect) -> bool:
    """Whether what it reads is there, in pages where it says so, and takes what it is asked."""
    method = "POST" if effect.again else "GET"
    places = re.sub(r"\{\w+\}", "{}", effect.path)
    found = [
        each
        for (whose, how, path), each in operations().items()
        if (whose, how, re.sub(r"\{\w+\}", "{}", path)) == (effect.service, method, places)
    ]
    takes = {field.name for each in found for field in (*each.query, *each.body)}
    asked = {name for name in effect.places if f"{{{name}}}" not in effect.path}
    paged = "cursor" in takes and not asked  # what is asked for by its name is on the first page
    return len(found) == 1 and asked <= takes and effect.pages in (paged, "cursor" in takes)


@pytest.mark.parametrize(
    ("recipe", "workflow", "code", "seen"),
    [
        ("confirmed", "crashed", 4, "confirmed"),
        ("failed", "crashed", 1, "failed"),
        ("done", "running", 4, "running"),
        ("done", "crashed", 1, "crashed_again"),
        ("done", "finished", 0, "finished"),
    ],
)
def test_a_recipe_is_watched_to_the_end_of_what_it_is_done_to(
    services: Services, ordersctl: Ordersctl, recipe: str, workflow: str, code: int, seen: str
) -> None:
    offers = [{"name": "retry_workflow", "last": {"state": recipe}}]
    services.on("GET /admin/v1/incidents/5", {"revision": 2, "version": 9, "recipes": offers})
    started = {"outcome": "started", "id": 5, "name": "retry_workflow", "target": "7"}
    held = {"holder": "anna", "held_since": "2026-11-29T10:00:00Z"}

    def starts(call: Call) -> tuple[int, Any]:
        assert call.body["expected_version"] == 2, "who has it counts, not how often it was reported"
        return 200, {**started, **held, "notices": ["message.edited (digest): duty (slack)"]}

    services.on("POST /admin/v1/incidents/5/recipes/retry_workflow", starts)
    services.on("GET /admin/v1/workflows/7", {"state_name": workflow, "pending": 1})
    services.on("GET /admin/v1/workflow-events", {"items": [{"id": "7-3"}], "next_cursor": None})
    command = ("incident", "recipe", "5", "retry_workflow", "-r", "the cause is mended")
    rehearsed = ordersctl(*command, "--dry-run")
    assert "it is taken over from anna" in rehearsed.remarks
    assert "message.edited (digest): duty (slack)" in rehearsed.out
    ended = ordersctl(*command, "-y", "--wait", "--timeout", "0")
    assert (ended.code, f"seen: 1 {seen}" in ended.remarks) == (code, True), ended.remarks
    assert ("why: ordersctl workflow show 7" in ended.remarks) == (code == 1)
    assert ("next: skip or mend what failed (ordersctl event skip 7-3" in ended.remarks) == (code == 1)


def test_a_recipe_that_had_begun_meanwhile_is_watched_as_well(services: Services, ordersctl: Ordersctl) -> None:
    offers = [{"name": "retry_workflow", "last": {"state": "done"}}]
    services.on("GET /admin/v1/incidents/5", {"revision": 2, "recipes": offers})
    services.on("GET /admin/v1/workflows/7", {"state_name": "finished", "pending": 0})

    def starts(call: Call) -> tuple[int, Any]:
        outcome = "started" if call.body["dry_run"] else "under_way"
        return 200, {"outcome": outcome, "id": 5, "name": "retry_workflow", "target": "7"}

    services.on("POST /admin/v1/incidents/5/recipes/retry_workflow", starts)
    recipe = ("incident", "recipe", "5", "retry_workflow", "-r", "the cause is mended", "-y", "--wait")
    ended = ordersctl(*recipe, "--timeout", "0", "-o", "json")
    assert (ended.code, "seen: 1 finished" in ended.remarks) == (0, True), ended.remarks
    assert ended.json["items"][0]["outcome"] == "under_way"


def test_duty_says_who_is_replaced_and_what_is_wrong_with_the_whole(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/roster", {"revision": 4})
    shift = {"place": "on_duty", "person": "boris", "instead_of": "anna"}
    times = {"starts_at": "2026-11-29T10:00:00Z", "ends_at": "2026-11-29T12:00:00Z"}
    made = {"items": [{"id": 3, "place": "on_duty", "person": "boris", **times}], "replaced": [{**shift, **times}]}
    services.on("POST /admin/v1/roster/overrides", {**made, "notices": ["roster.handover (announced): duty (slack)"]})
    override = ("duty", "override", "--person", "boris", "-r", "anna is ill", "--dry-run")
    rehearsed = ordersctl(*override, "--starts-at", times["starts_at"], "--ends-at", times["ends_at"])
    assert "on_duty: boris instead of anna" in rehearsed.remarks, rehearsed.remarks
    missing = [{"field": "", "code": "value_error", "message": "starts_at and ends_at are needed"}]
    problem = {"code": "invalid_input", "detail": "the body does not fit", "fields": missing}
    services.on("POST /admin/v1/roster/overrides", lambda _: (422, problem))
    refused = ordersctl(*override)
    assert refused.code == 2
    assert "\n  starts_at and ends_at are needed" in refused.remarks
