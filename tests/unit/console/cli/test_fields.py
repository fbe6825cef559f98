"""What a person writes as an option, and the value that goes to the service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.cli.exits import EndedError, Exit
from console.cli.fields import minor_units, read, read_filter, read_json, read_moment
from console.client.operations import Field


@pytest.mark.parametrize(
    ("written", "currency", "minor"),
    [("10.50", "RUB", 1050), ("10", "RUB", 1000), ("0.01", "RUB", 1), ("150", "JPY", 150), ("1.234", "KWD", 1234)],
)
def test_a_sum_becomes_minor_units_of_its_currency(written: str, currency: str, minor: int) -> None:
    assert minor_units(written, currency, "--amount") == minor


@pytest.mark.parametrize(
    ("written", "currency"),
    [
        ("10.505", "RUB"),
        ("1.5", "JPY"),
        ("0", "RUB"),
        ("-1", "RUB"),
        ("10,50", "RUB"),
        ("NaN", "RUB"),
        ("Infinity", "RUB"),
        ("1e99", "RUB"),
        ("1", "XXX"),
        ("", "RUB"),
    ],
)
def test_what_is_no_exact_sum_is_refused_and_never_rounded(written: str, currency: str) -> None:
    with pytest.raises(EndedError, match="is no sum in") as refused:
        minor_units(written, currency, "--amount")
    assert refused.value.code is Exit.USAGE


def test_times_are_iso_now_or_some_time_from_now() -> None:
    now = datetime.now(UTC)
    assert read_moment("2026-01-31T10:00+03:00", "--since", UTC) is not None
    assert datetime.fromisoformat(read_moment("2026-01-31T10:00+03:00", "--x", UTC)) == datetime(
        2026, 1, 31, 7, tzinfo=UTC
    )
    assert datetime.fromisoformat(read_moment("+2h", "--x", UTC)) - now >= timedelta(hours=2)
    assert datetime.fromisoformat(read_moment("-1d", "--x", UTC)) < now
    for wrong in ("yesterday", "+2y", "+999999w", "2026-13-01"):
        with pytest.raises(EndedError, match="is no time"):
            read_moment(wrong, "--x", UTC)


def test_json_stands_there_or_in_a_file_and_has_the_right_shape(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"a": "я"}')
    body = Field("body", "object", True, {})
    assert read(body, f"@{tmp_path / 'body.json'}", UTC) == {"a": "я"}
    assert read(body, '{"b": 1}', UTC) == {"b": 1}
    for wrong in ("[1]", "{bad", "@/nowhere", "[" * 100_000):
        with pytest.raises(EndedError, match="--body"):
            read(body, wrong, UTC)
    with pytest.raises(EndedError):
        read_json("", "--body")


def test_a_filter_takes_only_names_and_values_that_the_operation_has() -> None:
    fields = (
        Field("state", "string", False, {"enum": ["open", "closed"]}),
        Field("open", "boolean", False, {}),
        Field("incident", "integer", False, {}),
        Field("numbers", "array", False, {}),
    )
    given = ["state=open", "open=true", "incident=3", "numbers=A", "numbers=B=C"]
    assert read_filter(given, fields, UTC) == {"state": "open", "open": True, "incident": 3, "numbers": ["A", "B=C"]}
    assert read_filter([], fields, UTC) is None
    for wrong in (
        ["other=1"],
        ["state"],
        ["state=odd"],
        ["open=maybe"],
        ["incident=x"],
        ["state=open", "state=closed"],
    ):
        with pytest.raises(EndedError) as refused:
            read_filter(wrong, fields, UTC)
        assert refused.value.code is Exit.USAGE
