"""P6: ten thousand problem events in a minute through two replicas of the notifier, against a sandbox that enforces the limits.

The events come over RabbitMQ at an even pace: warnings of many kinds, a tenth of them repeats, a tenth ends of problems raised before; and
critical ones, of which the first of each group has to page. Measured from the moment the broker had the event to the moment the provider
had the message. Afterwards the sandbox's own log is read: it must hold no 429, and, counted again here, no window with more than its limit;
the database must hold no problem without an end of its telling.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from common.contracts import Envelope, Message
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.ids import new_id, order_number
from common.messaging import Broker
from suite_local.ports import free_port
from tests.bench.figures import figure, percentile
from tests.bench.goals import AIMS
from tests.bench.rig import Servers, fetch, process, servers, wait_for

EVENTS = int(os.environ.get("BENCH_STORM_EVENTS", "10000"))
SECONDS = float(os.environ.get("BENCH_STORM_SECONDS", "60"))
PAGES = int(os.environ.get("BENCH_STORM_PAGES", "8"))
REPLICAS = 2
DRAIN_S = 300.0  # the lists of orders that a digest named follow at their chat's twenty a minute
AGAIN_AFTER = 500  # events, about three seconds
ZONES = ("moscow", "petersburg", "kazan", "other")
ROUTES: dict[str, Any] = {
    "destinations": {
        "on-call": {"channel": "telegram", "address": "-1001000000901"},
        **{f"zone-{zone}": {"channel": "telegram", "address": f"-100100000080{n}"} for n, zone in enumerate(ZONES)},
        "team": {"channel": "slack", "address": "#orders-notifications"},
    },
    "routes": [
        {"name": "everything", "match": {"kind": ["problem.*"]}, "to": ["on-call", "team"]},
        *({"name": zone, "match": {"zone": [zone]}, "to": [f"zone-{zone}"]} for zone in ZONES),
    ],
}


class Storm:
    """The events, in their order, and when the broker had each that must page."""

    def __init__(self) -> None:
        self.chance = random.Random(6)  # noqa: S311 - which event comes next
        self.raised: list[str] = []
        self.paged_at: dict[str, datetime] = {}
        self._pages = sorted(self.chance.sample(range(EVENTS // 20, EVENTS), PAGES))

    def event(self, index: int) -> tuple[Message, str | None]:
        """The event of that place, and the mark in its text when it must page."""
        now = datetime.now(UTC)
        if index in self._pages:
            mark = f"PAGE-{self._pages.index(index)}-"
            return _raised(f"page:{index}", kind=f"stuck_{index}", severity="critical", summary=mark, at=now), mark
        if self._pages and index > self._pages[0] + AGAIN_AFTER and index % 25 == 0:
            known = self._pages[0]  # of a group that has paged: the digest has it
            return _raised(f"more:{index}", kind=f"stuck_{known}", severity="critical", summary="again", at=now), None
        draw = self.chance.random()
        if self.raised and draw < 0.1:
            return _raised(self.chance.choice(self.raised), kind="order_conflict", severity="warning", at=now), None
        if self.raised and draw < 0.2:
            over = self.raised.pop(self.chance.randrange(len(self.raised)))
            return ProblemResolvedV1(fingerprint=over, summary="gone", service="orchestrator", occurred_at=now), None
        self.raised.append(f"w:{index}")
        kind = f"kind_{index % 20}"
        return _raised(f"w:{index}", kind=kind, severity="warning", zone=ZONES[index % 4], at=now), None


def _raised(fingerprint: str, *, at: datetime, summary: str = "a hook came late", **values: Any) -> ProblemRaisedV1:
    return ProblemRaisedV1(
        fingerprint=fingerprint,
        summary=summary,
        service="orchestrator",
        order_number=order_number("sbermarket", fingerprint),
        details={"late": "order.changed"},
        occurred_at=at,
        **values,
    )


async def main() -> None:
    """Let the storm come, wait until it is over, and print what was seen."""
    async with servers("notifier") as stand:
        with tempfile.TemporaryDirectory(prefix="suite-bench-") as directory, ExitStack() as programs:
            sandbox = await asyncio.to_thread(_sandbox, programs)
            for replica in range(REPLICAS):
                await asyncio.to_thread(_notifier, programs, stand, sandbox, Path(directory), replica)
            await warm_up(stand)
            storm = Storm()
            lasted = await blow(stand, storm)
            drained = await drain(stand)
            await report(stand, storm, sandbox[0], lasted=lasted, drained=drained)


def _sandbox(programs: ExitStack) -> tuple[str, int]:
    port, smtp = free_port(), free_port()
    command = [sys.executable, "-m", "sandbox", "--port", str(port), "--smtp-port", str(smtp)]
    child = programs.enter_context(process(command))
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: fetch(f"{url}/sandbox/telegram/log"), child)
    return url, smtp


def _notifier(programs: ExitStack, stand: Servers, sandbox: tuple[str, int], directory: Path, replica: int) -> None:
    (directory / "tokens.json").write_text(
        json.dumps({"tokens": [{"name": "viewer", "token": "viewer-token", "role": "viewer"}]})
    )
    (directory / "routes.json").write_text(json.dumps(ROUTES))
    port = free_port()
    values = {
        "PORT": str(port),
        "POSTGRES_DSN": stand.dsn,
        "AMQP_URL": stand.amqp_url,
        "TOKENS_FILE": str(directory / "tokens.json"),
        "ROUTES_FILE": str(directory / "routes.json"),
        "TELEGRAM_TOKEN": "4242:bench-token",
        "TELEGRAM_API_URL": sandbox[0],
        "SLACK_TOKEN": "xoxb-bench",
        "SLACK_API_URL": f"{sandbox[0]}/api/",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(sandbox[1]),
        "REPLICA": f"notifier-{replica + 1}",
        "HEARTBEAT_EVERY": "0",
        "STORM_QUIET": "10",
        "LOG_LEVEL": "WARNING",
    }
    environment = {f"NOTIFIER_{name}": value for name, value in values.items()}
    child = programs.enter_context(process([sys.executable, "-m", "notifier", "serve"], environment))
    wait_for(lambda: fetch(f"http://127.0.0.1:{port}/readyz"), child)


async def warm_up(stand: Servers) -> None:
    """Return when both chats have had a message: importing the providers' clients takes seconds, and is no part of a storm."""
    broker = Broker(stand.amqp_url, name="bench-warm-up")
    running = asyncio.create_task(broker.run())
    await broker.wait_ready()
    for turn in range(4 * REPLICAS):  # every replica has its turn at sending
        now = datetime.now(UTC)
        message = _raised(f"warm-up:{turn}", kind="warm_up", severity="warning", zone=ZONES[turn % 4], at=now)
        envelope = Envelope.of(message, event_id=new_id(), source="/bench", subject=None, time=now)
        await broker.publisher.publish(envelope, deadline=30.0)
    await broker.stop()
    await running
    await drain(stand, events=4 * REPLICAS)
    connection = await asyncpg.connect(stand.dsn)
    await connection.execute("DELETE FROM inbox")
    await connection.close()
    await asyncio.sleep(60.0 if SECONDS >= 30 else 1.0)  # the group's minute is empty again


