"""Dead letters are read, mended, dismissed, decided by the hundred; their problem ends with the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.contracts import Envelope
from common.contracts.journal import JournalEntryV1
from common.health import Health
from common.http import HttpServer, TokenBook, build_app
from common.messaging import Broker, Consumer, MessagingMetrics, OutboxRelay
from common.messaging.consumer import Handler
from common.messaging.topology import ORCHESTRATOR_JOURNAL
from common.postgres import Connection, Database
from common.service import dead_letter_routes
from tests.integration.common.messaging.replicas import PHONE, QUEUE, WHY, Replicas, entry
from tests.support.bulk import MANY
from tests.support.crash_points import KilledError
from tests.support.servers import eventually

GROUP = f"dead_letter:{QUEUE}:journal:poison"


@pytest.fixture
async def replicas(database: Database) -> AsyncIterator[Replicas]:
    """Both of them serve nothing but dead letters."""
    tokens = TokenBook([(role, f"t-{role}", role) for role in ("viewer", "operator")])

    def app() -> Any:
        return build_app(
            service="test",
            routes=dead_letter_routes(database, service="test"),
            health=Health(),
            registry=CollectorRegistry(),
            tokens=tokens,
            database=database,
        )

    async with HttpServer(app(), "127.0.0.1", 0) as one, HttpServer(app(), "127.0.0.1", 0) as other:
        yield Replicas(database, (one.url, other.url))


async def test_a_letters_message_is_readable_and_masked_for_viewers(replicas: Replicas) -> None:
    [letter] = await replicas.dead(entry("e1", summary=f"клиент {PHONE}", customer={"name": "Анна"}))
    status, whole = await replicas.ask("GET", f"dead-letters/{letter}")
    _, shown = await replicas.ask("GET", f"dead-letters/{letter}", who="viewer")
    assert (status, whole["body"]["id"], whole["data"]["customer"], whole["state"]) == (
        200,
        "e1",
        {"name": "Анна"},
        "open",
    )
    assert (shown["queue"], shown["reason"], shown["body_base64"]) == (QUEUE, "poison", None)
    assert "Анна" not in str(shown)
    assert "123-45" not in str(shown)
    assert await replicas.sql("SELECT action FROM audit_log") == ["customer_data.read"]
    assert (await replicas.ask("GET", "dead-letters/99"))[0] == 404


async def test_a_mended_message_goes_to_its_queue_under_the_same_id(replicas: Replicas) -> None:
    [letter] = await replicas.dead(entry("e1", occurred_at="yesterday"))
    good = entry("e1").data
    status, refused = await replicas.decide(f"{letter}/mend", data={**(good or {}), "occurred_at": "tomorrow"})
    assert (status, [field["field"] for field in refused["fields"]]) == (422, ["data.occurred_at"])
    assert (await replicas.decide(f"{letter}/mend", data=good, dry_run=True))[0] == 200
    assert await replicas.outgoing(QUEUE) == []
    status, done = await replicas.decide(f"{letter}/mend", data=good)
    ended = ["alerts.problem.resolved.v1 of N1: who was told of it", "alerts.problem.resolved.v1: who was told of it"]
    mended = {"id": letter, "queue": QUEUE, "event_id": "e1", "state": "mended", "dry_run": False, "notices": ended}
    assert (status, done) == (200, mended)
    [sent] = await replicas.outgoing(QUEUE)
    assert (sent.id, sent.data) == ("e1", good)
    _, shown = await replicas.ask("GET", f"dead-letters/{letter}")
    assert (shown["state"], shown["mended"]["data"], shown["data"]["occurred_at"]) == ("mended", good, "yesterday")
    assert (await replicas.decide(f"{letter}/replay"))[0] == 409


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"id": "another"}, "id", "must_stay"),
        ({"type": "journal.unheard.of.v1"}, "type", "unknown_type"),
        ({"type": "alerts.heartbeat.sent.v1"}, "type", "not_of_this_queue"),
        ({"time": "noon"}, "time", "datetime_from_date_parsing"),
        ({"data": None}, "data", "missing"),
    ],
)
async def test_a_mended_message_that_does_not_fit_is_refused_with_the_field(
    replicas: Replicas, changes: dict[str, Any], field: str, code: str
) -> None:
    [letter] = await replicas.dead(entry("e1"))
    body = {**entry("e1").model_dump(mode="json", exclude_none=True), **changes}
    status, refused = await replicas.decide(f"{letter}/mend", body=body)
    assert status == 422
    assert (field, code) in [(fault["field"], fault["code"]) for fault in refused["fields"]]
    assert await replicas.sql("SELECT id FROM dead_letters WHERE replayed_at IS NULL") == [letter]


async def test_of_two_replicas_that_decide_at_once_one_does(replicas: Replicas) -> None:
    letters = await replicas.dead(*(entry(f"e{number}") for number in range(10)))
    answers = await asyncio.gather(
        *(
            replicas.decide(f"{letter}/{verb}", at)
            for letter in letters
            for at, verb in enumerate(("replay", "dismiss"))
        )
    )
    assert sorted(status for status, _ in answers) == [200] * 10 + [409] * 10
    decided = await replicas.sql("SELECT decision FROM dead_letters")
    assert len(await replicas.outgoing(QUEUE)) == decided.count("replayed")
    assert len(decided) == 10


async def test_the_problem_ends_with_the_last_letter_and_begins_anew_with_the_next(replicas: Replicas) -> None:
    letters = await replicas.dead(*(entry(f"e{number}") for number in range(3)))
    await replicas.dead(entry("other"), reason="delivery_limit")
    for verb, letter in zip(("replay", "dismiss"), letters, strict=False):
        await replicas.decide(f"{letter}/{verb}")
    assert await replicas.ended() == []
    await replicas.decide(f"{letters[2]}/mend", data=entry("e2").data)
    raised = await replicas.outgoing("alerts.problem.raised.v1")
    acts = [(act.data or {}) for act in await replicas.outgoing(JournalEntryV1.TYPE)]
    assert [(act["kind"], act["order_number"], act["actor"], act["details"]["reason"]) for act in acts] == [
        (f"dead_letter.{what}", "N1", "operator", WHY["reason"]) for what in ("replayed", "dismissed", "mended")
    ]
    # Its own, and that by which releases before this one knew all letters of a handler and reason.
    assert [(event.data or {})["fingerprint"] for event in raised] == [f"{GROUP}:N1"] * 3 + [
        f"dead_letter:{QUEUE}:journal:delivery_limit:N1"
    ]
    assert await replicas.ended() == [f"{GROUP}:N1", GROUP]
    assert [(event.data or {})["details"]["letters"] for event in raised] == ["1", "2", "3", "1"]
    assert [(event.data or {})["details"]["letter"] for event in raised[:3]] == [str(letter) for letter in letters]
    await replicas.dead(entry("e9"))
    assert await replicas.sql("SELECT routing_key FROM outbox WHERE exchange = 'alerts' ORDER BY id DESC LIMIT 2") == [
        "alerts.problem.raised.v1",
        "alerts.problem.resolved.v1",
    ]


async def test_two_replicas_that_decide_the_last_letters_end_the_problem_once(replicas: Replicas) -> None:
    for round_ in range(5):
        letters = await replicas.dead(entry(f"a{round_}"), entry(f"b{round_}"))
        await asyncio.gather(*(replicas.decide(f"{letter}/dismiss", at) for at, letter in enumerate(letters)))
        assert sorted(await replicas.ended()) == [GROUP] * (round_ + 1) + [f"{GROUP}:N1"] * (round_ + 1)


async def test_each_orders_letters_are_a_problem_of_their_own(replicas: Replicas) -> None:
    names = ("A", "B", None, "A")
    letters = await replicas.dead(*(entry(f"e{number}", of=name) for number, name in enumerate(names)))
    raised = [event.data or {} for event in await replicas.outgoing("alerts.problem.raised.v1")]
    assert [(each["fingerprint"], each["order_number"], each["details"]["letters"]) for each in raised] == [
        (f"{GROUP}:A", "A", "1"),
        (f"{GROUP}:B", "B", "1"),
        (GROUP, None, "1"),
        (f"{GROUP}:A", "A", "2"),
    ]
    await replicas.decide(f"{letters[1]}/dismiss")
    assert await replicas.ended() == [f"{GROUP}:B"]
    await replicas.decide("dismiss", filter={"subject": "A", "open": True}, limit=10)
    assert await replicas.ended() == [f"{GROUP}:B", f"{GROUP}:A"]
    await replicas.decide(f"{letters[2]}/dismiss")
    assert await replicas.ended() == [f"{GROUP}:B", f"{GROUP}:A", GROUP]


async def test_letters_are_replayed_by_a_filter_exactly_as_planned(replicas: Replicas) -> None:
    letters = await replicas.dead(*(entry(f"e{number}") for number in range(20)))
    other = await replicas.dead(entry("other"), reason="undecodable")
    asked: dict[str, Any] = {"filter": {"reason": "poison", "open": True}, "limit": 1000}
    status, planned = await replicas.decide("replay", dry_run=True, **asked)
    assert (status, planned["matched"], {item["outcome"] for item in planned["items"]}) == (200, 20, {"replayed"})
    for letter in letters[:10]:
        await replicas.decide(f"{letter}/dismiss", 1)
    answers = await asyncio.gather(*(replicas.decide("replay", at, plan=planned["plan"]) for at in (0, 1)))
    outcomes = {item["id"]: item["outcome"] for item in answers[0][1]["items"]}
    assert outcomes == dict.fromkeys(letters[:10], "changed_since") | dict.fromkeys(letters[10:], "replayed")
    assert answers[0][1]["items"] == answers[1][1]["items"]
    assert sorted(event.id for event in await replicas.outgoing(QUEUE)) == sorted(
        f"e{number}" for number in range(10, 20)
    )
    assert await replicas.sql("SELECT id FROM dead_letters WHERE replayed_at IS NULL") == other
    assert await replicas.sql("SELECT count(*) FROM audit_log WHERE action = 'dead_letter.replay'") == [10]


async def test_many_letters_are_mended_by_one_patch_and_each_is_judged_alone(replicas: Replicas) -> None:
    letters = await replicas.dead(entry("e1", actor=7), entry("e2", actor=7, kind=None))
    status, done = await replicas.decide("mend", ids=letters, patch={"actor": "anna", "details": {"why": "a number"}})
    assert (status, [item["outcome"] for item in done["items"]]) == (200, ["mended", "refused"])
    [sent] = await replicas.outgoing(QUEUE)
    assert (sent.id, (sent.data or {})["actor"], (sent.data or {})["details"]) == ("e1", "anna", {"why": "a number"})


class DiesAfterPublishing(Database):
    """The relay's session: its process is gone before it can note what the broker confirmed."""

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """Open a session that ends with its process at the statement that forgets published rows."""
        async with super().session() as connection:
            yield _Session(connection)


