"""What an error that is not ours says is told, and nothing of whom it was about."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestrator.engine.harmless import LONGEST, harmless
from orchestrator.engine.model import WorkflowEvent

PAYLOAD = {
    "event_type": "order.created",
    "payload": {
        "originalOrderId": "H1",
        "customer": {"firstName": "Зинаида", "contacts": ["Меткина", "Smirnov"]},
        "address": {"text": "Садовая, 12"},
        "positions": [{"id": "sku-1"}],
    },
}


def event(payload: bytes) -> WorkflowEvent:
    return WorkflowEvent(
        type="order.created", event_id="e", attributes={}, payload=payload, received_at=datetime.now(UTC)
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("'positions'", "'positions'"),
        ("'Зинаида'", "[masked]"),
        ('column "total_price" of relation "orders"', 'column "total_price" of relation "orders"'),
        ("invalid literal for int() with base 10: 'два'", "invalid literal for int() with base 10: [masked]"),
        ("list index out of range", "list index out of range"),
        ("no order for Зинаиды Меткиной of Садовой", "no order for [masked] [masked] of [masked]"),
        ("Anna Karenina lives here", "[masked] [masked] lives here"),
        ("no smirnov in 'NoneType'", "no s*** in 'NoneType'"),
        ("Object of type Decimal is not JSON serializable", "Object of type [masked] is not JSON serializable"),
        ("call +7 916 777-28-91\n  or z@example.org", "call [masked] or [masked]"),
        ("it says 'Зинаида and no more", "it says [masked]"),
        ("order H1 of sku-1", "order H1 of sku-1"),
        ("", ""),
    ],
)
def test_an_errors_words_are_told_without_anybody_in_them(said: str, told: str) -> None:
    assert harmless(said, [event(json.dumps(PAYLOAD).encode()), event(b"\xff")]) == told


def test_a_long_error_ends_after_so_many_characters() -> None:
    told = harmless("no room " * 100, ())
    assert (len(told), told[-1]) == (LONGEST, "…")
