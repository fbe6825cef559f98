"""On a clock that is moved: a day without Trust, a Trust that fails for good, and YooKassa, whose keys live for a day."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from refunds.reconciliation.model import Reconciliation
from refunds.reconciliation.reconcile import Reconcile
from refunds.refunds.model import Restarted
from refunds.refunds.states import RefundState
from sandbox.faults import FaultMode, FaultOrder
from tests.integration.refunds.factories import InWorld
from tests.support.crash_points import KilledError
from tests.support.poisoned import Fault
from tests.support.refund_world import START, World

DAY = 86400.0


def _ill(world: World, system: str, mode: FaultMode, match: str | None = None, *, effect: bool = False) -> None:
    world.sandbox.world.systems[system].faults.add(FaultOrder(mode=mode, match=match, effect=effect))


def _well(world: World, system: str) -> None:
    world.sandbox.world.systems[system].faults.heal()


def _work(world: World, *, hours: float = 0.0) -> None:
    """Let the service work, then let time pass: a minute, or so many hours in steps of two."""
    for _ in range(max(1, round(hours / 2))):
        instance = world.instance()
        assert world.run(world.work(instance))
        world.run(world.deliver())
        world.pass_time(7200.0 if hours else 60.0)


def _rows(world: World) -> list[dict[str, Any]]:
    return [dict(row) for row in world.run(world.fetch("SELECT * FROM refunds ORDER BY id"))]


def _states(world: World) -> list[str]:
    return [RefundState(row["state"]).name for row in _rows(world)]


def _days(world: World) -> list[tuple[date, bool]]:
    rows = world.run(world.fetch("SELECT day, finished_at FROM reconciliation_days ORDER BY day"))
    return [(row["day"], row["finished_at"] is not None) for row in rows]


def _put(world: World, system: str, payment_id: str, **order: Any) -> None:
    world.run(world.sandbox.control("PUT", f"/sandbox/{system}/payments/{payment_id}", order))


async def test_after_a_day_without_trust_every_refund_finishes_by_itself(
    in_world: InWorld,
) -> None:
    def story(world: World) -> None:
        for number in range(5):
            _put(world, "trust", f"pay-{number}", captured=100)
        # One is known to Trust already, one waits for the start, the others come while it is down in one way or another.
        world.run(world.want("pay-0", amount=60, key="a"))
        world.run(world.deliver())
        _ill(world, "trust", FaultMode.LOST_RESPONSE, "start_refund")
        _work(world)
        _well(world, "trust")
        for number, mode in enumerate((FaultMode.RESET, FaultMode.ERROR, FaultMode.RATE_LIMIT)):
            _ill(world, "trust", mode)
            world.run(world.want("pay-1", amount=10, key=mode))
            world.run(world.want(f"pay-{2 + number}", amount=None, key=mode))
            world.run(world.deliver())
            _work(world, hours=8)
        assert "SUCCESS" not in _states(world)
        assert "ERROR" not in _states(world)

        _well(world, "trust")
        _work(world, hours=30)

        assert set(_states(world)) == {"SUCCESS"}
        assert not world.problems
        ledgers = world.ledgers()
        payouts = [one["payouts"] for item in ledgers.values() for one in item["refunds"] if one["payouts"]]
        assert payouts == [1] * len(_rows(world))

    await in_world(story)


async def test_when_trust_fails_for_good_a_person_gets_one_problem_and_restarts_it(
    in_world: InWorld,
) -> None:
    def story(world: World) -> None:
        _put(world, "trust", "pay-1", captured=100)
        _ill(world, "trust", FaultMode.ERROR, "start_refund")
        world.run(world.want("pay-1", amount=60, key="a"))
        world.run(world.deliver())
        _work(world, hours=4 * 24)

        assert _states(world) == ["ERROR"]
        refund_id = str(_rows(world)[0]["id"])
        assert dict(world.problems) == {f"refund:{refund_id}:1": 1}
        details = world.raised[0].details
        assert (details["error"], details["money"]) == ("gateway_silent", "may have gone out; counted as spent")
        assert "start trust-refund-000001: Trust answered 500 (gateway_silent)" in details["calls"]
        assert "Trust answered 500" in details["gateway_now"]
        assert f"ordersctl refund restart {refund_id}" in details["instruction"]
        assert not world.resolved

        _well(world, "trust")
        assert world.run(world.press_restart(world.instance(), refund_id)) is Restarted.RESTARTED
        world.run(world.deliver())
        for _ in range(4):
            _work(world)

        assert _states(world) == ["SUCCESS"]
        assert (dict(world.problems), dict(world.resolved)) == (
            {f"refund:{refund_id}:1": 1},
            {f"refund:{refund_id}:1": 1},
        )
        timeline = [(entry.kind, entry.actor) for entry in world.journal]
        assert timeline == [
            ("refund.create", "test"),
            ("refund.sending", "refunds"),
            ("refund.unknown", "refunds"),
            ("refund.error", "refunds"),
            ("refund.create", "operator"),
            ("refund.sending", "refunds"),
            ("refund.pending", "refunds"),
            ("refund.success", "refunds"),
        ]
        (ledger,) = world.ledgers().values()
        assert [(one["payouts"], one["status"]) for one in ledger["refunds"]] == [(1, "success")]

    await in_world(story)


async def test_what_yookassa_did_is_found_by_key_and_past_its_keys_nothing_is_sent_again(
    in_world: InWorld,
) -> None:
    def story(world: World) -> None:
        for name in ("yk-paid", "yk-lost"):
            _put(world, "yookassa", name, captured=100)
        # Paid, and not one answer comes back; the other never arrives.
        _ill(world, "yookassa", FaultMode.ERROR, "create_refund", effect=True)
        world.run(world.want("yk-paid", amount=60, key="a"))
        world.run(world.deliver())
        _work(world)
        _ill(world, "yookassa", FaultMode.ERROR)
        world.run(world.want("yk-lost", amount=60, key="a"))
        world.run(world.deliver())
        _work(world, hours=2 * 24)
        assert _states(world) == ["UNKNOWN", "CREATE"]
        _well(world, "yookassa")
        _ill(world, "yookassa", FaultMode.ERROR, "create_refund")
        _work(world, hours=3 * 24)

        assert _states(world) == [
            "SUCCESS",
            "ERROR",
        ]  # the first was found by its key, two days after that key was forgotten
        assert [row["attempt"] for row in _rows(world)] == [1, 1]
        lost = str(_rows(world)[1]["id"])
        _well(world, "yookassa")
        _ill(world, "yookassa", FaultMode.ERROR, "list_refunds")
        assert world.run(world.press_restart(world.instance(), lost)) == "gateway_no_answer"
        _well(world, "yookassa")
        assert world.run(world.press_restart(world.instance(), lost)) is Restarted.RESTARTED
        world.run(world.deliver())
        for _ in range(4):
            _work(world)

        assert _states(world) == ["SUCCESS", "SUCCESS"]
        ledgers = world.ledgers()
        assert {name: [one["payouts"] for one in item["refunds"]] for name, item in ledgers.items()} == {
            "yk-paid": [1],
            "yk-lost": [1],
        }

    await in_world(story)


async def test_reconciliation_finds_reversals_strangers_and_what_the_gateway_lost(
    in_world: InWorld,
) -> None:
    def story(world: World) -> None:
        for number in range(3):
            _put(world, "trust", f"pay-{number}", captured=100, polls=0)
            world.run(world.want(f"pay-{number}", amount=60, key="a"))
        world.run(world.deliver())
        for _ in range(3):
            _work(world)
        assert _states(world) == ["SUCCESS"] * 3
        money = world.sandbox.world.trust.money
        reversed_one, lost, kept = list(money.refunds)
        money.refunds[reversed_one].status = "failed"
        gone = money.refunds.pop(lost)
        stranger = money.create(
            key="somebody else's",
            body={"payment_id": "pay-1", "amount": 40, "currency": "RUB"},
            declined=False,
            now=world.time.now(),
        )
        stranger.status = "success"

        found = world.run(world.reconcile_all(world.instance()))
        world.run(world.deliver())

        assert found is not None
        assert found.registers == {"trust": "compared", "yookassa": "compared"}
        assert sorted((one.kind, one.subject) for one in found.differences) == [
            ("missing_at_gateway", str(_rows(world)[1]["id"])),
            ("unknown_to_us", stranger.id),
        ]
        assert _states(world) == ["REVERSED", "SUCCESS", "SUCCESS"]
        assert (found.examined, found.advanced) == (3, 1)
        raised = sorted(world.problems)
        world.run(world.reconcile_all(world.instance()))
        world.run(world.deliver())
        assert (sorted(world.problems), set(world.problems.values())) == (raised, {1})
        assert kept in money.refunds

        money.refunds[lost] = gone
        world.run(world.reconcile_all(world.instance()))
        world.run(world.deliver())
        assert dict(world.resolved) == {f"refund-difference:trust:{_rows(world)[1]['id']}:missing_at_gateway": 1}

    await in_world(story)


async def test_a_day_whose_register_did_not_answer_is_taken_up_again(
    in_world: InWorld,
) -> None:
    """What somebody refunded by hand stands in the register only: a day without it has not been reconciled."""

    def story(world: World) -> None:
        _put(world, "trust", "pay-1", captured=100, polls=0)
        body = {"payment_id": "pay-1", "amount": 40, "currency": "RUB"}
        made = world.sandbox.world.trust.money.create(key="theirs", body=body, declined=False, now=world.time.now())
        made.status = "success"
        _ill(world, "trust", FaultMode.ERROR, "list_refunds")

        def days() -> list[bool]:
            return [finished for _, finished in _days(world)]

        world.run(world.instance().daily())
        assert days() == [False]
        _well(world, "trust")
        world.run(world.instance().daily())
        assert days() == [False]  # its lease is not over: a run may still be at it
        world.pass_time(31 * 60)
        world.run(world.instance().daily())
        world.run(world.deliver())
        assert days() == [True]
        assert list(world.problems) == [f"refund-difference:trust:{made.id}:unknown_to_us"]

    await in_world(story)


async def test_days_that_nobody_reconciled_are_made_up_for_in_one_run_by_one_replica(
    in_world: InWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, walked = Fault(), list[datetime]()
    whole = Reconcile.__call__

    async def walk(self: Reconcile, *, since: datetime, **other: Any) -> Reconciliation:
        walked.append(since)
        return await whole(self, since=since, **other)

    monkeypatch.setattr(Reconcile, "__call__", walk)
    monkeypatch.setattr(Reconcile, "_walk_register", fault.over(Reconcile._walk_register, lambda *_: True))

    def story(world: World) -> None:
        world.pass_time(16.5 * 3600)  # 23:30
        replica = world.instance()
        with pytest.raises(KeyError):
            world.run(replica.daily())
        world.pass_time(3600)
        with pytest.raises(KeyError):
            world.run(replica.daily())  # on the next day
        world.pass_time(4 * DAY)  # nothing runs
        fault.mended = True
        walked.clear()
        replicas = [world.instance() for _ in range(3)]

        async def together() -> None:
            await asyncio.gather(*(one.daily() for one in replicas))

        for _ in range(2):
            world.run(together())
        first = START.replace(hour=0)
        assert walked == [first - timedelta(days=30)]
        assert _days(world) == [(first.date() + timedelta(days=number), True) for number in range(6)]

    await in_world(story)


async def test_a_day_whose_replica_died_anywhere_is_reconciled_and_told_once(
    in_world: InWorld,
) -> None:
    def story(world: World) -> None:
        points, world.back = 0, timedelta(days=1)
        for dies_at in count(1):
            world.run(world.fresh())
            _put(world, "trust", f"pay-{dies_at}", captured=100)
            body = {"payment_id": f"pay-{dies_at}", "amount": 40, "currency": "RUB"}
            money = world.sandbox.world.trust.money
            money.create(key=f"k{dies_at}", body=body, declined=False, now=world.time.now()).status = "success"
            world.pass_time(60)
            dying = world.instance(dies_at=dies_at)
            with suppress(KilledError):
                world.run(dying.daily())
            world.pass_time(31 * 60)
            world.run(world.instance().daily())
            world.run(world.deliver())
            assert all(finished for _, finished in _days(world))
            assert [times for name, times in world.problems.items() if name.endswith(":unknown_to_us")] == [1]
            if dying.crash_point.points < dies_at:
                break
            points = dies_at
            world.pass_time(DAY)
        assert points >= 4  # around the claim, and around the end

    await in_world(story)


async def test_a_payment_that_was_not_captured_is_cancelled_instead_of_refunded(
    in_world: InWorld,
) -> None:
    def story(world: World) -> None:
        _put(world, "trust", "held", captured=0, held=100)
        _put(world, "yookassa", "yk-held", captured=0, held=100)
        _put(world, "trust", "part", captured=0, held=100)
        _ill(world, "trust", FaultMode.LOST_RESPONSE, "unhold")
        world.run(world.want("held", amount=None, key="a"))
        world.run(world.want("yk-held", amount=100, key="a"))
        world.run(world.want("part", amount=60, key="a"))
        world.run(world.deliver())
        _work(world)
        _well(world, "trust")
        for _ in range(6):
            _work(world)

        assert _states(world) == ["CANCELLED", "CANCELLED", "REJECTED"]
        assert [row["reserved"] for row in _rows(world)] == [0, 0, 0]
        assert world.sandbox.world.trust.money.payments["held"].status == "cancelled"
        assert world.sandbox.world.trust.money.payments["part"].status == "authorized"
        assert not [one for item in world.ledgers().values() for one in item["refunds"]]

    await in_world(story)
