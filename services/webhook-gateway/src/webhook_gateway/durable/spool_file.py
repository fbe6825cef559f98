"""The spool's file: SQLite in WAL with full sync, one checksum a record. Synchronous; used by one thread (see ``spool``)."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import time
from typing import Any

from common.errors import ConfigurationError
from common.telemetry import get_logger
from webhook_gateway.durable.model import SpoolRecord, SpoolState

_log = get_logger()
_FILE = "spool.db"
_LOCK = "lock"
_OWN_DIRECTORY = 0o700
_OWN_FILE = 0o600  # SQLite gives its journals the mode of the file itself
_PIECE = 4 * 1024**2  # bytes that are overwritten in one go: hooks that are to be stored wait for no more
_OVERHEAD = 200  # bytes a record costs beside its body, roughly: key, checksum, b-tree

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stored_at REAL NOT NULL, routing_key TEXT NOT NULL, body BLOB NOT NULL, checksum BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS torn (
    id INTEGER PRIMARY KEY, stored_at REAL, routing_key TEXT, body BLOB, checksum BLOB, found_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS heartbeat (only INTEGER PRIMARY KEY CHECK (only = 1), at REAL NOT NULL);
"""
_OLDEST = "SELECT stored_at FROM records ORDER BY id LIMIT 1"
_PAGE = (
    "SELECT id, stored_at, routing_key, body, checksum FROM records"
    " WHERE id NOT IN (SELECT id FROM temp.undeleted) ORDER BY id LIMIT ?"
)
# What was relayed and could not be deleted. In memory: it is only needed while the disk takes nothing, and costs repeats after a crash.
_LEFT = (
    "SELECT count(*), coalesce(sum(length(body)), 0), min(stored_at) FROM records"
    " WHERE id NOT IN (SELECT id FROM temp.undeleted)"
)
_UNDELETED_PIECE = (
    "SELECT id, torn FROM (SELECT u.id, u.torn, sum(r.size) OVER (ORDER BY u.id) - r.size AS before FROM temp.undeleted AS u"
    " JOIN (SELECT id, coalesce(length(body), 0) AS size FROM records) AS r ON r.id = u.id) WHERE before < ?"
)
_KEEP_TORN = (
    "INSERT OR REPLACE INTO torn SELECT id, stored_at, routing_key, body, checksum, ? FROM records WHERE id = ?"
)
_DELETE = "DELETE FROM records WHERE id = ? RETURNING length(body)"
_ADD = "INSERT INTO records (stored_at, routing_key, body, checksum) VALUES (?, ?, ?, ?)"
_ALL = "SELECT stored_at, routing_key, body, checksum FROM records WHERE id NOT IN (SELECT id FROM temp.undeleted WHERE NOT torn)"
_ADD_TORN = "INSERT OR IGNORE INTO torn VALUES (?, ?, ?, ?, ?, ?)"
_EPOCH = 1 << 40  # more than there will ever be records in one file
_UNDELETED = "CREATE TEMP TABLE IF NOT EXISTS undeleted (id INTEGER PRIMARY KEY, torn INTEGER NOT NULL)"


