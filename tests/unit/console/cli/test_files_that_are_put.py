"""The plan of duty and the people go as files: what is shown is what is put, rehearsed first and asked about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from notifier.duty.views import RosterChange
from notifier.people.views import PeopleChange
from tests.unit.console.cli.conftest import Call, Ordersctl, Services

PLAN = {
    "zone": "Europe/Moscow",
    "first_week": "2026-11-30",
    "rotation": ["anna", "oleg"],
    "backups": [],
    "weeks": {"2026-12-07": {"on_duty": "boris", "backup": None}},
    "starts": "10:00:00",
}
PEOPLE = {"people": [{"id": "anna", "name": "Anna"}], "owners": {"store:42": ["anna"]}, "seniors": ["anna"]}
WEEK = {"starts_at": "2026-12-07T07:00:00Z", "ends_at": "2026-12-14T07:00:00Z"}
ROSTER = {"version": 4, "revision": 9, "plan": PLAN, "overrides": [], "shifts": [], "gaps": []}


@pytest.mark.parametrize(
    ("noun", "whole", "kept", "said", "model", "told"),
    [
        (
            "roster",
            ROSTER,
            PLAN,
            {"replaced": [{"place": "on_duty", "person": "boris", "instead_of": "anna", **WEEK}], "gaps": []},
            RosterChange,
            "on_duty: boris instead of anna",
        ),
        (
            "people",
            {**PEOPLE, "origin": "put", "version": 4, "dry_run": False},
            PEOPLE,
            {"added": [], "removed": ["oleg"], "changed": {"anna": ["phone"]}},
            PeopleChange,
            "removed: oleg",
        ),
    ],
)
def test_what_is_shown_is_what_is_put_and_asked_about_before(
    noun: str,
    whole: dict[str, Any],
    kept: dict[str, Any],
    said: dict[str, Any],
    model: Any,
    told: str,
    services: Services,
    ordersctl: Ordersctl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = {"version": 4}

    def put(call: Call) -> tuple[int, Any]:
        if call.body["expected_version"] != now["version"]:
            return 409, {"code": "conflict", "detail": "it is at another version"}
        if not call.body["dry_run"]:
            now["version"] += 1
        return 200, {"dry_run": call.body["dry_run"], "version": 5, "notices": [], **said}

    services.on(f"GET /admin/v1/{noun}", lambda _: (200, {**whole, "version": now["version"]}))
    services.on(f"PUT /admin/v1/{noun}", put)
    file = tmp_path / "file.json"
    file.write_text(ordersctl(noun, "show", "-o", "json").out)
    assert json.loads(file.read_text()) == kept
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    shown = ordersctl(noun, "set", str(file), "-r", "a new plan", "--dry-run")
    assert (shown.code, told in shown.out, now["version"]) == (0, True, 4), shown.out
    done = ordersctl(noun, "set", str(file), "-r", "a new plan", "--yes", "--wait")
    assert (done.code, told in done.out, now["version"], "seen: 1 in_force" in done.remarks) == (0, True, 5, True)
    bodies = [call.body for call in services.calls if call.line.startswith("PUT ")]
    assert bodies[-1] == {**kept, "reason": "a new plan", "dry_run": False, "expected_version": 4}
    model.model_validate(bodies[-1])


def test_a_plan_that_somebody_else_has_put_meanwhile_is_left_alone(
    services: Services, ordersctl: Ordersctl, tmp_path: Path
) -> None:
    services.on("GET /admin/v1/roster", ROSTER)
    services.on(
        "PUT /admin/v1/roster",
        lambda call: (
            (200, {"version": 5, "replaced": []})
            if call.body["dry_run"]
            else (409, {"code": "conflict", "detail": "the roster is at another version"})
        ),
    )
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(PLAN))
    ended = ordersctl("roster", "set", str(file), "-r", "a new plan", "--yes")
    assert (ended.code, "changed_since" in ended.out) == (1, True)


@pytest.mark.parametrize("text", ["[]", "{", '"plan"'])
def test_a_file_that_is_no_plan_is_a_usage_error(
    text: str, services: Services, ordersctl: Ordersctl, tmp_path: Path
) -> None:
    (tmp_path / "plan.json").write_text(text)
    assert ordersctl("roster", "set", str(tmp_path / "plan.json"), "-r", "a new plan", "--yes").code == 2
    assert [call for call in services.calls if call.line.startswith("PUT ")] == []


def test_where_there_is_no_plan_the_command_says_so(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/roster", {**ROSTER, "plan": None})
    ended = ordersctl("roster", "show")
    assert (ended.code, "there is no plan of duty yet" in ended.remarks) == (3, True)


@pytest.mark.parametrize(("noun", "kept"), [("roster", PLAN), ("people", PEOPLE)])
def test_what_was_put_between_show_and_set_is_not_overwritten(
    noun: str, kept: dict[str, Any], services: Services, ordersctl: Ordersctl, tmp_path: Path
) -> None:
    whole = ROSTER if noun == "roster" else {**PEOPLE, "origin": "put", "version": 4}
    services.on(f"GET /admin/v1/{noun}", whole)
    services.on(
        f"PUT /admin/v1/{noun}",
        lambda call: (
            (200, {"version": 6, "dry_run": call.body["dry_run"]})
            if call.body["expected_version"] == 5
            else (409, {"code": "conflict", "detail": "it is at version 5"})
        ),
    )
    seen = ordersctl(noun, "show", "-o", "json")
    (tmp_path / "file.json").write_text(seen.out)
    assert (json.loads(seen.out), "version 4" in seen.remarks) == (kept, True)
    services.on(f"GET /admin/v1/{noun}", {**whole, "version": 5})  # somebody else put it meanwhile
    words = (noun, "set", str(tmp_path / "file.json"), "-r", "why", "--yes", "--expected-version", "4")
    assert ordersctl(*words).code == 1
    assert [call.body["expected_version"] for call in services.calls if call.line.startswith("PUT ")] == [4]