async def blow(stand: Servers, storm: Storm) -> float:
    """Publish everything at an even pace, confirmed; return how many seconds it took."""
    broker = Broker(stand.amqp_url, name="bench")
    running = asyncio.create_task(broker.run())
    await broker.wait_ready()
    started = time.monotonic()
    open_ones: set[asyncio.Task[None]] = set()

    async def publish(message: Message, mark: str | None) -> None:
        """Publish one event; remember when the broker had it if it must page."""
        now = datetime.now(UTC)
        envelope = Envelope.of(message, event_id=new_id(), source="/bench", subject=None, time=now)
        await broker.publisher.publish(envelope, deadline=30.0)
        if mark is not None:
            storm.paged_at[mark] = datetime.now(UTC)

    for index in range(EVENTS):
        await asyncio.sleep(max(0.0, started + index * SECONDS / EVENTS - time.monotonic()))
        task = asyncio.create_task(publish(*storm.event(index)))
        open_ones.add(task)
        task.add_done_callback(open_ones.discard)
    await asyncio.gather(*open_ones)
    lasted = time.monotonic() - started
    await broker.stop()
    await running
    return lasted


async def drain(stand: Servers, *, events: int = EVENTS) -> float:
    """Wait until every event was taken in and every delivery is at its end; return how many seconds that took."""
    started = time.monotonic()
    connection = await asyncpg.connect(stand.dsn)
    try:
        while time.monotonic() - started < DRAIN_S:
            taken = await connection.fetchval("SELECT count(*) FROM inbox")
            left = await connection.fetchval(
                "SELECT count(*) FROM deliveries WHERE state NOT IN ('sent', 'failed', 'dropped')"
            )
            stale = await connection.fetchval("SELECT count(*) FROM posts WHERE wanted > shown")
            if taken >= events and left == 0 and stale == 0:
                break
            await asyncio.sleep(0.5)
    finally:
        await connection.close()
    return time.monotonic() - started