class SpoolFile:
    """One replica's records. Two processes cannot open one directory: a lock on it is held until ``close``.

    A write has reached the disk (fsync of the write-ahead log) when the method returns; when it raises ``sqlite3.Error`` or ``OSError``
    nothing of it is kept. A file that SQLite finds damaged on opening is set aside whole, what can be read of it is carried over; so is all
    that is in a file which was moved or deleted while it was open.
    Only the service's own account reads what is in the directory (0700, its files 0600), also what an earlier release left there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = -1
        self._connection: sqlite3.Connection | None = None
        self._place: list[tuple[int, int] | None] = []
        self._epoch = 0  # what was read of a file before means nothing in the one that took its place
        self._stranded = False  # its file is gone, and nothing could be carried over yet
        self.state = SpoolState(0, 0, None)
        self.torn_found = 0
        self._holds_torn = False  # they stay for a person, wherever they are in the file

    def open(self) -> None:
        """Open or create. Raises ``ConfigurationError`` when the directory cannot be used or is another process's."""
        try:
            self._take_lock()
        except BlockingIOError:
            raise ConfigurationError(f"the spool {self._directory} is in use by another process") from None
        except OSError as error:
            raise ConfigurationError(f"the spool {self._directory} cannot be used: {error.strerror}") from None
        try:
            self._make_private()
            try:
                self._connection = self._connect(self._directory / _FILE)
                sound = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                sound = False
            if not sound:
                self._set_aside()
            self._holds_torn = bool(self._db.execute("SELECT EXISTS (SELECT 1 FROM torn)").fetchone()[0])
            self._count()
            if not self.state.records:
                self._empty_log()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise ConfigurationError(f"the spool {self._directory} cannot be used: {error}") from None

    def close(self) -> None:
        """Close the file and give the lock back. Safe to repeat."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def append(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Store (routing key, body) pairs in one synced transaction, in this order."""
        self._stay_in_place()
        now = time()
        rows = [(now, key, body, _checksum(key, body)) for key, body in records]
        with self._db as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_ADD, rows)
        size = sum(cost(body) for _, body in records)
        oldest = self.state.oldest_at if self.state.records else now
        self.state = SpoolState(self.state.records + len(records), self.state.size + size, oldest)

    def peek(self, limit: int) -> list[SpoolRecord]:
        """Return the oldest records that are intact, no more than a piece of them. Torn ones are moved to the table ``torn``.

        What cannot be carried over from a file that is gone is read from it: to be relayed, it needs no place. Once that has failed it is
        for the next write to try again, for it may copy a whole spool each time.
        """
        if self._connection is None or not self._stranded:
            try:
                self._stay_in_place()
            except (sqlite3.Error, OSError) as error:
                if self._connection is None:
                    raise
                self._stranded = True
                _log.error("spool_file_is_gone", records=self.state.records, error=type(error).__name__)
        while True:
            intact: list[SpoolRecord] = []
            torn: list[int] = []
            rows = self._piece(limit)
            for record_id, _stored_at, key, body, checksum in rows:
                if isinstance(key, str) and isinstance(body, bytes) and _checksum(key, body) == checksum:
                    intact.append(SpoolRecord(self._epoch + record_id, key, body))
                else:
                    torn.append(record_id)
            if torn:
                try:
                    self._move_torn(torn)
                except sqlite3.OperationalError:
                    self._holds_torn = True
                    self._leave_out(torn, torn=True)
                    self.torn_found += len(torn)
                    _log.error("spool_records_torn", records=len(torn))
            if intact or not rows:
                return intact

    def forget(self, ids: Sequence[int]) -> None:
        """Delete records that have been relayed.

        On a full disk deleting fails too (it is a write like any other). Then they are left out of ``peek``, so that the rest can be
        relayed, and ``sweep`` deletes them; when nothing else is left in the file, a new one takes its place.
        """
        ids = [each - self._epoch for each in ids if each > self._epoch]
        try:
            removed = self._delete(ids)
        except sqlite3.OperationalError:
            left = self._leave_out(ids)
            _log.warning("spool_cannot_delete", records=len(ids), left=left)
            if not left and not self._holds_torn:
                self._begin_anew()
        else:
            self._shrink(len(ids), removed)
            if not self.state.records:
                self._empty_log()

    def sweep(self) -> bool:
        """Delete a piece of what ``forget`` had to leave; return whether there is more that can be deleted now."""
        piece = self._db.execute(_UNDELETED_PIECE, (_PIECE,)).fetchall()
        if not piece:
            return False
        try:
            self._delete_left(piece)
        except sqlite3.OperationalError:
            return False  # the disk is still full
        if not self.state.records:
            self._empty_log()
        return True

    def beat(self) -> None:
        """Write one small record, to see that writing works."""
        self._stay_in_place()
        with self._db as connection:
            connection.execute(
                "INSERT INTO heartbeat VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at", (time(),)
            )

    def _piece(self, limit: int) -> list[tuple[Any, ...]]:
        """Return so many of the oldest rows, fewer where their bodies come to a piece, and one at least."""
        rows: list[tuple[Any, ...]] = []
        size = 0
        for row in self._db.execute(_PAGE, (limit,)):
            size += len(row[3] or b"")
            if rows and size > _PIECE:
                break
            rows.append(row)
        return rows

    def _delete(self, ids: Sequence[int], *, torn: bool = False) -> int:
        removed = 0
        with self._db as connection:
            connection.execute("BEGIN IMMEDIATE")
            for record_id in ids:
                if torn:
                    connection.execute(_KEEP_TORN, (time(), record_id))
                row = connection.execute(_DELETE, (record_id,)).fetchone()
                removed += 0 if row is None else int(row[0] or 0) + _OVERHEAD
        return removed

    def _delete_left(self, piece: Sequence[tuple[int, bool]]) -> None:
        torn = [(time(), record_id) for record_id, is_torn in piece if is_torn]
        ids = [(record_id,) for record_id, _ in piece]
        with self._db as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_KEEP_TORN, torn)
            connection.executemany("DELETE FROM records WHERE id = ?", ids)
            connection.executemany("DELETE FROM temp.undeleted WHERE id = ?", ids)

    def _leave_out(self, ids: Sequence[int], *, torn: bool = False) -> int:
        """Let the records count as gone, and return how many are left. The disk itself is the bound now."""
        self._db.executemany("INSERT OR IGNORE INTO temp.undeleted VALUES (?, ?)", [(each, torn) for each in ids])
        self._count()
        return self.state.records

    def _empty_log(self) -> None:
        """The write-ahead log still holds what was relayed: its customers are to stand nowhere any more."""
        with suppress(sqlite3.OperationalError):  # a disk that is full; it is emptied the next time
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _take_lock(self) -> None:
        """Lock the directory that is there now, and give the lock of another one back."""
        self._directory.mkdir(mode=_OWN_DIRECTORY, parents=True, exist_ok=True)
        unneeded = lock = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWN_FILE)
        try:
            if self._lock < 0 or not os.path.samestat(os.fstat(lock), os.fstat(self._lock)):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                unneeded, self._lock = self._lock, lock
        finally:
            if unneeded >= 0:
                os.close(unneeded)

    def _count(self) -> None:
        count, size, oldest = self._db.execute(_LEFT).fetchone()
        self.state = SpoolState(count, size + count * _OVERHEAD, oldest)

    def _stay_in_place(self) -> None:
        """SQLite writes on into a file that was moved or deleted, until this process ends: carry all that is in it over before."""
        path = self._directory / _FILE
        if self._connection is None and self._lock >= 0:
            self._connection = self._connect(path)
            self._count()
        if _places(path) == self._place:
            self._stranded = False
            return
        old = self._db
        if _places(path)[0] == self._place[0]:  # its log alone is gone
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        else:
            self._take_lock()
            self._carry_over(old, path)
        self._epoch += _EPOCH  # before anything else can fail: the records have other numbers now
        self.torn_found += 1
        self._stranded = False
        self._open_again(old)
        _log.error("spool_file_was_gone", records=self.state.records)

    def _carry_over(self, old: sqlite3.Connection, path: Path) -> None:
        before = self._place
        path.with_name(f"{_FILE}-shm").unlink(missing_ok=True)  # the old file's: the new one makes its own
        if _places(path)[1] == before[1]:
            path.with_name(f"{_FILE}-wal").unlink(missing_ok=True)
        with closing(self._connect(path)) as new:
            self._place = before  # until all of it is there
            with new:
                new.execute("BEGIN IMMEDIATE")
                new.executemany(_ADD, old.execute(_ALL))
                new.executemany(_ADD_TORN, old.execute("SELECT * FROM torn"))

    def _begin_anew(self) -> None:
        """Everything in the file has been relayed and cannot be deleted from it: removing the file needs no room."""
        with suppress(OSError):  # a disk that is read-only: ``sweep`` deletes them when it is no more
            if _places(self._directory / _FILE)[0] != self._place[0]:
                return  # of that name there is another one, perhaps another process's
            for suffix in ("", "-wal", "-shm"):
                (self._directory / f"{_FILE}{suffix}").unlink(missing_ok=True)
            self._open_again(self._db)
            _log.warning("spool_begun_anew")

    def _open_again(self, old: sqlite3.Connection) -> None:
        self._connection = None  # should this fail, the next write tries again
        old.close()  # which deletes the log of that name, hence the new file is opened afterwards
        self._connection = self._connect(self._directory / _FILE)
        self._count()

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the spool is closed")
        return self._connection

    def _make_private(self) -> None:
        """Take away what others may do. Where the directory is somebody else's (a mounted volume), its files are ours at least."""
        files = dict.fromkeys((self._directory / _LOCK, *self._directory.glob(f"{_FILE}*")), _OWN_FILE)
        for path, mode in {self._directory: _OWN_DIRECTORY, **files}.items():
            try:
                path.chmod(mode)
            except PermissionError:
                _log.warning("spool_not_private", name=path.name, mode=oct(stat.S_IMODE(path.stat().st_mode)))

    def _connect(self, path: Path) -> sqlite3.Connection:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWN_FILE))
        except OSError as error:
            raise sqlite3.OperationalError(f"unable to open database file: {error.strerror}") from None
        connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")  # what was relayed is overwritten, not only forgotten
        connection.execute("PRAGMA journal_size_limit=67108864")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.executescript(_SCHEMA)
        connection.execute(_UNDELETED)
        self._place = _places(path)
        return connection

    def _shrink(self, records: int, size: int) -> None:
        row = self._db.execute(_OLDEST).fetchone()
        self.state = SpoolState(self.state.records - records, self.state.size - size, None if row is None else row[0])

    def _move_torn(self, ids: Sequence[int]) -> None:
        self._shrink(len(ids), self._delete(ids, torn=True))
        self._holds_torn = True
        self.torn_found += len(ids)
        _log.error("spool_records_torn", records=len(ids))

    def _set_aside(self) -> None:
        """Move a damaged file away and carry over what can be read of it."""
        if self._connection is not None:
            self._connection.close()
        damaged = self._directory / f"{_FILE}.damaged-{int(time())}"
        for suffix in ("", "-wal", "-shm"):
            file = self._directory / f"{_FILE}{suffix}"
            if file.exists():
                file.rename(f"{damaged}{suffix}")
        self._connection = self._connect(self._directory / _FILE)
        saved = self._salvage(damaged)
        self.torn_found += 1
        _log.error("spool_file_damaged", kept_as=damaged.name, salvaged=saved)

    def _salvage(self, damaged: Path) -> int:
        saved = 0
        try:
            old = sqlite3.connect(f"file:{damaged}?mode=ro", uri=True)
            try:
                for row in old.execute("SELECT stored_at, routing_key, body, checksum FROM records ORDER BY id"):
                    if _checksum(row[1], row[2]) == row[3]:
                        self._db.execute(_ADD, row)
                        saved += 1
            finally:
                old.close()
        except (sqlite3.Error, TypeError, AttributeError):
            return saved  # as far as it could be read; the damaged file stays for a person
        return saved


def cost(body: bytes) -> int:
    """Return the bytes that a record is counted with."""
    return len(body) + _OVERHEAD


def _places(path: Path) -> list[tuple[int, int] | None]:
    """Return what stands under the names of the file and of its log now."""
    both = (path, path.with_name(f"{path.name}-wal"))
    return [(at.st_dev, at.st_ino) if each.exists() and (at := each.stat()) else None for each in both]


def _checksum(routing_key: str, body: bytes) -> bytes:
    digest = hashlib.blake2b(routing_key.encode(), digest_size=16, person=b"spool-record")
    digest.update(b"\0")
    digest.update(body)
    return digest.digest()
