"""A spool whose file is moved or deleted under it: what was acknowledged is on disk again before the next answer."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from webhook_gateway.durable.model import SpoolRecord
from webhook_gateway.durable.spool_file import SpoolFile


def directory_deleted(spool: Path) -> None:
    shutil.rmtree(spool)


def directory_moved_away(spool: Path) -> None:
    spool.rename(spool.with_name("moved"))


def empty_directory_in_its_place(spool: Path) -> None:
    directory_moved_away(spool)
    spool.mkdir()


def other_spool_in_its_place(spool: Path) -> None:
    directory_moved_away(spool)
    other = SpoolFile(spool)
    other.open()
    other.append([("key", b"theirs")])
    other.close()


def file_deleted(spool: Path) -> None:
    (spool / "spool.db").unlink()


def log_deleted(spool: Path) -> None:
    (spool / "spool.db-wal").unlink()


def all_files_deleted(spool: Path) -> None:
    for path in spool.iterdir():
        path.unlink()


TROUBLES = (
    directory_deleted,
    directory_moved_away,
    empty_directory_in_its_place,
    other_spool_in_its_place,
    file_deleted,
    log_deleted,
    all_files_deleted,
)


def bodies_after_a_kill(spool: Path, copy: Path) -> list[bytes]:
    """Return what the next process finds when this one dies now."""
    shutil.copytree(spool, copy)
    found = SpoolFile(copy)
    found.open()
    bodies = [record.body for record in found.peek(100)]
    found.close()
    return bodies


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
@pytest.mark.parametrize("after", ["append", "beat", "peek"])
def test_nothing_acknowledged_ends_with_a_file_that_is_gone(
    tmp_path: Path, trouble: Callable[[Path], None], after: str
) -> None:
    place = tmp_path / "spool"
    spool = SpoolFile(place)
    spool.open()
    spool.append([("key", b"one"), ("key", b"two")])
    trouble(place)
    expected = [b"theirs"] if trouble is other_spool_in_its_place else []
    expected += [b"one", b"two"]
    if after == "append":
        spool.append([("key", b"three")])
        expected.append(b"three")
    elif after == "beat":
        spool.beat()
    else:
        assert [record.body for record in spool.peek(100)] == expected
    assert bodies_after_a_kill(place, tmp_path / "copy") == expected
    assert spool.state.records == len(expected)
    assert spool.torn_found == 1  # a person hears of it
    spool.append([("key", b"last")])
    spool.close()
    assert bodies_after_a_kill(place, tmp_path / "again") == [*expected, b"last"]


def being_relayed(place: Path) -> tuple[SpoolFile, list[SpoolRecord]]:
    """A spool of two records that has relayed one before; and the first of the two, in the relay's hands."""
    spool = SpoolFile(place)
    spool.open()
    spool.append([("key", b"relayed before")])
    spool.forget([record.id for record in spool.peek(1)])
    spool.append([("key", b"one"), ("key", b"two")])
    return spool, spool.peek(1)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_what_was_being_relayed_meanwhile_is_relayed_again_and_not_another(
    tmp_path: Path, trouble: Callable[[Path], None]
) -> None:
    place = tmp_path / "spool"
    spool, in_hand = being_relayed(place)
    trouble(place)
    spool.append([("key", b"three")])
    spool.forget([record.id for record in in_hand])  # as the old file numbered them
    left = spool.peek(100)
    assert [record.body for record in left if record.body != b"theirs"] == [b"one", b"two", b"three"]
    spool.forget([record.id for record in left])
    assert spool.state.records == 0
    assert spool.peek(100) == []
    spool.close()


def test_a_directory_that_another_process_took_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    place = tmp_path / "spool"
    spool, other = SpoolFile(place), SpoolFile(place)
    spool.open()
    spool.append([("key", b"one")])
    directory_moved_away(place)
    other.open()
    with pytest.raises(BlockingIOError):
        spool.append([("key", b"two")])  # its sender is told no
    other.close()
    spool.append([("key", b"three")])
    assert bodies_after_a_kill(place, tmp_path / "copy") == [b"one", b"three"]
    spool.close()


