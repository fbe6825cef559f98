"""Times, ids, texts and names of events as sources write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.reading import event_name, identifier, read_moment, text_of

MOMENT = datetime(2026, 2, 2, 5, 28, 32, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-02-02T05:28:32Z",
        "2026-02-02T08:28:32+03:00",
        "2026-02-02 08:28:32 +0300",
        "2026-02-02T08:28:32+03:00[Europe/Moscow]",
        "2026-02-02 05:28:32",
        "2026-02-02T05:28:32.000z",
        "20260202T052832Z",
        "\u200e2026-02-02T05:28:32Z\u200f",
        "Mon, 02 Feb 2026 08:28:32 +0300",
        "Mon, 02 Feb 2026 05:28:32 GMT",
        "2 Feb 2026 08:28:32 +0300 (MSK)",
        "Mon, 02 Feb 2026 00:28:32 EST",
        "Mon, 02 Feb 2026 08:28:32 +03:00",
        "Mon Feb 02 2026 08:28:32 GMT+0300 (Moscow Standard Time)",
        " 1770010112 ",
        1770010112,
        1770010112.0,
        "1770010112000",
        1770010112000,
        "1770010112000000",
        1770010112000000000,
    ],
)
def test_a_moment_is_read_in_any_usual_form(written: object) -> None:
    assert read_moment(written) == MOMENT


def test_digits_only_are_a_number_and_never_a_year() -> None:
    assert read_moment("1770010112345") == MOMENT + timedelta(milliseconds=345)


@pytest.mark.parametrize(
    "written",
    ["", "soon", "0001-01-01T00:00:00Z", "1770-01-01T00:00:00Z", "2300-01-01T00:00:00Z", "20261121100000", "2026-13-01T00:00:00Z", "7",
     0, -1,
     True, None, [], {}, "9" * 30, float("nan"), float("inf"), "2026-02-02T25:00:00Z", "x" * 100,
     "2 Feb 2026 05:28:32 PM", "Mon, 02 Feb 2026 08:28:32 MSK", "Mon, 02 Feb 2026 08:28:32 GMT+3",
     "Mon Feb  2 08:28:32 MSK 2026", "Feb 2, 2026, 05:28:32 PM"],
)  # fmt: skip
def test_an_impossible_time_is_no_time(written: object) -> None:
    assert read_moment(written) is None


@pytest.mark.parametrize(
    ("written", "read"),
    [("2026-02-02T05:28:32Z", MOMENT), (1770010112, MOMENT), ("2026-02-02T05:28:32", None), ("2026-02-02", None)],
)
def test_a_clock_on_a_wall_is_no_moment_where_the_zone_counts(written: object, read: datetime | None) -> None:
    assert read_moment(written, zoned=True) == read


def test_what_lies_more_than_a_day_ahead_is_no_time() -> None:
    assert read_moment("2026-02-03T05:00:00Z", now=MOMENT) is not None
    assert read_moment("2026-02-04T05:28:33Z", now=MOMENT) is None


@given(st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)), st.integers(-14, 14))  # noqa: DTZ001 - the zone is given next
def test_every_moment_survives_its_iso_form(moment: datetime, hours: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert read_moment(aware.isoformat()) == aware


@given(st.text(max_size=40) | st.integers() | st.floats())
def test_no_time_makes_the_reader_raise(written: object) -> None:
    moment = read_moment(written)
    assert moment is None or 2000 <= moment.year <= 2100


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("H1", "H1"),
        (17, "17"),
        (17.0, "17"),
        (" a ", "a"),
        ("\ufeffH1\u200b ", "H1"),
        ("и\u0306-1", "и\u0306-1"),  # in one letter it would be another order's: its number is made of it
        ("\u202dH1\u202c", "H1"),
        ("a\u200bb", None),
        ("a\ud83d", None),
        ("", None),
        (" ", None),
        ("a\x00", None),
        (True, None),
        (1.5, None),
        ("x" * 256, None),
    ],
)
def test_an_id_is_one_to_255_printable_characters(written: object, read: str | None) -> None:
    assert identifier(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (" a\x00b ", "ab"),
        ("a\ud800", "a?"),
        (7, "7"),
        (7.0, "7"),
        (1.5, "1.5"),
        (True, None),
        ("", None),
        ({}, None),
        (None, None),
    ],
)
def test_texts_are_such_as_a_database_holds(written: object, read: str | None) -> None:
    assert text_of(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("order.created", "order.created"),
        (" ORDER.CREATED\n", "order.created"),
        ("\u200border.created\ufeff", "order.created"),
        ("Order.Updated", "order.changed"),
        ("order.canceled", "order.cancelled"),
        *(
            (name, "order.created")
            for name in ("order_created", "orderCreated", "ORDER-CREATED", "order:created", "order created")
        ),
        ("ORDER_CANCELED", "order.cancelled"),
        ("о\u0440der.created", "о\u0440der.created"),
        ("Courier.Assigned", "courier.assigned"),
        ("courier_assigned", "courier_assigned"),
        ("", None),
        ("a\x00b", None),
        (7, None),
        ("x" * 101, None),
    ],
)
def test_names_of_events_are_compared_trimmed_and_in_any_case(written: object, read: str | None) -> None:
    assert event_name(written) == read
