"""Whoever alters the audit log past its guards is found: by the chain of hashes, and by what was noted of it earlier."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from common.postgres import Database
from common.service.audit_chain import Seal, ShowChain, WatchChain, check_audit, look_at_chain, seal_all
from tests.support.servers import as_served

_WRITE = """
INSERT INTO audit_log (actor, role, action, target, reason, before, after, request_id)
VALUES ('olga', 'operator', 'order.cancel', 'order:' || $1::int, 'she "asked" é', '{"b": 1.50, "a": null}', NULL, 'r')
RETURNING id
"""
_TAMPER = "SET session_replication_role = replica"  # what a superuser can: no trigger runs
_REMAKE = """
DO $$
DECLARE
    entry audit_chain%ROWTYPE;
    link bytea := '\\x';
    own bytea;
BEGIN
    FOR entry IN SELECT * FROM audit_chain ORDER BY position LOOP
        SELECT sha256(convert_to(jsonb_build_array(
            l.id, (extract(epoch FROM l.at) * 1000000)::bigint, l.actor, l.role, l.action, l.target, l.reason, l.before, l.after,
            l.request_id)::text, 'UTF8')) INTO own FROM audit_log AS l WHERE l.id = entry.audit_id;
        link := sha256(link || int8send(entry.position) || int8send(entry.audit_id)
                       || int8send((extract(epoch FROM entry.at) * 1000000)::bigint) || own);
        UPDATE audit_chain SET digest = own, hash = link WHERE position = entry.position;
    END LOOP;