async def report(stand: Servers, storm: Storm, sandbox: str, *, lasted: float, drained: float) -> None:
    """Print the figures."""
    telegram, slack = await log_of(sandbox, "telegram"), await log_of(sandbox, "slack")
    refused = sum(entry["status"] == 429 for entry in telegram + slack)
    figure(
        "P6", "messages that exceeded a limit (the sandbox's own 429s)", refused, goal=0, events=EVENTS,
        seconds=round(lasted, 1), telegram_calls=len(telegram), slack_calls=len(slack),
    )  # fmt: skip
    worst = worst_windows(telegram, slack)
    over = sum(seen > allowed for seen, allowed in worst.values())
    figure(
        "P6", "windows over their limit, counted again", over, goal=0, **{n: f"{a}/{b}" for n, (a, b) in worst.items()}
    )
    waits = page_waits(storm, telegram, slack)
    figure(
        "P6", "critical page p99 ms", round(percentile(waits, 99)), goal=AIMS["critical page, p99 ms"],
        p50_ms=round(percentile(waits, 50)), max_ms=round(max(waits)), pages=len(waits), expected=2 * PAGES,
    )  # fmt: skip
    connection = await asyncpg.connect(stand.dsn)
    try:
        row = await connection.fetchrow(
            """SELECT count(*) AS incidents,
                      count(*) FILTER (WHERE NOT EXISTS (
                          SELECT FROM notices n JOIN deliveries d ON d.notice_id = n.id WHERE n.incident_id = i.id
                      ) OR EXISTS (
                          SELECT FROM notices n JOIN deliveries d ON d.notice_id = n.id
                          WHERE n.incident_id = i.id AND d.state NOT IN ('sent', 'failed', 'dropped'))) AS open
               FROM incidents i"""
        )
        states = await connection.fetch("SELECT state, count(*) AS n FROM deliveries GROUP BY 1")
        digested = await connection.fetchval("SELECT count(*) FROM deliveries WHERE digest_id IS NOT NULL")
        taken = await connection.fetchval("SELECT count(*) FROM inbox")
        known = await connection.fetch(
            "SELECT i.summary, min(n.created_at) AS at FROM notices n JOIN incidents i ON i.id = n.incident_id"
            " WHERE i.summary LIKE 'PAGE-%' GROUP BY 1"
        )
    finally:
        await connection.close()
    assert row is not None
    intake = [(each["at"] - storm.paged_at[each["summary"]]).total_seconds() * 1000 for each in known]
    figure("P6", "of that, from the broker to the log, max ms", round(max(intake)), pages=len(intake))
    figure(
        "P6", "incidents without a terminal delivery", row["open"], goal=0, incidents=row["incidents"],
        taken_in=taken, drained_s=round(drained, 1), **{state["state"]: state["n"] for state in states},
    )  # fmt: skip
    shown = [entry for entry in telegram if "🌪" in str(entry["request"].get("text", ""))]
    edits = sum(entry["operation"] == "editMessageText" for entry in shown)
    figure("P6", "deliveries told in a digest", digested, digests=len(shown) - edits, edits=edits)


async def log_of(sandbox: str, system: str) -> list[dict[str, Any]]:
    """Everything that a provider received."""
    text = await asyncio.to_thread(fetch, f"{sandbox}/sandbox/{system}/log")
    items: list[dict[str, Any]] = json.loads(text)["items"]
    return items


def worst_windows(telegram: Sequence[dict[str, Any]], slack: Sequence[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """The fullest window of each limit, counted over the log: name → (seen, allowed)."""
    chats: dict[str, list[datetime]] = defaultdict(list)
    for entry in telegram:
        if "chat_id" in entry["request"]:
            chats[str(entry["request"]["chat_id"])].append(_at(entry))
    posts: dict[str, list[datetime]] = defaultdict(list)
    updates: list[datetime] = []
    for entry in slack:
        if entry["operation"] == "chat.update":
            updates.append(_at(entry))
        else:
            posts[str(entry["request"]["channel"])].append(_at(entry))
    second, minute = timedelta(seconds=1), timedelta(minutes=1)
    return {
        "bot_a_second": (_fullest([_at(entry) for entry in telegram], second), 30),
        "chat_a_second": (max((_fullest(times, second) for times in chats.values()), default=0), 1),
        "group_a_minute": (max((_fullest(times, minute) for times in chats.values()), default=0), 20),
        "slack_channel_a_second": (max((_fullest(times, second) for times in posts.values()), default=0), 1),
        "slack_updates_a_minute": (_fullest(updates, minute), 50),
    }


def _fullest(times: Sequence[datetime], period: timedelta) -> int:
    ordered = sorted(times)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= period:
            first += 1
        most = max(most, last - first + 1)
    return most


def page_waits(storm: Storm, *logs: Sequence[dict[str, Any]]) -> list[float]:
    """How long each page took to each of its channels, in milliseconds; one that never came counts as an hour."""
    waits: list[float] = []
    for log in logs:
        texts = [(_at(entry), json.dumps(entry["request"], ensure_ascii=False)) for entry in log if entry["effect"]]
        for mark, since in storm.paged_at.items():
            came = next((at for at, text in texts if mark in text), since + timedelta(hours=1))
            waits.append((came - since).total_seconds() * 1000)
    return waits


def _at(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["time"])


if __name__ == "__main__":
    asyncio.run(main())
