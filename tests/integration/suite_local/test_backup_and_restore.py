"""A backup of running servers, brought in elsewhere; and everything that is refused before anything is written."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from suite_local import lifecycle, provisioning
from suite_local.backups.databases import FOLLOWER
from suite_local.backups.folder import BackupFolder
from suite_local.backups.restore import restore
from suite_local.backups.save import DATABASES, SPOOL, backup
from suite_local.credentials import Credentials
from suite_local.errors import BackupError
from suite_local.infrastructure.local import local_postgres
from suite_local.infrastructure.postgres import LocalPostgres
from suite_local.infrastructure.rabbitmq import call_api
from suite_local.paths import RunDirectory
from suite_local.ports import free_port
from suite_local.supervision import Supervisor, strays

from .conftest import running_servers, until

pytestmark = pytest.mark.timeout(600)  # servers start here again and again, beside other tests


@pytest.fixture
def place() -> Iterator[Callable[[str], RunDirectory]]:
    """A function that gives run directories which PostgreSQL's account can reach."""
    root = Path(tempfile.mkdtemp(prefix="suite-test-"))
    root.chmod(0o755)
    made: list[RunDirectory] = []

    def make(name: str) -> RunDirectory:
        run = RunDirectory(root / name)
        run.root.mkdir(mode=0o755)
        made.append(run)
        return run

    yield make
    for run in made:
        Supervisor(run).kill()
    shutil.rmtree(root, ignore_errors=True)


