"""A notice that nothing keeps waiting is claimed in the transaction that takes its event in, and sent without being looked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from common.contracts.alerts import ProblemResolvedV1
from common.contracts.orders import OrderChangedV1, OrderDifference
from common.postgres import Connection, Database
from notifier.delivery.dispatch import Dispatcher
from notifier.delivery.outcomes import NotSent, Sent
from notifier.messages.words import Words
from tests.integration.notifier.factories import NOW, PICKERS, a_problem, an_order, created, enveloped
from tests.support.notifier_replica import Replica

TWO_CHATS: dict[str, Any] = {
    "destinations": {
        "all": {"channel": "telegram", "address": str(PICKERS)},
        "store": {"channel": "telegram", "address": "77"},
    },
    "routes": [{"name": "everywhere", "to": ["all", "store"]}],
}


MakeReplica = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def make_replica(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[MakeReplica]:
    """A function that makes replicas on one database, with the windows that a first message leaves."""
    dsn, opened = await database_for("notifier"), list[Database]()

    async def make(**options: Any) -> Replica:
        database = Database(dsn, application_name="test")
        await database.open()
        opened.append(database)
        replica = Replica(database, **options)
        if len(opened) == 1:
            await replica.take_in(created("FIRST"))
            assert replica.handed == []  # nobody knows the windows yet: a sender makes them
            while (claim := await replica.deliver.claim()) is not None:
                await replica.deliver.record(claim, await replica.deliver.send(claim))
            await a_quiet_while(replica)
            replica.told, replica.woken = [], 0
        return replica

    yield make
    for database in opened:
        await database.close()


async def a_quiet_while(replica: Replica) -> None:
    """Have the last messages so long ago that every limit is open."""
    async with replica.database.acquire() as connection:
        await connection.execute("UPDATE rate_windows SET stamps = '{}'")


def changed(version: int, external_id: str = "H123") -> OrderChangedV1:
    """A later version of an order."""
    return OrderChangedV1(
        order=an_order(external_id, version=version), difference=OrderDifference(), notify=True, occurred_at=NOW
    )


async def test_it_is_claimed_as_it_is_added_and_sent_without_a_look(make_replica: MakeReplica) -> None:
    replica = await make_replica()
    await replica.take_in(created())
    [claim] = replica.handed
    assert await replica.states() == ["sent", "sending"]
    assert await replica.deliver.claim() is None  # the lease holds against every sender
    assert await replica.carry_out() == [False]
    assert await replica.states() == ["sent", "sent"]
    assert (len(replica.told), replica.told[0].key, replica.woken) == (1, claim.message.key, 0)
    [row] = await replica.rows("SELECT attempts, possibly_repeated FROM deliveries ORDER BY id DESC LIMIT 1")
    assert row == {"attempts": 1, "possibly_repeated": False}
    [lane] = await replica.rows("SELECT claim, lease_until FROM lanes")
    assert lane == {"claim": None, "lease_until": None}


async def test_it_reads_as_one_that_a_sender_has_looked_for(make_replica: MakeReplica) -> None:
    replica = await make_replica()
    await replica.take_in(created())
    [at_once] = replica.handed
    again = NotSent("held up")
    await replica.deliver.record(at_once, again)
    await a_quiet_while(replica)
    async with replica.database.acquire() as connection:
        await connection.execute("UPDATE deliveries SET not_before = now() WHERE state = 'pending'")
    looked_for = await replica.deliver.claim()
    assert looked_for is not None
    assert looked_for.message == at_once.message


async def test_an_orders_notice_takes_few_statements(make_replica: MakeReplica) -> None:
    replica, seen = await make_replica(), list[str]()

    def note(record: Any) -> None:
        seen.append(record.query)

    async with replica.database.acquire() as connection:
        connection.add_query_logger(note)
    await replica.take_in(created())
    taken_in = len(seen)
    await replica.carry_out()
    # Adding, the free chats, the windows, the lease; then the outcome: free the chat, the delivery, the journal. With BEGIN and COMMIT.
    assert (taken_in, len(seen) - taken_in) == (6, 5), seen


@pytest.mark.parametrize("nth", range(4))
async def test_dying_before_the_commit_leaves_nothing(make_replica: MakeReplica, nth: int) -> None:
    replica = await make_replica()
    before = await replica.rows("SELECT * FROM rate_windows ORDER BY key")
    async with replica.database.acquire() as connection:
        with pytest.raises(asyncpg.AdminShutdownError):
            async with connection.transaction():
                await replica.ingest(Dying(connection, nth), [enveloped(created())])  # type: ignore[arg-type]  # a connection, but for its end
    assert await replica.states() == ["sent"]
    assert await replica.rows("SELECT * FROM rate_windows ORDER BY key") == before
    assert await replica.rows("SELECT 1 FROM lanes WHERE claim IS NOT NULL") == []
    await replica.take_in(created())  # the broker delivers it again
    await replica.carry_out()
    assert (await replica.states(), len(replica.told)) == (["sent", "sent"], 1)


class Dying:
    """A connection whose server ends it after the nth statement."""

    def __init__(self, connection: Connection, nth: int) -> None:
        self._connection, self._left = connection, nth

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        """Run it, and perhaps end."""
        return await self._run(self._connection.fetch(statement, *arguments))

    async def execute(self, statement: str, *arguments: Any) -> Any:
        """Run it, and perhaps end."""
        return await self._run(self._connection.execute(statement, *arguments))

    async def _run(self, statement: Awaitable[Any]) -> Any:
        answer = await statement
        self._left -= 1
        if self._left < 0:
            raise asyncpg.AdminShutdownError("terminating connection")
        return answer


@pytest.mark.parametrize("after_the_call", [False, True])
async def test_dying_after_the_commit_it_comes_when_the_lease_ends(
    make_replica: MakeReplica, after_the_call: bool
) -> None:
    victim, survivor = await make_replica(), await make_replica()
    await victim.take_in(created())
    [claim] = victim.handed
    if after_the_call:
        await victim.deliver.send(claim)
    assert await survivor.deliver.claim() is None
    async with survivor.database.acquire() as connection:  # time passes
        await connection.execute("UPDATE lanes SET lease_until = now() - interval '1 second' WHERE claim IS NOT NULL")
        await connection.execute(
            "UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE claim IS NOT NULL"
        )
    assert await survivor.queues.expire() == 1
    await a_quiet_while(survivor)
    again = await survivor.deliver.claim()
    assert again is not None
    await survivor.deliver.record(again, await survivor.deliver.send(again))
    assert await survivor.states() == ["sent", "sent"]
    [[_, mark], *_] = [list(page) for page in survivor.told[0].pages]
    assert mark == Words("en")["possibly_repeated"]
    await victim.deliver.record(claim, Sent(message_id="late"))  # the victim only slept: the fence refuses what it says
    [row] = await survivor.rows("SELECT message_ids, attempts FROM deliveries ORDER BY id DESC LIMIT 1")
    assert row == {"message_ids": ["1"], "attempts": 2}


async def test_two_replicas_at_once_send_in_turn_and_wait_for_nobody(make_replica: MakeReplica) -> None:
    first, second = await make_replica(), await make_replica()
    async with first.database.transaction() as connection:
        committed = await first.ingest(connection, [enveloped(created("A"))])
        async with asyncio.timeout(60):
            await second.take_in(created("B"))  # while the other's transaction holds chat and windows
    committed()
    assert (len(first.handed), len(second.handed), second.woken) == (1, 0, 1)
    assert await second.deliver.claim() is None
    assert await first.carry_out() == [True]  # it is told that more waits
    await a_quiet_while(first)
    claim = await second.deliver.claim()
    assert claim is not None
    await second.deliver.record(claim, await second.deliver.send(claim))
    assert await second.states() == ["sent"] * 3
    assert [len(each.told) for each in (first, second)] == [1, 1]


async def test_versions_of_an_order_keep_their_order(make_replica: MakeReplica) -> None:
    replica = await make_replica()
    await replica.take_in(created())
    await replica.take_in(changed(2))  # the first is on its way
    assert (len(replica.handed), await replica.states()) == (1, ["sent", "sending", "pending"])
    assert await replica.carry_out() == [True]
    await a_quiet_while(replica)
    await replica.take_in(changed(3))  # the second still waits
    assert (replica.handed, await replica.states()) == ([], ["sent", "sent", "pending", "pending"])
    await replica.take_in(changed(5, "GAP"))  # its fourth may be on its way in
    assert replica.handed == []


async def test_versions_that_come_crossed_in_a_batch_are_left_to_the_sender(make_replica: MakeReplica) -> None:
    replica = await make_replica()
    await replica.take_in(changed(2), created())
    assert (replica.handed, replica.woken) == ([], 1)
    claim = await replica.deliver.claim()
    assert claim is not None
    assert [entry.waiting.kind for entry in claim.entries] == ["order.created"]


async def test_a_batch_claims_one_message_a_chat_and_the_rest_waits(make_replica: MakeReplica) -> None:
    replica = await make_replica(routes=TWO_CHATS)
    await replica.take_in(*(created(f"H{number}") for number in range(2)))
    assert sorted(claim.chat for claim in replica.handed) == sorted({claim.chat for claim in replica.handed})
    assert (len(replica.handed), replica.woken) == (2, 1)
    assert (await replica.states()).count("pending") == 2
    [row] = await replica.rows("SELECT stamps FROM rate_windows WHERE key = 'telegram:bot:4242'")
    assert len(set(row["stamps"])) == 2  # both have a place in the window that they share


USED = {
    "a limit that is used up": "UPDATE rate_windows SET stamps = ARRAY[now()] WHERE key LIKE 'telegram:chat:%'",
    "a chat that is held": "UPDATE lanes SET not_before = now() + interval '1 minute'",
    "a chat that has room for pages only": "UPDATE lanes SET urgent_only_until = now() + interval '1 minute'",
}


@pytest.mark.parametrize("what", USED)
async def test_limits_hold_for_what_goes_at_once(make_replica: MakeReplica, what: str) -> None:
    replica = await make_replica()
    async with replica.database.acquire() as connection:
        await connection.execute(USED[what])
    await replica.take_in(created())
    assert (replica.handed, await replica.states(), replica.woken) == ([], ["sent", "pending"], 1)


@pytest.mark.parametrize("where", ["all", "store"])
async def test_a_page_that_waits_anywhere_goes_before_orders(make_replica: MakeReplica, where: str) -> None:
    routes = [
        {"name": "orders", "match": {"kind": ["order.*"]}, "to": ["all"]},
        {"name": "problems", "match": {"kind": ["problem.*"]}, "to": [where]},
    ]
    replica = await make_replica(routes={**TWO_CHATS, "routes": routes})
    await replica.take_in(a_problem(severity="critical"))
    await replica.take_in(created())
    assert (replica.handed, await replica.states()) == ([], ["sent", "pending", "pending"])
    claim = await replica.deliver.claim()
    assert claim is not None
    assert claim.entries[0].waiting.problem


async def test_a_message_that_waits_to_be_edited_keeps_its_chat(make_replica: MakeReplica) -> None:
    replica = await make_replica()
    await replica.take_in(a_problem())
    claim = await replica.deliver.claim()
    assert claim is not None
    await replica.deliver.record(claim, await replica.deliver.send(claim))
    await a_quiet_while(replica)
    over = ProblemResolvedV1(
        fingerprint="p:1", summary="gone", service="orchestrator", occurred_at=NOW + timedelta(minutes=1)
    )
    await replica.take_in(over, created())
    assert replica.handed == []
    assert (await replica.states())[-1] == "pending"


async def test_intake_does_not_wait_for_windows_that_a_sender_holds(make_replica: MakeReplica) -> None:
    replica = await make_replica()
    other = await asyncpg.connect(replica.database.dsn)
    try:
        async with other.transaction():
            await other.execute("SELECT 1 FROM rate_windows FOR UPDATE")
            async with asyncio.timeout(60):
                await replica.take_in(created())
    finally:
        await other.close()
    assert (replica.handed, replica.woken) == ([], 1)


@asynccontextmanager
async def dispatching(replica: Replica) -> AsyncIterator[Dispatcher]:
    """A real dispatcher in the replica's place, at work."""
    dispatcher = Dispatcher(replica.deliver, replica.queues, concurrency=2, after_commit=lambda: None)
    task = asyncio.create_task(dispatcher.run())
    try:
        await asyncio.sleep(0)
        yield dispatcher
    finally:
        await dispatcher.stop()
        await task


async def test_a_stopping_sender_claims_nothing_and_finishes_what_it_was_handed(make_replica: MakeReplica) -> None:
    replica = await make_replica()
    async with dispatching(replica) as dispatcher:
        await replica.take_in(created())
        dispatcher.take(replica.handed)
        await dispatcher.stop()
    assert await replica.states() == ["sent", "sent"]
    await a_quiet_while(replica)
    replica.handed, replica.claimer = [], dispatcher
    await replica.take_in(created("LATER"))
    assert (replica.handed, await replica.states()) == ([], ["sent", "sent", "pending"])


async def test_a_sender_that_died_claims_nothing(make_replica: MakeReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    replica = await make_replica()
    dispatcher = Dispatcher(replica.deliver, replica.queues, concurrency=2, after_commit=lambda: None)
    monkeypatch.setattr(replica.queues, "wait_until", died)
    with pytest.raises(LookupError):
        await dispatcher.run()
    replica.claimer = dispatcher
    await replica.take_in(created())
    assert (replica.handed, await replica.states()) == ([], ["sent", "pending"])


async def died() -> float:
    """Be a fault of ours."""
    raise LookupError
