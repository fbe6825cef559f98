"""Acknowledge against call, on a real database and with two replicas' callers: who wins, and whether anybody was phoned afterwards."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from common.http import Principal
from common.ids import new_id
from common.postgres import Database
from notifier.delivery.notifications import NotificationStore
from notifier.duty.call_store import CallStore
from notifier.duty.call_webhook import CallWebhook
from notifier.duty.place_calls import PlaceCalls
from notifier.incidents.act import ActOnIncident, patiently
from notifier.incidents.problems import Problems
from notifier.incidents.store import IncidentStore
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.model import Directory, Person
from notifier.routing.model import Routes
from sandbox.testing import RunningSandbox

_AT_ONCE = 50
_CALLERS = 4
_INCIDENT = """
INSERT INTO incidents (fingerprint, kind, severity, summary, details, service, environment, first_seen_at, last_seen_at)
VALUES ($1, 'problem.race', 'critical', 'race', '{}', 'test', 'testing', now(), now()) RETURNING id
"""
_CALL = "INSERT INTO calls (id, incident_id, person, occasion) VALUES ($1, $2, $3, 'race')"


@dataclass
class Raced:
    """What the races showed: how each call ended, and the calls that arrived after their acknowledgement."""

    ends: Counter[str] = field(default_factory=Counter)
    arrived: int = 0
    after_ack: list[str] = field(default_factory=list)
    waited: int = 0


async def race(dsn: str, sandbox: RunningSandbox, races: int, *, seed: int) -> Raced:
    """Run so many races, fifty at a time; each incident has a call that is due and somebody who takes it at the same moment."""
    chance = random.Random(seed)  # noqa: S311 - spreads the moments of a test
    people = {
        f"p{number}": Person(id=f"p{number}", name=f"P{number}", role="operator", phone=f"+7{number:010}")
        for number in range(races)
    }
    words = Words("en")
    result = Raced()
    async with AsyncExitStack() as stack:
        replicas = [Database(dsn, application_name=f"racer-{number}", max_size=20) for number in range(2)]
        robots = [CallWebhook(url=f"{sandbox.url}/calls/v1/calls", token=None) for _ in replicas]
        for replica, provider in zip(replicas, robots, strict=True):
            await replica.open()
            stack.push_async_callback(replica.close)
            stack.push_async_callback(provider.close)
        callers = [
            PlaceCalls(
                calls=CallStore(replica),
                provider=provider,
                directory=Directory(people=people),
                words=words,
                metrics=PeopleMetrics(CollectorRegistry()),
                deadline=5.0,
                pause=timedelta(0),
                look_up=_nothing_changes,
            )
            for replica, provider in zip(replicas, robots, strict=True)
        ]
        act = ActOnIncident(
            problems=Problems(routes=Routes(destinations={}, routes=()), words=words, environment="testing")
        )
        # Some answers are late, so that acknowledgements meet calls that are on their way.
        await sandbox.fault("calls", mode="slow", share=0.3, delay_s=0.05)
        for start in range(0, races, _AT_ONCE):
            names = list(people)[start : start + _AT_ONCE]
            await _round(replicas, callers, act, names, chance, result)
        await _judge(replicas[0], sandbox, people, result)
    return result


async def _nothing_changes() -> None:
    """The directory is as it was given."""


async def _round(
    replicas: list[Database],
    callers: list[PlaceCalls],
    act: ActOnIncident,
    names: list[str],
    chance: random.Random,
    result: Raced,
) -> None:
    incidents: dict[str, int] = {}
    async with replicas[0].transaction() as connection:
        for name in names:
            incidents[name] = await connection.fetchval(_INCIDENT, name)
            await connection.execute(_CALL, new_id(), incidents[name], name)

    async def acknowledge(name: str, database: Database, delay: float) -> None:
        await asyncio.sleep(delay)
        tries = 0

        async def transaction() -> None:
            nonlocal tries
            tries += 1
            async with database.transaction() as connection:
                incident_store = IncidentStore(connection, principal=Principal(name, "operator"), request_id="race")
                await act(
                    incident_store,
                    NotificationStore(connection),
                    incident_id=incidents[name],
                    act="ack",
                    actor=name,
                    text="mine",
                    dry_run=False,
                )

        await patiently(transaction, seconds=20)
        result.waited += tries > 1

    async def call(caller: PlaceCalls) -> None:
        while await caller():
            pass

    await asyncio.gather(
        *(acknowledge(name, replicas[index % 2], chance.uniform(0, 0.8)) for index, name in enumerate(names)),
        *(call(caller) for caller in callers for _ in range(_CALLERS)),
    )
    for caller in callers:
        while await caller():  # what was postponed or left over
            pass


async def _judge(database: Database, sandbox: RunningSandbox, people: dict[str, Person], result: Raced) -> None:
    by_phone = {person.phone: name for name, person in people.items()}
    async with database.acquire() as connection:
        rows = await connection.fetch(
            "SELECT i.fingerprint AS name, i.state, i.acknowledged_at, c.state AS call, c.attempts"
            " FROM incidents AS i JOIN calls AS c ON c.incident_id = i.id WHERE i.kind = 'problem.race'"
        )
    taken: dict[str, datetime] = {row["name"]: row["acknowledged_at"] for row in rows}
    assert {row["state"] for row in rows} == {"acknowledged"}
    result.ends.update(row["call"] for row in rows)
    for entry in await sandbox.log("calls"):
        name = by_phone[entry["request"]["phone"]]
        result.arrived += 1
        if datetime.fromisoformat(entry["time"]) > taken[name]:
            result.after_ack.append(name)