async def execute(dsn: str, *statements: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return [await connection.fetchval(statement) for statement in statements][-1]
    finally:
        await connection.close()


def begin_spool(run: RunDirectory) -> sqlite3.Connection:
    """A gateway's spool, open and written to, as SQLite keeps it there: the record is in its log only."""
    directory = run.root / "spool" / "webhook-gateway"
    directory.mkdir(parents=True)
    spool = sqlite3.connect(directory / SPOOL)
    spool.execute("PRAGMA journal_mode=WAL")
    spool.execute("CREATE TABLE records (body)")
    spool.execute("INSERT INTO records VALUES ('a hook')")
    spool.commit()
    return spool


def write_layout(run: RunDirectory, dsn: str) -> None:
    run.layout_file.write_text(json.dumps({"infrastructure": {"postgres": {"dsn": dsn}}}))


def kept_in(run: RunDirectory) -> object:
    """What the table of these tests holds on the server that was brought into a run directory."""
    server = local_postgres(run, keep_ports=False)
    server.prepare()
    server.start()
    try:
        server.wait_ready()
        return asyncio.run(execute(server.dsn(), "SELECT string_agg(what, ' ') FROM kept"))
    finally:
        server.stop()


def refused(run: RunDirectory, folder: BackupFolder, *, replace: bool = False) -> str:
    before = sorted(run.root.rglob("*"))
    with pytest.raises(BackupError) as error:
        restore(run, folder, {}, replace=replace, say=lambda _: None)
    assert [path for path in sorted(run.root.rglob("*")) if path != run.lock_file] == [
        path for path in before if path != run.lock_file
    ], "nothing was written"
    return str(error.value)


def test_a_server_of_ours_is_copied_as_it_runs_and_brought_up_elsewhere(place: Callable[[str], RunDirectory]) -> None:
    run, other = place("run"), place("other")
    folder = BackupFolder(run.root.parent / "backup")
    with pytest.raises(BackupError, match="is not running"):
        backup(run, folder, follow=False)
    with running_servers(run) as (postgres, _), closing(begin_spool(run)):
        assert postgres is not None
        write_layout(run, postgres.address)
        asyncio.run(execute(postgres.address, "CREATE TABLE kept AS SELECT 'before' AS what"))
        said: list[str] = []
        backup(run, folder, follow=False, say=said.append)
        assert "the whole server, 1 spools" in said[0]
        with pytest.raises(BackupError, match="is not empty"):
            backup(run, folder, follow=False)
        backup_is_killed(run, BackupFolder(run.root.parent / "half"), other, "save", "save_spools")
        assert "is running" in refused(run, folder)
        asyncio.run(execute(postgres.address, "INSERT INTO kept VALUES ('after')"))
        look_at_a_killed_follower(run, postgres.address)
    assert {oct(path.stat().st_mode & 0o077) for path in (folder.root, *folder.root.rglob("*"))} == {"0o0"}

    restore(other, folder, {}, say=said.append)
    assert kept_in(other) == "before"
    with closing(sqlite3.connect(other.root / "spool" / "webhook-gateway" / SPOOL)) as spool:
        assert spool.execute("SELECT body FROM records").fetchall() == [("a hook",)]
    assert Credentials(other.secrets).get("postgres") == Credentials(run.secrets).get("postgres")

    assert "holds postgres, rabbitmq, spool, secrets already" in refused(other, folder)
    restore(other, folder, {}, replace=True, say=said.append)
    (aside,) = other.root.glob("replaced-*")
    assert {path.name for path in aside.iterdir()} == {"postgres", "rabbitmq", "spool", "secrets"}
    restore_is_killed(place("killed"), folder, "restore", "_place")
    look_at_refusals(place("third"), folder)


def look_at_a_killed_follower(run: RunDirectory, dsn: str) -> None:
    """Whoever follows the log and is killed leaves nobody behind that goes on receiving it."""
    folder = BackupFolder(run.root.parent / "followed")
    words = [sys.executable, "-m", "suite_local", "backup", str(folder.root), "--follow"]
    follower = subprocess.Popen(words, env={**os.environ, "SUITE_RUN_DIR": str(run.root)})
    receiving = "SELECT string_agg(application_name, ' ') FROM pg_stat_replication"
    try:
        until(lambda: (folder.root / "manifest.json").exists())
        until(lambda: asyncio.run(execute(dsn, receiving)) == FOLLOWER)
    finally:
        follower.kill()
        follower.wait()
    until(lambda: asyncio.run(execute(dsn, receiving)) is None)


DIES = """
import os, signal, sys
from pathlib import Path
from suite_local.backups import restore, save
from suite_local.backups.databases import FOLLOWER
from suite_local.backups.folder import BackupFolder
from suite_local.infrastructure.postgres import LocalPostgres
from suite_local.infrastructure.rabbitmq import LocalRabbitmq
from suite_local.paths import RunDirectory

what, run, folder, owner, step = sys.argv[1:]
place = {"BackupFolder": BackupFolder, "LocalPostgres": LocalPostgres, "LocalRabbitmq": LocalRabbitmq}.get(owner, globals().get(owner))
whole = getattr(place, step)

def dying(*arguments, **named):
    done = whole(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
    return done

setattr(place, step, dying)
if what == "restore":
    restore.restore(RunDirectory(Path(run)), BackupFolder(Path(folder)), {}, replace=True)
else:
    save.backup(RunDirectory(Path(run)), BackupFolder(Path(folder)), follow=False)
"""


def killed_after(what: str, run: RunDirectory, folder: BackupFolder, owner: str, step: str) -> None:
    command = [sys.executable, "-c", DIES, what, str(run.root), str(folder.root), owner, step]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def backup_is_killed(run: RunDirectory, half: BackupFolder, other: RunDirectory, owner: str, step: str) -> None:
    """Kill a backup after a step: what is there is not taken for one, nor written over."""
    killed_after("backup", run, half, owner, step)
    assert "is no backup, or one that was not finished" in refused(other, half)
    if step != "begin":  # an empty folder is as good as a new one
        with pytest.raises(BackupError, match="is not empty"):
            backup(run, half, follow=False)
    shutil.rmtree(half.root)


def restore_is_killed(other: RunDirectory, folder: BackupFolder, owner: str, step: str) -> None:
    """Kill a restore after a step: nothing of it is served."""
    killed_after("restore", other, folder, owner, step)
    if step == "wait_ready":
        assert strays(other), "what was left behind is found"
    with pytest.raises(BackupError, match="was not brought into"):
        lifecycle.up(other, {})


@pytest.mark.chaos  # every run of tests kills after one step of each: above
def test_killed_after_any_step_nothing_half_is_served_or_taken_for_a_backup(
    place: Callable[[str], RunDirectory],
) -> None:
    run, other = place("run"), place("other")
    folder, half = BackupFolder(run.root.parent / "backup"), BackupFolder(run.root.parent / "half")
    with running_servers(run) as (postgres, _), closing(begin_spool(run)):
        assert postgres is not None
        write_layout(run, postgres.address)
        asyncio.run(execute(postgres.address, "CREATE TABLE kept AS SELECT 'before' AS what"))
        for owner, step in (
            ("BackupFolder", "begin"),
            ("save", "save_spools"),
            ("save", "_save_definitions"),
            ("BackupFolder", "sums"),
        ):
            backup_is_killed(run, half, other, owner, step)
        backup(run, folder, follow=False)

    for owner, step in (
        ("restore", "_set_aside"),
        ("restore", "_place"),
        ("LocalPostgres", "wait_ready"),  # the server runs, and is left behind
        ("restore", "_restore_databases"),
        ("restore", "_restore_spools"),
        ("LocalRabbitmq", "wait_ready"),  # so is the broker
        ("restore", "_restore_broker"),
    ):
        restore_is_killed(other, folder, owner, step)
    with pytest.raises(BackupError, match="holds postgres, rabbitmq, spool, secrets already"):
        restore(other, folder, {}, say=lambda _: None)
    restore(other, folder, {}, replace=True, say=lambda _: None)
    assert strays(other) == []
    assert not other.unfinished_restore.exists()
    assert kept_in(other) == "before"


def look_at_refusals(empty: RunDirectory, folder: BackupFolder) -> None:
    manifest = folder.root / "manifest.json"
    whole = manifest.read_text()
    with pytest.raises(BackupError, match="SUITE_POSTGRES_DSN"):
        restore(empty, folder, {"SUITE_POSTGRES_DSN": "postgresql://somewhere"})
    manifest.write_text(json.dumps({**json.loads(whole), "postgres_major": 13}))
    assert "is of PostgreSQL 13" in refused(empty, folder)
    manifest.write_text(json.dumps({**json.loads(whole), "format": 2}))
    assert "of format 2" in refused(empty, folder)
    manifest.write_text(whole[:-20])
    assert "cannot be read" in refused(empty, folder)
    manifest.write_text(whole)
    secret = folder.secrets / "postgres"
    kept = secret.read_text()
    secret.write_text("x" * len(kept))
    assert "is not as it was saved" in refused(empty, folder)
    secret.unlink()
    assert "is missing" in refused(empty, folder)
    manifest.unlink()
    assert "is no backup, or one that was not finished" in refused(empty, folder, replace=True)
    empty.unfinished_restore.touch()
    with pytest.raises(BackupError, match="was not brought into"):
        lifecycle.up(empty, {})


def test_somebody_elses_server_gives_dumps_which_another_one_takes(place: Callable[[str], RunDirectory]) -> None:
    run, other = place("run"), place("other")
    folder = BackupFolder(run.root.parent / "backup")
    servers = [
        LocalPostgres(directory=place(name).root / "p", port=free_port(), password="p", logs=run.root.parent)
        for name in ("theirs", "another")
    ]
    try:
        for server in servers:
            server.prepare()
            server.start()
            server.wait_ready()
        theirs, another = (server.dsn() for server in servers)
        with running_servers(run, postgres=False) as (_, rabbitmq):
            write_layout(run, theirs)
            provisioning.provision(theirs, Credentials(run.secrets))
            for name in DATABASES:
                asyncio.run(
                    execute(
                        servers[0].dsn(name),
                        "CREATE TABLE kept AS SELECT 1 AS one",
                        f"ALTER TABLE kept OWNER TO {owner_of(name)}",
                    )
                )
            call_api(rabbitmq, "PUT", "/api/exchanges/suite/kept", body=b'{"type": "topic", "durable": true}')
            with pytest.raises(BackupError, match="its owner's to keep"):
                backup(run, folder, follow=True)
            backup(run, folder, follow=False)
        restore(other, folder, {"SUITE_POSTGRES_DSN": another})
        owners = "SELECT string_agg(tableowner, ' ') FROM pg_tables WHERE tablename = 'kept'"
        assert {name: asyncio.run(execute(servers[1].dsn(name), owners)) for name in DATABASES} == {
            name: owner_of(name) for name in DATABASES
        }
        with running_servers(other, postgres=False) as (_, rabbitmq):
            assert b'"name":"kept"' in call_api(rabbitmq, "GET", "/api/exchanges/suite")
        with pytest.raises(BackupError, match="already: drop them"):
            restore(other, folder, {"SUITE_POSTGRES_DSN": another}, replace=True)
    finally:
        for server in servers:
            server.kill()


def owner_of(database: str) -> str:
    return {"orders": "orchestrator"}.get(database, database)
