"""``restore``: bring a backup into a run directory, of this machine or another; ``make up`` there starts what it holds."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from suite_local import provisioning
from suite_local.backups import databases
from suite_local.backups.folder import BackupFolder, Manifest, private_files
from suite_local.backups.queues import bring_over, running_node
from suite_local.backups.save import DATABASES, save_spools
from suite_local.credentials import Credentials
from suite_local.errors import BackupError, NotReadyError
from suite_local.infrastructure.accounts import give, server_account
from suite_local.infrastructure.local import local_postgres, local_rabbitmq
from suite_local.infrastructure.postgres import LocalPostgres
from suite_local.infrastructure.rabbitmq import FRESH_FIGURES, call_api
from suite_local.paths import RunDirectory, locked
from suite_local.programs import MARKER
from suite_local.supervision import Supervisor, strays, sweep

_HELD = ("postgres", "rabbitmq", "spool", "secrets")
_RECOVERED_WITHIN_S = 3600.0


def restore(
    run: RunDirectory,
    folder: BackupFolder,
    environ: Mapping[str, str],
    *,
    survivors: RunDirectory | None = None,
    replace: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Bring everything to where the backup, and the log that was kept behind it, end.

    ``survivors`` is the run directory of the suite that was lost, where its disks can still be read: its spools and its broker's queues
    are newer than any backup, and are taken from there. ``replace`` sets aside what lies in the run directory; nothing is deleted.
    Raises ``BackupError``: before anything is written, or, once it has begun, leaving a run directory that no ``up`` starts. Killed at any
    moment it leaves the same, and perhaps a server that it had started, which the next restore there ends.
    """
    with private_files():
        run.root.mkdir(parents=True, exist_ok=True)
        with locked(run.lock_file):
            if run.unfinished_restore.exists():
                sweep(run)  # no ``up`` has begun anything here since
            manifest = _look_first(run, folder, environ, survivors, replace=replace)
            run.unfinished_restore.touch()
            with _marked(run):
                _set_aside(run, say)
                run.create()
                for secret in folder.secrets.iterdir():
                    shutil.copyfile(secret, run.secrets / secret.name)
                _restore_databases(run, folder, manifest, environ, say)
                _restore_spools(run, folder, survivors, say)
                _restore_broker(run, folder, manifest, survivors, say)
            run.unfinished_restore.unlink()
    say(f"restored into {run.root}; now bring it up there, and let the checkers look")


@contextmanager
def _marked(run: RunDirectory) -> Iterator[None]:
    """Have everything that is started meanwhile found as this run directory's, should it outlive us; end what does (epmd).

    Nothing else of the run directory may run.
    """
    before = os.environ.get(MARKER)
    os.environ[MARKER] = str(run.root)
    try:
        yield
    finally:
        os.environ.pop(MARKER)
        if before is not None:
            os.environ[MARKER] = before
        sweep(run)


def _look_first(
    run: RunDirectory,
    folder: BackupFolder,
    environ: Mapping[str, str],
    survivors: RunDirectory | None,
    *,
    replace: bool,
) -> Manifest:
    """Refuse what cannot come to a good end, while nothing is written yet."""
    for each in (run, survivors):
        if each is not None and (Supervisor(each).running or strays(each)):
            raise BackupError(f"the suite in {each.root} is running: stop it first")
    if survivors is not None and not (survivors.root / "secrets").is_dir():
        raise BackupError(f"{survivors.root} is not the run directory of a suite")
    held = [name for name in _HELD if _holds(run.root / name)]
    if held and not replace:
        raise BackupError(
            f"{run.root} holds {', '.join(held)} already: --replace (`make restore REPLACE=1`) sets that aside"
        )
    manifest = folder.read()
    major = databases.major_version()
    if manifest.postgres_major != major and manifest.postgres == "base":
        raise BackupError(
            f"the backup is of PostgreSQL {manifest.postgres_major}, here is {major}: a copy of a server needs its own version"
        )
    if manifest.postgres == "base" and environ.get("SUITE_POSTGRES_DSN"):
        raise BackupError(
            "the backup is of a whole server, which cannot be restored into one that SUITE_POSTGRES_DSN names"
        )
    if manifest.postgres == "base":
        databases.verify_copy(folder.base)
    return manifest


def _holds(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())


def _set_aside(run: RunDirectory, say: Callable[[str], None]) -> None:
    held = [name for name in _HELD if _holds(run.root / name)]
    if not held:
        return
    aside = run.root / f"replaced-{int(time.time())}"
    aside.mkdir(mode=0o700)
    for name in held:
        (run.root / name).rename(aside / name)
    say(f"set aside in {aside}: {', '.join(held)}")


