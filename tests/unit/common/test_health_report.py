"""Readiness says what is missing, quickly, and without asking more often than it must."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import Unavailable
from common.health import Health, HealthReport


async def fine() -> None:
    """A dependency that works."""


async def test_every_check_is_reported_with_its_reason_and_one_bad_one_is_enough() -> None:
    async def away() -> None:
        raise Unavailable("the database does not answer")

    async def broken() -> None:
        raise OSError("cannot reach postgresql://u:pw@h/d\nsecond line")

    async def hangs() -> None:
        await asyncio.Event().wait()

    health = Health(deadline=0.05)
    for name, check in (("fine", fine), ("away", away), ("broken", broken), ("hangs", hangs)):
        health.add_check(name, check)
    assert await health.report() == HealthReport(
        ready=False,
        checks={
            "fine": "ok",
            "away": "the database does not answer",
            "broken": "OSError: cannot reach postgresql://[masked]@h/d",
            "hangs": "no answer within 0.05 s",
        },
    )


async def test_nothing_to_check_is_ready_and_draining_is_not() -> None:
    health = Health()
    health.add_check("fine", fine)
    assert await health.report() == HealthReport(ready=True, checks={"fine": "ok"})
    health.start_draining()
    assert await health.report() == HealthReport(ready=False, checks={"fine": "ok", "service": "draining"})


async def test_probes_at_the_same_moment_share_one_run_and_a_fresh_report_is_reused() -> None:
    runs = 0

    async def counted() -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)

    health = Health(fresh_for=60)
    health.add_check("counted", counted)
    await asyncio.gather(*(health.report() for _ in range(10)))
    await health.report()
    assert runs == 1


async def test_a_report_is_asked_for_again_when_it_is_no_longer_fresh() -> None:
    answers = iter([OSError("down"), None])

    async def recovering() -> None:
        if (error := next(answers)) is not None:
            raise error

    health = Health(fresh_for=0)
    health.add_check("it", recovering)
    assert [(await health.report()).ready for _ in range(2)] == [False, True]


async def test_one_probe_that_is_given_up_does_not_spoil_the_other() -> None:
    gate = asyncio.Event()
    health = Health(deadline=5)

    async def slow() -> None:
        await gate.wait()

    health.add_check("slow", slow)
    first, second = asyncio.create_task(health.report()), asyncio.create_task(health.report())
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert (await second).ready


def test_two_checks_of_one_name_are_a_mistake() -> None:
    health = Health()
    health.add_check("it", fine)
    with pytest.raises(ValueError, match="'it'"):
        health.add_check("it", fine)
