"""The document of an order."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.documents.model import digest, render
from tests.unit.orchestrator.factories import STATE


def test_a_document_says_what_was_bought_and_is_the_same_for_the_same_order() -> None:
    document = render(STATE)
    assert document == (
        "Order 7Q3M0V9XK2TDW8RC\nOf sm, H1\nStore 17\nPaid by card\n\n"
        "1. Milk of cows | 3 | 255.00\n2. b | 1 | 100.00\n\nTotal 355.00 RUB\n"
    )
    assert digest(render(replace(STATE, comment="ring twice", shipped=True))) == digest(document)