def _restore_databases(
    run: RunDirectory, folder: BackupFolder, manifest: Manifest, environ: Mapping[str, str], say: Callable[[str], None]
) -> None:
    given = environ.get("SUITE_POSTGRES_DSN")
    if manifest.postgres == "dumps" and given:
        _fill(given, folder, run)
        return
    server = local_postgres(run, keep_ports=False)
    if manifest.postgres == "base":
        _place(folder.base, server)
        if _holds(folder.wal):
            _recover(run, folder, say)
            return
    with _started(server):
        if manifest.postgres == "dumps":
            _fill(server.dsn(), folder, run)


def _place(copy: Path, server: LocalPostgres) -> None:
    account = server_account("postgres", "rabbitmq")
    server.directory.mkdir(mode=0o700, exist_ok=True)
    shutil.copytree(copy, server.data)
    _give_all(server.directory, account_of="postgres")
    give(account, server.data, mode=0o700)


def _recover(run: RunDirectory, folder: BackupFolder, say: Callable[[str], None]) -> None:
    """Have the server read the kept log to its end. The last piece was not full when the end came; it is read as far as it goes."""
    kept = run.root / "postgres" / "kept-log"
    shutil.copytree(folder.wal, kept)
    for piece in kept.glob("*.partial"):
        piece.rename(piece.with_suffix(""))
    _give_all(kept, account_of="postgres")
    server = local_postgres(run, keep_ports=False)
    recovering = LocalPostgres(
        directory=server.directory,
        port=server.port,
        password=Credentials(run.secrets).get("postgres"),
        logs=run.logs,
        settings={"restore_command": f'cp "{kept}/%f" "%p"', "recovery_target_timeline": "latest"},
    )
    signal = recovering.data / "recovery.signal"
    signal.touch()
    _give_all(signal, account_of="postgres")
    with _started(recovering):
        deadline = time.monotonic() + _RECOVERED_WITHIN_S
        while asyncio.run(_value(recovering.dsn(), "SELECT pg_is_in_recovery()")):
            if time.monotonic() > deadline:
                raise NotReadyError("PostgreSQL has not read the kept log within an hour")
            time.sleep(0.2)
    shutil.rmtree(kept)
    say("the database has read the log that was kept")


@contextmanager
def _started(server: LocalPostgres) -> Iterator[None]:
    server.prepare()
    server.start()
    try:
        server.wait_ready(120)
        yield
    finally:
        server.stop()


def _fill(admin_dsn: str, folder: BackupFolder, run: RunDirectory) -> None:
    taken = asyncio.run(
        _value(admin_dsn, "SELECT string_agg(datname, ', ') FROM pg_database WHERE datname = ANY($1)", list(DATABASES))
    )
    if taken:
        raise BackupError(f"the server has {taken} already: drop them, or rename them, first")
    credentials = Credentials(run.secrets)
    provisioning.provision(admin_dsn, credentials)
    for name in DATABASES:
        databases.fill(admin_dsn, name, folder.dumps / f"{name}.dump")


async def _value(dsn: str, query: str, *arguments: object) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


def _restore_spools(
    run: RunDirectory, folder: BackupFolder, survivors: RunDirectory | None, say: Callable[[str], None]
) -> None:
    """What a spool still holds is relayed once its gateway runs. A survivor's is the later one: what is gone from it was relayed."""
    source = folder.spools if survivors is None else survivors.root / "spool"
    names = save_spools(source, run.root / "spool")
    say(f"spools: {', '.join(names) or 'none'}")


def _restore_broker(
    run: RunDirectory,
    folder: BackupFolder,
    manifest: Manifest,
    survivors: RunDirectory | None,
    say: Callable[[str], None],
) -> None:
    lost = survivors is not None and (survivors.root / "rabbitmq" / "data").is_dir()
    if not manifest.definitions and not lost:
        return
    with running_node(local_rabbitmq(run, keep_ports=False, settings=FRESH_FIGURES)) as node:
        if manifest.definitions:
            call_api(node.api_url, "POST", "/api/definitions", body=folder.definitions.read_bytes())
        if survivors is None or not lost:
            say("the broker has its users, exchanges and queues again; what waited in the queues is gone")
            return
        with running_node(local_rabbitmq(survivors, keep_ports=False, settings=FRESH_FIGURES)) as old:
            say(f"brought over from the queues of the broker that was lost: {bring_over(old, node)}")


def _give_all(path: Path, *, account_of: str) -> None:
    other = "rabbitmq" if account_of == "postgres" else "postgres"
    account = server_account(account_of, other)
    if account is None:
        return
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        shutil.chown(each, account.uid, account.gid)
