"""A payment system whose list of refunds answers for some days only: those are reconciled, the others told once, none is asked for ever."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from sandbox.systems.trust_money import TrustError, TrustMoney
from tests.integration.refunds.factories import InWorld
from tests.support.crash_points import KilledError
from tests.support.refund_world import World

DAY = 86400.0
LEASE = 31 * 60.0


class Register:
    """Trust's list of refunds, as another Trust than the sandbox's may give it: ``asked`` is where each list began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[datetime] = []
        self.refuses: Callable[[datetime, datetime], TrustError | None] = lambda _since, _until: None
        real = TrustMoney.made_between

        def made_between(money: TrustMoney, since: datetime, until: datetime) -> Any:
            self.asked.append(since)
            if (refusal := self.refuses(since, until)) is not None:
                raise refusal
            return real(money, since, until)

        monkeypatch.setattr(TrustMoney, "made_between", made_between)

    def keeps(self, world: World, *, days: float) -> None:
        """From now on it refuses, in its own words, what begins earlier."""

        def too_old(since: datetime, _: datetime) -> TrustError | None:
            old = since < world.time.now() - timedelta(days=days)
            return TrustError(400, "period_too_old", "the period is kept no longer") if old else None

        self.refuses = too_old


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Trust's register."""
    return Register(monkeypatch)


def _by_hand(world: World, payment: str) -> str:
    """Somebody refunds it in Trust's own console."""
    world.run(world.sandbox.control("PUT", f"/sandbox/trust/payments/{payment}", {"captured": 100}))
    body = {"payment_id": payment, "amount": 40, "currency": "RUB"}
    made = world.sandbox.world.trust.money.create(key=f"of {payment}", body=body, declined=False, now=world.time.now())
    made.status = "success"
    return made.id


def _unfinished(world: World) -> list[str]:
    rows = world.run(world.fetch("SELECT day FROM reconciliation_days WHERE finished_at IS NULL ORDER BY day"))
    return [str(row["day"]) for row in rows]


def _told(world: World) -> dict[str, int]:
    world.run(world.deliver())
    return dict(world.problems)


async def test_missed_days_that_it_refuses_are_told_once_and_never_asked_again(
    in_world: InWorld, register: Register
) -> None:
    def story(world: World) -> None:
        register.keeps(world, days=3)
        world.back = timedelta(days=3)
        world.run(world.instance().daily())
        assert (_unfinished(world), _told(world)) == ([], {})  # what it refuses is of no day of ours
        world.pass_time(2 * DAY)
        _by_hand(world, "pay-old")
        world.pass_time(4 * DAY)
        recent = _by_hand(world, "pay-recent")
        world.pass_time(DAY)

        world.run(world.instance().daily())
        world.run(world.instance().daily())
        told = {f"refund-difference:trust:{recent}:unknown_to_us": 1}
        told["refund-difference:trust:register of 2026-11-21:register_refused"] = 1
        assert (_unfinished(world), _told(world)) == ([], told)
        [refused] = [one for one in world.raised if "register_refused" in one.fingerprint]
        words = "its register does not show what was made from 2026-11-21 00:00 to 2026-11-26 00:00 (UTC)"
        assert refused.details["detail"] == words

        world.pass_time(LEASE)
        register.asked.clear()
        world.run(world.instance().daily())
        assert register.asked == []
        for _ in range(3):
            world.pass_time(DAY)
            world.run(world.instance().daily())
        assert (_unfinished(world), _told(world)) == ([], told)

    await in_world(story)


async def test_a_replica_that_dies_between_any_two_days_doubles_nothing(in_world: InWorld, register: Register) -> None:
    def story(world: World) -> None:
        points, world.back = 0, timedelta(days=1)
        for dies_at in count(1):
            world.run(world.fresh())
            register.keeps(world, days=2.5)
            world.run(world.instance().daily())
            world.pass_time(3 * DAY)
            found = _by_hand(world, f"pay-{dies_at}")
            world.pass_time(DAY)
            world.run(world.deliver())
            world.problems.clear()
            dying = world.instance(dies_at=dies_at)
            with suppress(KilledError):
                world.run(dying.daily())
            world.pass_time(LEASE)
            world.run(world.instance().daily())
            assert _unfinished(world) == []
            told = _told(world)
            assert set(told.values()) == {1}
            assert sorted(one.rpartition(":")[2] for one in told) == ["register_refused", "unknown_to_us"], told
            assert any(found in one for one in told)
            if dying.crash_point.points < dies_at:
                break
            points = dies_at
        assert points > 20  # a list of each day of two payment systems, and what is written

    await in_world(story)


async def test_a_day_that_it_does_not_answer_for_keeps_no_other_unreconciled(
    in_world: InWorld, register: Register
) -> None:
    def story(world: World) -> None:
        world.back = timedelta(days=1)
        world.run(world.instance().daily())
        world.pass_time(5 * DAY)
        ill = world.time.now().replace(hour=0) - timedelta(days=2)

        def away(since: datetime, until: datetime) -> TrustError | None:
            return TrustError(500, "technical_error", "try again later") if since <= ill < until else None

        register.refuses = away
        day = str((ill + timedelta(days=1)).date())
        world.run(world.instance().daily())
        for _ in range(2):
            world.run(world.instance().daily())
            assert _unfinished(world) == [day]
            world.pass_time(LEASE)
        last = world.run(world.fetch("SELECT max(day) AS day FROM reconciliation_days WHERE finished_at IS NOT NULL"))
        assert str(last[0]["day"]) == str(world.time.now().date())
        register.refuses = lambda _since, _until: None
        world.run(world.instance().daily())
        assert (_unfinished(world), _told(world)) == ([], {})

    await in_world(story)
