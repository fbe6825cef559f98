"""In what order `make test` hands the tests out."""

from __future__ import annotations

from pathlib import Path

from suite_local.checks import test_directories as directories  # not under a name that pytest would take for a test


def test_what_takes_long_goes_first_and_every_folder_once_but_benchmarks(tmp_path: Path) -> None:
    for name in (
        "unit/common/test_a.py",
        "unit/common/http/test_b.py",
        "integration/tips/test_c.py",
        "integration/suite_local/test_d.py",
        "e2e/test_e.py",
        "bench/test_f.py",
        "support/helper.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert [str(Path(folder).relative_to(tmp_path)) for folder in directories(tmp_path)] == [
        "e2e",
        "integration/suite_local",
        "integration/tips",
        "unit/common",
    ]