END $$
"""
"""All hashes anew, as one does who knows how."""


async def written(database: Database, count: int) -> list[int]:
    """Write records as a service does."""
    async with database.acquire() as connection:
        return [await connection.fetchval(_WRITE, number) for number in range(count)]


async def found(database: Database, through: Seal | None = None) -> list[tuple[str, str]]:
    """What a look finds, in small batches."""
    async with database.acquire() as connection:
        chain = await look_at_chain(connection, through=through, batch=3)
    return [(each.kind, each.what) for each in chain.broken]


async def head(database: Database) -> Seal:
    """The last place of the chain."""
    async with database.acquire() as connection:
        seal = (await look_at_chain(connection)).head
    assert seal is not None
    return seal


async def test_records_are_sealed_once_by_whoever_comes_first(database: Database) -> None:
    """Replicas at once, in batches, again and again."""
    await written(database, 10)
    sealed = await asyncio.gather(*(seal_all(database, batch=3) for _ in range(4)))
    sealed.append(await seal_all(database))
    assert sum(sealed) == 10
    assert await seal_all(database) == 0
    assert (await head(database)).position == 10
    assert await found(database) == []


async def test_a_record_that_commits_late_is_sealed_after_those_with_higher_numbers(database: Database) -> None:
    async with database.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        late = await slow.fetchval(_WRITE, 1)
        (early,) = await written(database, 1)
        assert late < early
        assert await seal_all(database) == 1
        await transaction.commit()
    assert await seal_all(database) == 1
    async with database.acquire() as connection:
        order = [row[0] for row in await connection.fetch("SELECT audit_id FROM audit_chain ORDER BY position")]
    assert order == [early, late]
    assert await found(database) == []


async def test_a_death_in_the_middle_of_sealing_leaves_all_of_it_to_be_done(
    database: Database, owner: asyncpg.Connection
) -> None:
    await written(database, 4)
    async with database.session() as dying:
        await dying.transaction().start()
        assert await dying.fetchval("SELECT seal_audit(3)") == 3
        assert await seal_all(database) == 0, "one at a time"
        await owner.execute("SELECT pg_terminate_backend($1, 10000)", dying.get_server_pid())
    assert await seal_all(database) == 4
    assert await found(database) == []


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE audit_log SET reason = 'other' WHERE id = $1", "changed"),
        ("UPDATE audit_log SET at = at - interval '1 microsecond' WHERE id = $1", "changed"),
        ('UPDATE audit_log SET before = \'{"b": 1.51, "a": null}\' WHERE id = $1', "changed"),
        ("DELETE FROM audit_log WHERE id = $1", "removed"),
        (
            "WITH gone AS (UPDATE audit_chain SET forgotten = true WHERE audit_id = $1) DELETE FROM audit_log WHERE id = $1",
            "removed",
        ),
        ("WITH gone AS (DELETE FROM audit_chain WHERE audit_id = $1) DELETE FROM audit_log WHERE id = $1", "removed"),
        (
            "UPDATE audit_log SET target = CASE id WHEN $1 THEN 'order:5' ELSE 'order:4' END WHERE id - $1::bigint IN (0, 1)",
            "changed",
        ),
        ("UPDATE audit_chain SET audit_id = 1000 - audit_id WHERE audit_id = $1", "exchanged"),
        ("UPDATE audit_chain SET digest = sha256('x') WHERE audit_id = $1", "exchanged"),
    ],
)
async def test_the_first_record_that_was_altered_is_named(
    database: Database, owner: asyncpg.Connection, statement: str, kind: str
) -> None:
    ids = await written(database, 9)
    await seal_all(database)
    await owner.execute(_TAMPER)
    await owner.execute(statement, ids[4])
    await owner.execute("UPDATE audit_log SET reason = 'later' WHERE id = $1", ids[7])
    ((told, what),) = await found(database)
    assert told == kind
    assert "place 5 of the chain" in what


async def test_two_entries_that_changed_places_are_found(database: Database, owner: asyncpg.Connection) -> None:
    await written(database, 6)
    await seal_all(database)
    await owner.execute(_TAMPER)
    for before, after in ((3, -3), (4, 3), (-3, 4)):
        await owner.execute("UPDATE audit_chain SET position = $2 WHERE position = $1", before, after)
    ((kind, what),) = await found(database)
    assert (kind, "place 3 " in what) == ("exchanged", True)


async def test_a_record_that_was_put_in_is_named(database: Database, owner: asyncpg.Connection) -> None:
    """Past the triggers it has no seal; by the triggers its date gives it away."""
    await written(database, 3)
    await seal_all(database)
    put = _WRITE.replace("(actor", "(at, actor").replace("VALUES (", "VALUES (now() - interval '3 days', ")
    await owner.execute(_TAMPER)
    past = await owner.fetchval(put, 8)
    assert await found(database) == [("inserted", f"record {past} was put into the log past the service")]
    await owner.execute("DELETE FROM audit_log WHERE id = $1", past)
    assert await found(database) == []
    await owner.execute("RESET session_replication_role")
    number = await owner.fetchval(put, 9)
    await seal_all(database)
    ((kind, what),) = await found(database)
    assert (kind, f"record {number}," in what) == ("inserted", True)


async def test_a_record_that_goes_before_it_has_a_seal_is_missed(database: Database, owner: asyncpg.Connection) -> None:
    (number,) = await written(database, 1)
    await owner.execute(_TAMPER)
    await owner.execute("DELETE FROM audit_log")
    assert await seal_all(database) == 0
    assert await found(database) == [("removed", f"record {number} is gone; it had no seal yet")]


async def test_a_chain_made_anew_or_cut_short_does_not_lead_through_what_was_noted(
    database: Database, owner: asyncpg.Connection
) -> None:
    ids = await written(database, 6)
    await seal_all(database)
    noted = await head(database)
    await written(database, 2)
    await seal_all(database)
    assert await found(database, noted) == []
    await owner.execute(_TAMPER)
    await owner.execute("UPDATE audit_log SET reason = 'other' WHERE id = $1", ids[1])
    await owner.execute(_REMAKE)
    assert await found(database) == [], "in itself it holds"
    assert await found(database, noted) == [
        ("remade", f"place 6 of the chain has another hash than was noted: {noted}")
    ]
    await owner.execute("DELETE FROM audit_chain WHERE position > 4")
    await owner.execute("DELETE FROM audit_log WHERE id > $1", ids[3])
    assert await found(database) == []
    ((kind, _),) = await found(database, noted)
    assert kind == "cut off"


async def test_forgotten_records_leave_a_chain_that_holds(database: Database, owner: asyncpg.Connection) -> None:
    """Unsealed ones are not forgotten; nobody can say of a young one that it was."""
    old = _WRITE.replace("(actor", "(at, actor").replace("VALUES (", "VALUES (now() - interval '500 days', ")
    for number in range(4):
        await owner.fetchval(old, number)
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT forget_audit(now(), 100)") == 0
        await seal_all(database)
        await written(database, 2)
        await seal_all(database)
        assert await connection.fetchval("SELECT forget_audit(now(), 100)") == 4
        assert await connection.fetchval("SELECT count(*) FROM audit_log") == 2
    assert await found(database) == []
    assert (await head(database)).position == 6


async def test_the_watch_keeps_its_verdict_and_remembers_where_the_chain_was(
    database: Database, owner: asyncpg.Connection
) -> None:
    await written(database, 3)
    await seal_all(database)
    watch, beside = WatchChain(database=database, seconds=0.0), WatchChain(database=database, seconds=3600.0)
    first = await watch()
    assert first is not None
    assert await beside() is None, "one replica looks for all"
    verdict = "SELECT found, looked, detail FROM check_verdicts WHERE name = 'audit'"
    assert tuple(await owner.fetchrow(verdict) or ()) == (
        0,
        3,
        f"audit records follow from each other up to {first.head}",
    )
    await owner.execute(_TAMPER)
    await owner.execute("UPDATE audit_log SET reason = 'other'")
    await owner.execute(_REMAKE)
    for _ in range(2):
        await watch()
        assert tuple(await owner.fetchrow(verdict) or ()) == (
            1,
            3,
            f"place 3 of the chain has another hash than was noted: {first.head}",
        )


async def test_what_one_replica_found_another_that_noted_nothing_finds_too(
    database: Database, owner: asyncpg.Connection
) -> None:
    """Whichever looks next, and after a restart."""
    await written(database, 3)
    await seal_all(database)
    watch, other = WatchChain(database=database, seconds=0.0), WatchChain(database=database, seconds=0.0)
    assert (await watch()) == (await other())
    await written(database, 2)
    await seal_all(database)
    await watch()
    await owner.execute(_TAMPER)
    # After the place that the other noted, before the one that the first did.
    await owner.execute("UPDATE audit_log SET reason = 'other' WHERE id = (SELECT max(id) FROM audit_log)")
    await owner.execute(_REMAKE)
    restarted = WatchChain(database=database, seconds=0.0)
    for each in (other, restarted, watch):
        chain = await each()
        assert chain is not None
        assert [one.kind for one in chain.broken] == ["remade"]
        assert await owner.fetchval("SELECT found FROM check_verdicts WHERE name = 'audit'") == 1


async def test_every_replica_shows_the_kept_verdict_as_metrics(database: Database, owner: asyncpg.Connection) -> None:
    """Also one that has not looked itself; before the first look none is broken, and the time runs from the start."""
    registry = CollectorRegistry()
    show, watch = ShowChain(database, registry), WatchChain(database=database, seconds=0.0)

    async def shown() -> tuple[float | None, float | None]:
        await show()
        names = ("audit_chain_broken", "audit_chain_looked_timestamp_seconds")
        broken, looked_at = (registry.get_sample_value(name) for name in names)
        return broken, looked_at

    async def kept_at() -> float:
        at = await owner.fetchval("SELECT at FROM check_verdicts WHERE name = 'audit'")
        return float(at.timestamp())

    broken, since = await shown()
    assert broken == 0
    assert since == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    ids = await written(database, 3)
    await seal_all(database)
    await watch()
    assert await shown() == (0, await kept_at())
    await owner.execute(_TAMPER)
    await owner.execute("UPDATE audit_log SET reason = 'other' WHERE id = $1", ids[1])
    await watch()
    assert await shown() == (1, await kept_at())
    await owner.execute("UPDATE audit_log SET reason = 'she \"asked\" é' WHERE id = $1", ids[1])
    await watch()
    assert await shown() == (0, await kept_at())


async def test_the_command_names_the_first_record_and_exits_with_one(
    database: Database, dsn: str, owner: asyncpg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    command = check_audit("refunds", "REFUNDS_POSTGRES_DSN")

    async def run(*arguments: str) -> tuple[int, str]:
        code = await asyncio.to_thread(command, ["--postgres-dsn", as_served(dsn), *arguments])
        return code, capsys.readouterr().out

    (first, *_) = await written(database, 3)
    await seal_all(database)
    await written(database, 1)
    noted = await head(database)
    assert await run() == (0, f"records: 3\nwithout a seal yet: 1\nhead: {noted}\nnothing was altered\n")
    assert (await run("--through", str(noted)))[0] == 0
    assert (await run("--through", f"4:{'0' * 64}"))[0] == 1
    await owner.execute(_TAMPER)
    await owner.execute("UPDATE audit_log SET actor = 'nobody' WHERE id = $1", first)
    code, said = await run("--json")
    assert code == 1
    (finding,) = json.loads(said)["findings"]
    assert finding["kind"] == "changed"
    assert finding["what"].startswith(f"record {first}, at place 1 of the chain")