class _Session:
    def __init__(self, real: Connection) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def fetch(self, query: str, *arguments: Any) -> Any:
        """Run a statement, unless the process is gone."""
        if "DELETE FROM outbox" in query and arguments[-1]:
            raise KilledError
        return await self._real.fetch(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> Any:
        """As ``fetch``."""
        if "DELETE FROM outbox" in query:
            raise KilledError
        return await self._real.execute(query, *arguments)


async def test_a_replay_published_twice_because_the_relay_died_takes_effect_once(
    replicas: Replicas, broker: Broker, metrics: MessagingMetrics, amqp_url: str
) -> None:
    """The broker has confirmed the message, and the relay dies before it can say so: it is published again."""
    database = replicas.database
    [letter] = await replicas.dead(entry("e1"))
    await replicas.sql("DELETE FROM outbox RETURNING id")  # the problem, which nobody takes here
    async with database.acquire() as connection:
        await connection.execute("CREATE TABLE effects (event_id text)")

    async def handle(connection: Connection, events: Sequence[Envelope]) -> None:
        mine = [(event.id,) for event in events if event.id == "e1"]
        await connection.executemany("INSERT INTO effects VALUES ($1)", mine)

    consumer = Consumer(
        amqp_url,
        ORCHESTRATOR_JOURNAL,
        database=database,
        name="journal",
        service="test",
        handler=handle,
        metrics=metrics,
    )
    dying = DiesAfterPublishing(database.dsn, application_name="relay")
    await dying.open()
    relay = OutboxRelay(dying, broker.publisher, metrics=metrics)
    await replicas.decide(f"{letter}/replay")
    consuming = asyncio.create_task(consumer.run())
    with pytest.raises(KilledError):
        await asyncio.wait_for(relay.run(), 60)
    relay = OutboxRelay(database, broker.publisher, metrics=metrics)
    relaying = asyncio.create_task(relay.run())

    async def seen_twice() -> bool:
        repeats = metrics.consumed.labels(QUEUE, "repeat")._value.get()
        return repeats >= 1 and await replicas.sql("SELECT event_id FROM effects") == ["e1"]

    await eventually(seen_twice, what="the repeat")
    await relay.stop()
    await consumer.stop()
    await asyncio.gather(consuming, relaying)
    await dying.close()
    assert await replicas.sql("SELECT event_id FROM effects") == ["e1"]


async def test_what_became_of_a_message_that_was_sent_again_is_shown(
    replicas: Replicas, broker: Broker, metrics: MessagingMetrics, amqp_url: str
) -> None:
    database = replicas.database
    good, bad, poor, open_, away = await replicas.dead(
        *(entry(name) for name in ("good", "bad", "poor", "open", "away"))
    )
    consumer = consumer_of(amqp_url, database, metrics, handle=gives_up_on("bad", "poor"))
    relay = OutboxRelay(database, broker.publisher, metrics=metrics)
    for letter in (good, bad):
        assert (await replicas.decide(f"{letter}/replay"))[0] == 200
    assert (await replicas.decide(f"{poor}/mend", data={**(entry("poor").data or {}), "actor": "good"}))[0] == 200
    assert (await replicas.decide(f"{away}/dismiss"))[0] == 200
    letters = (good, bad, poor, open_, away)
    assert await became(replicas, *letters) == ["on_its_way"] * 3 + [None] * 2
    tasks = [asyncio.create_task(consumer.run()), asyncio.create_task(relay.run())]

    async def ended() -> bool:
        return await became(replicas, *letters) == ["handled", "dead_again", "handled", None, None]

    await eventually(ended, what="what became of them")
    await relay.stop()
    await consumer.stop()
    await asyncio.gather(*tasks)
    [again] = [item["id"] for item in (await replicas.ask("GET", "dead-letters?open=true"))[1]["items"]][:1]
    assert (again > away, await became(replicas, again)) == (True, [None])


async def became(replicas: Replicas, *letters: int) -> list[str | None]:
    """What the letters say of it."""
    return [(await replicas.ask("GET", f"dead-letters/{letter}", who="viewer"))[1]["became"] for letter in letters]


def gives_up_on(*names: str) -> Handler:
    """A handler that cannot carry out some events, unless somebody good has written them."""

    async def handle(_connection: Connection, events: Sequence[Envelope]) -> None:
        if any(event.id in names and (event.data or {}).get("actor") != "good" for event in events):
            raise ValueError("not this one")

    return handle


def consumer_of(amqp_url: str, database: Database, metrics: MessagingMetrics, *, handle: Handler) -> Consumer:
    """A consumer that is named as its queue, as those of the services are."""
    return Consumer(
        amqp_url,
        ORCHESTRATOR_JOURNAL,
        database=database,
        name=QUEUE,
        service="test",
        handler=handle,
        metrics=metrics,
        max_attempts=2,
    )


@pytest.mark.parametrize(
    ("verb", "said", "outcome"),
    [("replay", {}, "replayed"), ("mend", {"patch": {"actor": "anna"}}, "mended"), ("dismiss", {}, "dismissed")],
)
async def test_many_letters_are_decided_as_planned_and_half_left_alone(
    replicas: Replicas, verb: str, said: dict[str, Any], outcome: str
) -> None:
    letters = await replicas.dead(*(entry(f"e{number}") for number in range(MANY)))
    wanted = {"filter": {"queue": QUEUE, "state": "open"}, "limit": MANY, **said}
    status, plan = await replicas.decide(verb, **wanted, dry_run=True)
    assert (status, plan["matched"], plan["more"]) == (200, MANY, False)
    assert [item["outcome"] for item in plan["items"]] == [outcome] * MANY
    meanwhile = "dismiss" if verb != "dismiss" else "replay"
    assert (await replicas.decide(meanwhile, ids=letters[: MANY // 2]))[0] == 200
    answers = await asyncio.gather(*(replicas.decide(verb, plan=plan["plan"], **said) for _ in range(2)))
    expected = dict.fromkeys(letters[: MANY // 2], "changed_since") | dict.fromkeys(letters[MANY // 2 :], outcome)
    for status, answer in answers:
        assert (status, {item["id"]: item["outcome"] for item in answer["items"]}) == (200, expected)
    assert sorted(answer["already_applied"] for _, answer in answers) == [False, True]
    gone = range(MANY // 2) if verb == "dismiss" else range(MANY // 2, MANY)
    assert sorted(event.id for event in await replicas.outgoing(QUEUE)) == sorted(f"e{number}" for number in gone)
