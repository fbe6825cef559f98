"""Moments and numbers from outside: what the rest of the suite cannot hold does not fit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel, ValidationError

from common.http import JsonObject, Moment, PlainDecimal


class Demand(BaseModel):
    """A body with a moment and a number."""

    at: Moment
    quantity: PlainDecimal


class Body(BaseModel):
    """What an operator has mended."""

    body: JsonObject


GOOD = '"2026-11-21T10:00:00+03:00"'


def test_a_moment_is_kept_in_utc_and_a_number_may_come_as_a_string() -> None:
    read = Demand.model_validate_json(f'{{"at": {GOOD}, "quantity": "1.50"}}')
    assert (read.at, read.at.tzinfo, read.quantity) == (datetime(2026, 11, 21, 7, tzinfo=UTC), UTC, Decimal("1.50"))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-11-21T10:00:00"])
def test_a_moment_that_utc_cannot_name_does_not_fit(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Demand.model_validate_json(f'{{"at": "{text}", "quantity": 1}}')
    assert [finding["loc"] for finding in caught.value.errors()] == [("at",)]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_what_postgresql_takes_for_infinity_is_moved_by_a_microsecond(text: str) -> None:
    """It comes back without a zone: a silence for ever was a fault."""
    read = Demand.model_validate_json(f'{{"at": "{text}", "quantity": 1}}')
    assert abs(read.at - datetime.fromisoformat(text)) == timedelta(microseconds=1)


@pytest.mark.parametrize("value", ["[0, [1, 2], 0]", '["a", "b", "c"]', "[0, 0, 0]", "[1, 2]"])
def test_a_list_is_no_number(value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Demand.model_validate_json(f'{{"at": {GOOD}, "quantity": {value}}}')
    assert [finding["loc"] for finding in caught.value.errors()] == [("quantity",)]


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400])
def test_an_object_with_a_number_that_cannot_be_written_again_does_not_fit(number: int) -> None:
    """An operator's mended order with such a number was a fault of ours."""
    with pytest.raises(ValidationError) as caught:
        Body.model_validate({"body": {"positions": [{"quantity": number}]}})
    assert [finding["loc"] for finding in caught.value.errors()] == [("body",)]
    assert Body.model_validate({"body": {"quantity": 2**63}}).body == {"quantity": 2**63}