def test_a_place_that_cannot_be_written_refuses_and_loses_nothing(tmp_path: Path) -> None:
    place = tmp_path / "spool"
    spool = SpoolFile(place)
    spool.open()
    spool.append([("key", b"one")])
    directory_moved_away(place)
    place.write_text("a file where the directory was")
    with pytest.raises(OSError, match="exists"):
        spool.append([("key", b"two")])
    place.unlink()
    spool.append([("key", b"three")])
    assert bodies_after_a_kill(place, tmp_path / "copy") == [b"one", b"three"]
    spool.close()


@pytest.mark.parametrize("trouble", [file_deleted, directory_deleted], ids=lambda trouble: trouble.__name__)
def test_what_can_be_carried_over_nowhere_is_still_relayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Callable[[Path], None]
) -> None:
    place = tmp_path / "spool"
    spool = SpoolFile(place)
    spool.open()
    spool.append([("key", b"one"), ("key", b"two")])
    trouble(place)

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as disk:
        disk.setattr(spool, "_connect", fails)
        found = spool.peek(1)  # the broker is there
        assert [record.body for record in found] == [b"one"]
        spool.forget([record.id for record in found])
        with pytest.raises(sqlite3.OperationalError):
            spool.append([("key", b"three")])  # its sender is told no
        left = spool.peek(100)
        assert [record.body for record in left] == [b"two"]
    spool.append([("key", b"four")])
    spool.forget([record.id for record in left])  # too late: it is relayed again
    assert [record.body for record in spool.peek(100)] == [b"two", b"four"]
    spool.close()


def test_ids_of_the_old_file_mean_nothing_in_one_that_was_opened_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "spool"
    spool, in_hand = being_relayed(place)
    file_deleted(place)
    connect, times = spool._connect, iter((True, False))

    def carries_over_only(path: Path) -> sqlite3.Connection:
        if not next(times):
            raise sqlite3.OperationalError("unable to open database file")
        return connect(path)

    with monkeypatch.context() as disk:
        disk.setattr(spool, "_connect", carries_over_only)
        with pytest.raises(sqlite3.OperationalError):
            spool.append([("key", b"three")])
    spool.append([("key", b"four")])
    spool.forget([record.id for record in in_hand])  # as the old file numbered them
    assert [record.body for record in spool.peek(100)] == [b"one", b"two", b"four"]
    spool.close()


def test_a_disk_that_became_read_only_is_relayed_once_and_written_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SpoolFile(tmp_path)
    spool.open()
    spool.append([("key", b"one"), ("key", b"two")])

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def refuse(*_: object, **__: object) -> int:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "unlink", read_only)
        disk.setattr(spool, "_delete", refuse)
        spool.forget([record.id for record in spool.peek(1)])
        spool.forget([record.id for record in spool.peek(100)])
        assert (spool.state.records, spool.peek(100)) == (0, [])
    spool.append([("key", b"three")])
    assert [record.body for record in spool.peek(100)] == [b"three"]
    while spool.sweep():
        continue
    spool.close()
    assert bodies_after_a_kill(tmp_path, tmp_path.with_name("copy")) == [b"three"]


def test_a_file_that_could_not_be_opened_anew_is_opened_by_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "spool"
    spool = SpoolFile(place)
    spool.open()
    spool.append([("key", b"one")])
    log_deleted(place)

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    with monkeypatch.context() as disk:
        disk.setattr(spool, "_connect", fails)
        with pytest.raises(sqlite3.OperationalError):
            spool.append([("key", b"two")])
        with pytest.raises(sqlite3.OperationalError):
            spool.append([("key", b"two")])
    spool.append([("key", b"three")])
    assert [record.body for record in spool.peek(100)] == [b"one", b"three"]
    spool.close()
