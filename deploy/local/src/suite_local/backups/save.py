"""``backup``: save a running suite. Nothing is stopped; orders come in meanwhile."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from common.version import VERSION
from suite_local.backups import databases
from suite_local.backups.folder import BackupFolder, Manifest, private_files
from suite_local.catalogue import ORCHESTRATOR, SERVICES
from suite_local.errors import BackupError
from suite_local.infrastructure.local import local_rabbitmq
from suite_local.infrastructure.rabbitmq import call_api
from suite_local.paths import RunDirectory
from suite_local.supervision import Supervisor

SPOOL = "spool.db"
DATABASES = tuple(
    service.database
    # The orchestrator's is dumped first. What another database has and it has not is asked for, or replayed, again and known by its
    # key; what it had and the others had not would be missing there for good.
    for service in sorted(SERVICES, key=lambda each: each is not ORCHESTRATOR)
    if service.database is not None
)


def backup(run: RunDirectory, folder: BackupFolder, *, follow: bool, say: Callable[[str], None] = print) -> None:
    """Save everything that cannot be had again: databases, spools, the broker's definitions, secrets; the manifest last.

    ``follow``: the database's log is received from before the copy begins, and goes on being received until Ctrl-C or the suite's end.
    Raises ``BackupError``: what is in the folder then is no backup, and can be deleted.
    """
    if not run.layout_file.exists() or not Supervisor(run).running:
        raise BackupError("the suite is not running: a backup is taken of one that is up")
    layout = json.loads(run.layout_file.read_text(encoding="utf-8"))
    dsn = layout["infrastructure"]["postgres"]["dsn"]
    ours = (run.root / "postgres" / "data" / "PG_VERSION").exists() and "postgres" in _programs(run)
    if follow and not ours:
        raise BackupError("--follow is for a server of our own: the log of another one is its owner's to keep")
    with private_files():
        folder.begin()
        began = datetime.now(UTC)
        receiver = databases.follow(dsn, folder.wal) if follow else None
        try:
            if ours:
                databases.copy_server(dsn, folder.base)
            else:
                for name in DATABASES:
                    databases.dump(dsn, name, folder.dumps / f"{name}.dump")
            saved = save_spools(run.root / "spool", folder.spools)
            definitions = _save_definitions(run, folder)
            shutil.copytree(run.secrets, folder.secrets)
            folder.finish(
                Manifest(
                    release=VERSION,
                    began_at=began.isoformat(),
                    ended_at=datetime.now(UTC).isoformat(),
                    postgres="base" if ours else "dumps",
                    postgres_major=databases.major_version(),
                    definitions=definitions,
                    spools=saved,
                    files=folder.sums(),
                )
            )
            say(f"saved in {folder.root}: {'the whole server' if ours else 'each database'}, {len(saved)} spools")
            if not definitions:
                say("the broker is not ours: its definitions are not saved, its owner keeps them")
            if receiver is not None:
                say(f"following the database's log into {folder.wal}; Ctrl-C ends it")
                _keep_receiving(receiver)
        finally:
            if receiver is not None and receiver.poll() is None:
                receiver.send_signal(signal.SIGINT)
                receiver.wait()


def save_spools(directory: Path, into: Path) -> list[str]:
    """Copy each gateway's spool as it is at one moment, while it is written to; return the gateways' names."""
    names = []
    for file in sorted(directory.glob(f"*/{SPOOL}")):
        target = into / file.parent.name
        target.mkdir(mode=0o700, parents=True)
        with (
            closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as spool,
            closing(sqlite3.connect(target / SPOOL)) as copy,
        ):
            spool.backup(copy)
        names.append(file.parent.name)
    return names


def _save_definitions(run: RunDirectory, folder: BackupFolder) -> bool:
    if "rabbitmq" not in _programs(run) or not (run.root / "rabbitmq").exists():
        return False
    folder.definitions.parent.mkdir(mode=0o700)
    folder.definitions.write_bytes(call_api(local_rabbitmq(run, keep_ports=True).api_url, "GET", "/api/definitions"))
    return True


def _programs(run: RunDirectory) -> set[str]:
    return {state.name for state in Supervisor(run).processes()}


def _keep_receiving(receiver: subprocess.Popen[bytes]) -> None:
    try:
        code = receiver.wait()
    except KeyboardInterrupt:
        return
    raise BackupError(
        f"the database's log is not received any more (pg_receivewal ended with {code}): take another backup"
    )
