"""Whatever an authenticated sender's body is: read without an exception, made an event that decodes, answered by the table."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.ids import order_number
from tests.support.hook_fuzz import bodies
from webhook_gateway.durable.keep_safe import KeepSafe
from webhook_gateway.durable.model import StoragePath
from webhook_gateway.hooks.accept import AcceptHook
from webhook_gateway.hooks.authentication import ClientToken
from webhook_gateway.hooks.model import Outcome, Source
from webhook_gateway.hooks.reading import Reading, read_hook

SOURCE = Source(name="sbermarket", authenticator=ClientToken(["token"]))
ORDER = {"originalOrderId": "H1", "positions": [{"id": "1", "quantity": 2, "price": "0"}]}


class Encoding(KeepSafe):
    """A safe place that holds the encoding against the contract."""

    def __init__(self) -> None:
        """Open nothing."""

    async def __call__(self, hook: IntakeMessage) -> StoragePath:
        assert IntakeMessage.from_envelope(Envelope.decode(hook.encode())) == hook
        return "broker"


async def accepted(count: int, seed: int) -> Counter[tuple[int, Outcome]]:
    """Take so many bodies and count the answers."""
    accept = AcceptHook(Encoding(), replica="gw-1")
    answers: Counter[tuple[int, Outcome]] = Counter()
    now = datetime(2026, 11, 21, tzinfo=UTC)
    for body in bodies(count, seed=seed):
        verdict = await accept(SOURCE, body, headers="{}", received_at=now, traceparent=None)
        reading = read_hook(body)
        assert (reading.external_id is not None or reading.ignorable) is (verdict.status == 200), body
        if verdict.body is not None and reading.external_id is not None and not reading.ignorable:
            assert verdict.body["number"] == order_number("sbermarket", reading.external_id)
        answers[verdict.status, verdict.outcome] += 1
    return answers


async def test_mutated_hooks_are_answered_by_the_table() -> None:
    answers = await accepted(3_000, seed=20261121)
    assert set(answers) == {(200, Outcome.CONFIRMED), (200, Outcome.QUARANTINED), (400, Outcome.QUARANTINED)}


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
async def test_a_hundred_thousand_mutated_hooks_are_answered_by_the_table(seed: int) -> None:
    answers = await accepted(25_000, seed=seed)
    assert set(answers) == {(200, Outcome.CONFIRMED), (200, Outcome.QUARANTINED), (400, Outcome.QUARANTINED)}


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "1" + "0" * 9_999, "-" + "7" * 5_000, "0." + "3" * 9_999, "1" * 4_301, "9" * 400]
)
def test_a_number_beyond_all_bounds_spoils_a_field_and_not_the_hook(number: str) -> None:
    raw = json.dumps({"event_type": "order.created", "payload": ORDER}).replace('"0"', number).encode()
    reading = read_hook(raw)
    assert (reading.event, reading.external_id, len(reading.digest)) == ("order.created", "H1", 64)


@pytest.mark.parametrize("number", ["9" * 256, "9" * 4_300, "9" * 10_000, "-" + "9" * 255, "1e400", "1e308"])
def test_an_order_id_is_no_longer_as_a_number_than_as_text(number: str) -> None:
    raw = json.dumps({"event_type": "order.created", "payload": ORDER}).replace('"H1"', number).encode()
    assert read_hook(raw).external_id is None


@pytest.mark.parametrize(("number", "order"), [("1.0", "1"), ("9" * 30, None)])
def test_a_body_that_only_one_parser_reads_is_named_and_raises_nothing(number: str, order: str | None) -> None:
    raw = f'{{"event_type":"order.created","payload":{{"originalOrderId":{number},"x":{"[" * 1010}{"]" * 1010}}}}}'
    reading = read_hook(raw.encode())
    assert (reading.external_id, reading.problems[0].code) == (order, "too_deep")


def test_of_two_equal_keys_the_last_one_counts_for_both_parsers() -> None:
    strict = b'{"event_type":"order.paid","payload":{"originalOrderId":"H1","originalOrderId":"H2","positions":[]}}'
    lenient = strict.replace(b"[]", b'[{"id":"1","quantity":NaN}]')
    readings: list[Reading] = [read_hook(strict), read_hook(lenient)]
    assert [reading.external_id for reading in readings] == ["H2", "H2"]
