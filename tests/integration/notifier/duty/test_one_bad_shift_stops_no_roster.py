"""Poison among what is done about the roster: the rest is done, a person is told, and once mended it is done once."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from notifier.duty.keep_roster import KeepRoster
from tests.integration.notifier.factories import MakeKit
from tests.integration.notifier.people import override, phoned, put_roster, settings_for, told_once
from tests.support.poisoned import Fault
from tests.support.servers import eventually

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
ANNOUNCED = "SELECT FROM handovers WHERE person = 'anna'"
GAPS = "SELECT DISTINCT fingerprint FROM incidents WHERE kind = 'problem.roster' AND state = 'open'"


@pytest.mark.parametrize("step", ["announce", "give_back", "check"])
async def test_a_shift_that_fails_keeps_nothing_else_of_the_roster_undone(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fault = Fault()
    monkeypatch.setattr("notifier.app._ROSTER_SECONDS", 0.2)
    bad: dict[str, Any] = {
        "announce": ("_announce", lambda *given: given[-1][0].on_duty == "anna"),
        "give_back": ("_give_back", lambda *given: any(due and each.person == "anna" for each, due in given[-1])),
        "check": (
            "_what_is_wrong",
            lambda _self, shift, _plan: shift.on_duty is None and shift.ends_at - shift.starts_at < HOUR / 2,
        ),
    }
    kit = await make_kit(replicas=2, **settings_for(tmp_path, roster_preflight=3600.0, handover_patience=1.0))
    await put_roster(kit, "oleg")
    name, is_bad = bad[step]
    monkeypatch.setattr(KeepRoster, name, fault.over(getattr(KeepRoster, name), is_bad))
    # All of it begins, and comes near enough to be looked at, after it was put there: in the task, not in a person's request.
    ahead: tuple[tuple[str | None, timedelta, timedelta], ...] = (
        ("anna", 8 * SECOND, HOUR / 2),
        (None, HOUR + 8 * SECOND, HOUR + 10 * SECOND),
        (None, HOUR + 13 * SECOND, HOUR * 2),
    )
    made = [await override(kit, *each) for each in ahead]
    assert [status for status, _ in made] == [200] * 3
    anna, short, long = (answer["items"][0] for _, answer in made)
    ends = [datetime.fromisoformat(each["ends_at"]).isoformat() for each in (short, long)]
    fingerprints = [f"roster:Europe/Moscow:{moment}" for moment in ends]

    async def is_done(*, mended: bool) -> bool:
        gaps = {row["fingerprint"] for row in await kit.fetch(GAPS)}
        assert gaps == set(fingerprints if mended or step != "check" else fingerprints[1:])
        assert len(await kit.fetch(ANNOUNCED)) == (mended or step != "announce")
        assert ("+79990000001" in await phoned(kit)) is (mended or step == "check")
        return True

    await eventually(lambda: is_done(mended=False))
    starts = datetime.fromisoformat(anna["starts_at"]).isoformat()
    item = {"announce": f"shift {starts}", "check": f"problem {fingerprints[0]}"}
    if step == "give_back":
        [row] = await kit.fetch("SELECT id FROM handovers WHERE person = 'anna'")
        item[step] = f"handover {row['id']}"
    await told_once(kit, f"roster:{item[step]}")
    await is_done(mended=False)
    fault.mended = True
    await eventually(lambda: is_done(mended=True))
