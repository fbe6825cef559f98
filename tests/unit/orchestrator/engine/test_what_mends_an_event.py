"""A mended event is written again: what cannot be does not fit."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from orchestrator.engine.routes import MendEvent


def test_a_payload_with_a_number_of_more_than_64_bits_does_not_fit() -> None:
    with pytest.raises(ValidationError) as caught:
        MendEvent.model_validate({"reason": "mended", "payload": {"positions": [{"quantity": 2**64}]}})
    assert [finding["loc"] for finding in caught.value.errors()] == [("payload",)]
