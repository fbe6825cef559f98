"""An event that a person enters is written as a hook: what cannot be written again does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from webhook_gateway.deliveries.views import EnterEvent

EVENT: dict[str, Any] = {"source": "sbermarket", "event_type": "order.created", "reason": "it never came"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"payload": {"originalOrderId": "A", "positions": [{"quantity": 2**64}]}}, "payload"),
        ({"payload": {"originalOrderId": "A"}, "timestamp": 10**30}, "timestamp"),
    ],
)
def test_a_number_of_more_than_64_bits_does_not_fit(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EnterEvent.model_validate(EVENT | changes)
    assert {finding["loc"][0] for finding in caught.value.errors()} == {field}


def test_a_number_of_64_bits_fits() -> None:
    kept = EnterEvent.model_validate(EVENT | {"payload": {"a": 2**63}, "timestamp": 1764410000})
    assert (kept.payload, kept.timestamp) == ({"a": 2**63}, 1764410000)
