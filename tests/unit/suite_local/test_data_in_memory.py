"""Where throw-away servers keep their data."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite_local import memory
from suite_local.paths import RunDirectory

NAMES = ("postgres", "rabbitmq")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run directory, with something in it that must stay."""
    run = RunDirectory(tmp_path / "run")
    run.create()
    return run


@pytest.fixture
def tmpfs(tmp_path: Path) -> Path:
    """Stands for the file system in memory; somebody else has something there."""
    (tmp_path / "tmpfs" / "another").mkdir(parents=True)
    return tmp_path / "tmpfs"


@pytest.mark.parametrize("roomy", [True, False])
def test_each_start_finds_empty_directories_and_the_end_leaves_none(
    run: RunDirectory, tmpfs: Path, monkeypatch: pytest.MonkeyPatch, roomy: bool
) -> None:
    monkeypatch.setattr(memory, "has_room", lambda _: roomy)
    for _ in range(2):
        memory.place(run, NAMES, tmpfs=tmpfs)
        assert [list((run.root / name).iterdir()) for name in NAMES] == [[], []]
        assert [tmpfs in (run.root / name).resolve().parents for name in NAMES] == [roomy, roomy]
        (run.root / "postgres" / "PG_VERSION").write_text("18")

    for _ in range(2):
        memory.forget(run, NAMES, tmpfs=tmpfs)
        assert sorted(path.name for path in run.root.iterdir()) == ["logs", "secrets"]
        assert [path.name for path in tmpfs.iterdir()] == ["another"]


def test_what_lay_on_the_disk_makes_room_for_what_lies_in_memory(
    run: RunDirectory, tmpfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "has_room", lambda _: True)
    (run.root / "postgres" / "data").mkdir(parents=True)
    memory.place(run, NAMES, tmpfs=tmpfs)
    assert (run.root / "postgres").is_symlink()
    assert list((run.root / "postgres").iterdir()) == []


def test_where_nothing_can_be_made_in_memory_the_disk_is_taken(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "has_room", lambda _: True)
    (tmp_path / "file").touch()
    memory.place(run, NAMES, tmpfs=tmp_path / "file")
    assert [(run.root / name).is_dir() and not (run.root / name).is_symlink() for name in NAMES] == [True, True]


def test_without_such_a_file_system_or_enough_memory_the_disk_is_taken(
    tmpfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert memory.has_room(tmpfs / "nowhere") is False
    monkeypatch.setattr(memory, "_available", lambda: memory.SPARE - 1)
    assert memory.has_room(tmpfs) is False


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(memory, "_LIMITS", ((str(limit), str(used)),))
    unlimited = memory._available()
    used.write_text("1000\n")
    limit.write_text("max\n")
    assert memory._available() > 1_000_000
    limit.write_text("4096\n")
    assert memory._available() == 3096 < unlimited
