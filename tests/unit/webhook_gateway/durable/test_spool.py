"""The spool on a real disk: durable before it answers, in order, bounded, and not stopped by a torn record."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from common.errors import ConfigurationError
from webhook_gateway.durable.metrics import DurabilityMetrics
from webhook_gateway.durable.model import SpoolRecord, SpoolUnavailable
from webhook_gateway.durable.spool import Spool
from webhook_gateway.durable.spool_file import SpoolFile

MEGABYTE = 1024**2


@asynccontextmanager
async def opened(
    directory: Path, *, limit: int = MEGABYTE, registry: CollectorRegistry | None = None, deadline: float = 60.0
) -> AsyncIterator[Spool]:
    metrics = DurabilityMetrics(registry or CollectorRegistry(), spool_oldest_allowed=86400)
    spool = Spool(directory, limit=limit, deadline=deadline, metrics=metrics)
    await spool.open()
    try:
        yield spool
    finally:
        await spool.close()


async def test_records_come_back_in_the_order_of_storing_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        for index in range(50):
            await spool.append("key", b"%d" % index)
    async with opened(tmp_path) as spool:
        assert spool.depth == 50
        records = await spool.peek(100)
        assert [(record.routing_key, record.body) for record in records] == [("key", b"%d" % i) for i in range(50)]
        await spool.forget([record.id for record in records[:49]])
        assert await spool.peek(100) == [SpoolRecord(50, "key", b"49")]


async def test_many_at_once_share_commits_and_none_is_lost(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await asyncio.gather(*(spool.append("key", b"%d" % index) for index in range(300)))
        assert [record.body for record in await spool.peek(300)] == [b"%d" % index for index in range(300)]


async def test_what_was_acknowledged_is_in_the_file_while_the_spool_is_still_open(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await spool.append("key", b"safe")
        reader = sqlite3.connect(f"file:{tmp_path / 'spool.db'}?mode=ro", uri=True)
        try:
            assert reader.execute("SELECT body FROM records").fetchall() == [(b"safe",)]
        finally:
            reader.close()


HER = b'{"phone": "+79167772891"}' * 500  # longer than a page


def in_files(directory: Path) -> bool:
    """Whether anything of her stands in any file."""
    return any(b"9167772891" in file.read_bytes() for file in directory.iterdir())


async def test_what_was_relayed_stands_in_no_file_any_more(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        for body in (b"other", HER, b"other", HER):
            await spool.append("key", body)
        assert in_files(tmp_path)
        await spool.forget([record.id for record in await spool.peek(10)])
        assert (spool.depth, in_files(tmp_path)) == (0, False)


async def test_a_gateway_that_dies_before_it_empties_the_log_does_it_later(tmp_path: Path) -> None:
    alive, after = tmp_path / "alive", tmp_path / "after"
    spool = SpoolFile(alive)
    spool.open()
    try:
        spool.append([("key", HER)])
        with spool._db as connection:
            connection.execute("DELETE FROM records")
        shutil.copytree(alive, after)
    finally:
        spool.close()
    assert in_files(after)
    async with opened(after) as begun:
        assert (begun.depth, in_files(after)) == (0, False)


@pytest.mark.parametrize("found", ["nothing", "a spool of before", "a damaged spool"])
async def test_only_the_services_own_account_reads_what_is_spooled(tmp_path: Path, found: str) -> None:
    directory = tmp_path / "spool"
    if found != "nothing":
        async with opened(directory) as spool:
            await spool.append("key", b"before")
        if found == "a damaged spool":
            (directory / "spool.db").write_bytes(b"SQLite format 3\0" + b"x" * 4000)
        (directory / "spool.db-wal").touch()
        for path in directory.iterdir():
            path.chmod(0o644)
        directory.chmod(0o755)

    async with opened(directory) as spool:
        await spool.append("key", b"now")
        modes = {path.name.split("-1")[0]: oct(path.stat().st_mode & 0o777) for path in directory.iterdir()}

    assert oct(directory.stat().st_mode & 0o777) == "0o700"
    assert {"lock", "spool.db", "spool.db-wal", "spool.db-shm"} <= modes.keys()
    assert set(modes.values()) == {"0o600"}


async def test_a_full_spool_refuses_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=1000) as spool:
        await spool.append("key", b"x" * 700)
        with pytest.raises(SpoolUnavailable, match="full"):
            await spool.append("key", b"x" * 700)
        await spool.forget([1])
        await spool.append("key", b"x" * 700)


async def test_a_spool_without_room_for_an_order_is_not_ready(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=100_000) as spool:
        await spool.check()
        await spool.append("key", b"x" * 50_000)
        with pytest.raises(SpoolUnavailable, match="full"):
            await spool.check()


async def test_a_torn_record_is_set_aside_counted_and_stops_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        for body in (b"one", b"two", b"three"):
            await spool.append("key", body)
    damaged = sqlite3.connect(tmp_path / "spool.db")
    damaged.execute("UPDATE records SET body = CAST('twx' AS BLOB) WHERE id = 2")
    damaged.commit()
    damaged.close()
    registry = CollectorRegistry()
    async with opened(tmp_path, registry=registry) as spool:
        assert [record.body for record in await spool.peek(10)] == [b"one", b"three"]
        assert (spool.depth, registry.get_sample_value("gateway_spool_torn_total")) == (2, 1.0)
    kept = sqlite3.connect(tmp_path / "spool.db")
    assert kept.execute("SELECT id, body FROM torn").fetchall() == [(2, b"twx")]
    kept.close()


async def test_a_damaged_file_is_set_aside_and_the_spool_goes_on(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"this is no database" * 500)
    registry = CollectorRegistry()
    async with opened(tmp_path, registry=registry) as spool:
        await spool.append("key", b"new")
        assert [record.body for record in await spool.peek(10)] == [b"new"]
    assert registry.get_sample_value("gateway_spool_torn_total") == 1.0
    assert len(list(tmp_path.glob("spool.db.damaged-*"))) == 1


async def test_two_processes_cannot_share_a_spool(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(ConfigurationError, match="in use"):
            SpoolFile(tmp_path).open()


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        SpoolFile(tmp_path / "file" / "spool").open()


async def test_a_disk_that_fails_makes_the_spool_unavailable_and_loses_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await spool.append("key", b"before")
        spool._file._db.execute("PRAGMA max_page_count = 1")  # SQLite's own "database or disk is full"
        with pytest.raises(SpoolUnavailable, match="fails"):
            await spool.append("key", b"x" * 100_000)
        spool._file._db.execute("PRAGMA max_page_count = 1000000")
        await spool.append("key", b"after")
        assert [record.body for record in await spool.peek(10)] == [b"before", b"after"]


async def test_while_the_disk_hangs_what_waits_is_bounded_and_given_up_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, write = threading.Event(), SpoolFile.append

    def hangs(file: SpoolFile, records: Sequence[tuple[str, bytes]]) -> None:
        """Write when the disk answers again."""
        hanging.wait()
        write(file, records)

    async with opened(tmp_path, deadline=0.05) as spool:
        monkeypatch.setattr(SpoolFile, "append", hangs)
        said = []
        for index in range(20):
            with pytest.raises(SpoolUnavailable) as refused:
                await spool.append("key", b"%02d" % index + b"x" * (MEGABYTE // 8))
            said.append(refused.value.detail)
        assert said == ["the spool's disk did not answer within 0.05 s"] * 7 + ["the spool is full"] * 13
        hanging.set()
    monkeypatch.undo()
    async with opened(tmp_path) as spool:
        # The first one was in the disk's hands; its sender repeats it.
        assert [record.body[:2] for record in await spool.peek(20)] == [b"00"]
        await spool.append("key", b"x" * (MEGABYTE // 2))


def _no_room(_: object) -> int:
    raise sqlite3.OperationalError("database or disk is full")


def _fill(monkeypatch: pytest.MonkeyPatch, spool: Spool) -> None:
    """Let the disk take no deletion: that is a write, too."""
    monkeypatch.setattr(spool._file, "_delete", _no_room)
    monkeypatch.setattr(spool._file, "_delete_left", _no_room)


async def test_on_a_full_disk_every_record_is_still_relayed_and_the_file_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as spool:
        for number in range(4):
            await spool.append("key", b"%d" % number)
        _fill(monkeypatch, spool)
        first = await spool.peek(2)
        await spool.forget([record.id for record in first])
        rest = await spool.peek(2)
        assert ([record.body for record in (*first, *rest)], spool.depth) == ([b"0", b"1", b"2", b"3"], 2)
        await spool.forget([record.id for record in rest])
        assert (spool.depth, spool._file.state.size, await spool.peek(2)) == (0, 0, [])
        monkeypatch.undo()
        await spool.append("key", b"after")
        assert [record.body for record in await spool.peek(2)] == [b"after"]
    assert sqlite3.connect(tmp_path / "spool.db").execute("SELECT count(*) FROM records").fetchone() == (1,)


async def test_what_a_full_disk_kept_from_deletion_goes_next_and_torn_records_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as spool:
        for number in range(3):
            await spool.append("key", b"%d" % number)
        spool._file._db.execute("UPDATE records SET body = x'00' WHERE id = 1")
        [second] = await spool.peek(2)
        _fill(monkeypatch, spool)
        await spool.forget([second.id])
        [third] = await spool.peek(2)
        await spool.forget([third.id])  # all is relayed, but for a person there is something to see: the file stays
        assert (second.body, third.body, spool.depth) == (b"1", b"2", 0)
        monkeypatch.undo()
        await spool.append("key", b"after")
        [after] = await spool.peek(2)
        await spool.forget([after.id])
    kept = sqlite3.connect(tmp_path / "spool.db")
    assert kept.execute("SELECT (SELECT count(*) FROM torn), (SELECT count(*) FROM records)").fetchone() == (1, 0)


async def test_the_metrics_show_what_waits(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with opened(tmp_path, registry=registry) as spool:
        await spool.append("key", b"x" * 100)
        values = [
            registry.get_sample_value(name)
            for name in ("gateway_spool_records", "gateway_spool_bytes", "gateway_spool_limit_bytes")
        ]
        assert values == [1.0, 300.0, float(MEGABYTE)]
        await spool.forget([1])
        assert registry.get_sample_value("gateway_spool_oldest_seconds") == 0.0


LARGE = HER * 80  # a megabyte


async def test_large_records_are_read_and_overwritten_a_few_at_a_time(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=64 * MEGABYTE) as spool:
        for _ in range(12):
            await spool.append("key", LARGE)
        await spool.append("key", b"small")
        sizes = []
        while records := await spool.peek(100):
            sizes.append(sum(len(record.body) for record in records))
            await spool.forget([record.id for record in records])
        assert sum(sizes) == 12 * len(LARGE) + len(b"small")
        assert max(sizes) <= 4 * MEGABYTE
        assert not in_files(tmp_path)


async def test_a_hook_is_stored_between_the_pieces_that_a_full_disk_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, limit=64 * MEGABYTE) as spool:
        for _ in range(12):
            await spool.append("key", LARGE)
        await spool.append("key", b"last")
        done: list[str] = []

        def note(name: str) -> Callable[..., object]:
            real: Callable[..., object] = getattr(SpoolFile, name)

            def noted(file: SpoolFile, *arguments: object) -> object:
                done.append(name)
                return real(file, *arguments)

            return noted

        with monkeypatch.context() as full:
            _fill(full, spool)
            while len(records := await spool.peek(100)) > 1 or records[0].body != b"last":
                await spool.forget([record.id for record in records if record.body != b"last"])
        assert (spool.depth, in_files(tmp_path)) == (1, True)
        for name in ("append", "sweep"):
            monkeypatch.setattr(SpoolFile, name, note(name))
        await asyncio.gather(
            spool.forget([records[0].id]), *(spool.append("key", b"%d" % number) for number in range(3))
        )
        # All three go together, right after what the thread had in hand.
        assert done.index("append") <= 1
        assert done.count("sweep") > 2
        rest = await spool.peek(10)
        assert [record.body for record in rest] == [b"0", b"1", b"2"]
        await spool.forget([record.id for record in rest])
        assert not in_files(tmp_path)
