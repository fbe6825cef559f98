"""What is wrong with the audit log's chain and explained is accepted by an administrator, as a record; nothing else is accepted with it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from common.errors import ConfigurationError
from common.http.auth import Principal
from common.postgres import Database
from common.service.audit_acceptance import accept, accept_audit
from common.service.audit_chain import WatchChain, look_at_chain, seal_all
from tests.support.servers import as_served

ANNA = Principal(name="anna", role="admin")
_WRITE = """
INSERT INTO audit_log (actor, role, action, target, reason, request_id)
VALUES ('olga', 'operator', 'order.cancel', 'order:1', 'she asked', 'r') RETURNING id
"""
_TAMPER = "SET session_replication_role = replica"  # what a superuser can: no trigger runs
_VERDICT = "SELECT found, detail FROM check_verdicts WHERE name = 'audit'"


@pytest.fixture
async def owner(owner: asyncpg.Connection) -> asyncpg.Connection:
    """A superuser's connection, past every guard."""
    await owner.execute(_TAMPER)
    return owner


async def sealed(database: Database, count: int) -> list[int]:
    async with database.acquire() as connection:
        ids = [await connection.fetchval(_WRITE) for _ in range(count)]
    await seal_all(database)
    return ids


async def wrong(database: Database) -> str:
    async with database.acquire() as connection:
        chain = await look_at_chain(connection)
    return chain.broken[0].what if chain.broken else ""


async def test_an_accepted_alteration_is_passed_over_and_another_one_is_found(
    database: Database, owner: asyncpg.Connection
) -> None:
    ids = await sealed(database, 3)
    await owner.execute("UPDATE audit_log SET reason = 'other' WHERE id = $1", ids[1])
    what = await wrong(database)
    assert f"record {ids[1]}" in what
    with pytest.raises(ConfigurationError, match="what is wrong now is"):
        await accept(database, what="something else", principal=ANNA, reason="a mistake in a script")
    assert await wrong(database) == what, "nothing was accepted"

    left = await accept(database, what=what, principal=ANNA, reason="a mistake in a script")
    assert left.broken == ()
    assert await owner.fetchval("SELECT found FROM check_verdicts WHERE name = 'audit'") == 0
    record = await owner.fetchrow("SELECT actor, role, reason, before FROM audit_log WHERE action = 'audit.accept'")
    assert record is not None
    assert (record["actor"], record["role"], record["reason"]) == ("anna", "admin", "a mistake in a script")
    assert json.loads(record["before"]) == {"found": what}
    with pytest.raises(ConfigurationError, match="nothing"):
        await accept(database, what=what, principal=ANNA, reason="once more")

    await owner.execute("UPDATE audit_log SET reason = 'a third' WHERE id = $1", ids[1])
    assert await wrong(database) == what, "it was altered once more"
    await owner.execute("UPDATE audit_log SET reason = 'other' WHERE id = $1", ids[1])
    await owner.execute("UPDATE audit_log SET reason = 'other' WHERE id = $1", ids[2])
    assert f"record {ids[2]}" in await wrong(database)


async def test_a_chain_cut_short_is_accepted_for_every_replica_that_remembers(
    database: Database, owner: asyncpg.Connection
) -> None:
    ids = await sealed(database, 4)
    watches = [WatchChain(database=database, seconds=0.0) for _ in range(2)]
    for watch in watches:
        await watch()
    await owner.execute("DELETE FROM audit_chain WHERE position > 2")
    await owner.execute("DELETE FROM audit_log WHERE id > $1", ids[1])
    found = await watches[0]()
    assert found is not None
    assert found.broken[0].kind == "cut off"
    await accept(database, what=found.broken[0].what, principal=ANNA, reason="restored from a backup")
    await sealed(database, 3)  # places that were taken before the cut
    for watch in watches:
        looked = await watch()
        assert looked is not None
        assert looked.broken == ()
    assert await owner.fetchval("SELECT found FROM check_verdicts WHERE name = 'audit'") == 0

    await owner.execute("DELETE FROM audit_chain WHERE position > 2")
    again = await watches[1]()
    assert again is not None
    assert again.broken[0].kind == "cut off", "a later cut is not accepted with it"


async def test_an_acceptance_that_was_put_in_past_the_service_accepts_nothing(
    database: Database, owner: asyncpg.Connection
) -> None:
    ids = await sealed(database, 2)
    await owner.execute("UPDATE audit_log SET reason = 'other' WHERE id = $1", ids[0])
    what = await wrong(database)
    async with database.acquire() as connection:
        mark = (await look_at_chain(connection)).mark
    await owner.execute(
        "INSERT INTO audit_log (actor, role, action, target, reason, after, request_id)"
        " VALUES ('anna', 'admin', 'audit.accept', 'audit', 'forged', $1, 'r')",
        json.dumps({"kind": "changed", "mark": mark}),
    )
    assert await wrong(database) == what


async def test_the_command_takes_an_administrators_token_and_what_it_said(
    database: Database, owner: asyncpg.Connection, dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries: list[dict[str, Any]] = [
        {"name": name, "token": f"token-of-{name}", "role": role}
        for name, role in (("anna", "admin"), ("oleg", "operator"))
    ]
    entries.append({"name": "olga", "token": "token-of-olga", "role": "admin", "scopes": ["refunds:admin:read"]})
    (tmp_path / "tokens.json").write_text(json.dumps({"tokens": entries}))
    for name in ("anna", "oleg", "olga", "nobody"):
        (tmp_path / name).write_text(f"token-of-{name}\n")

    async def run(*words: str) -> tuple[int, str, str]:
        where = ["--postgres-dsn", as_served(dsn), "--tokens", str(tmp_path / "tokens.json")]
        code = await asyncio.to_thread(accept_audit("refunds", "REFUNDS_"), [*where, *words])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    assert await run() == (0, "nothing is wrong", "")
    (first, *_) = await sealed(database, 2)
    await owner.execute("UPDATE audit_log SET reason = 'other' WHERE id = $1", first)
    code, what, _ = await run()
    assert (code, f"record {first}" in what) == (1, True)
    why = ("--what", what, "--reason", "a mistake in a script")
    for name in ("oleg", "olga", "nobody", "no-file"):
        code, out, err = await run(*why, "--token-file", str(tmp_path / name))
        assert (code, out, err != "") == (2, "", True)
    assert (await run("--what", what, "--token-file", str(tmp_path / "anna")))[0] == 2, "without a reason"
    assert (await run(*why))[0] == 2, "without a token"
    assert await wrong(database) == what
    assert await run(*why, "--token-file", str(tmp_path / "anna")) == (0, "nothing is wrong", "")
    verdict = await owner.fetchrow(_VERDICT)
    assert verdict is not None
    assert (verdict["found"], verdict["detail"].startswith("accepted by anna; records lead up to 3:")) == (0, True)
