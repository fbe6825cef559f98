"""Whatever the gateway answers with a yes the orchestrator reads, folds, stores, announces and finds again: bodies mutated at any place."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from common.contracts.envelope import Envelope, parse
from common.contracts.intake import HOOK_RECEIVED
from common.contracts.registry import MESSAGES
from common.ids import order_number
from orchestrator.documents.model import render
from orchestrator.orders import messages
from orchestrator.orders.contacts import contacts_of
from orchestrator.orders.decisions import decide
from orchestrator.orders.fold import fold
from orchestrator.orders.hooks import read_all, to_workflow_event
from orchestrator.orders.store import decode_state, encode_state
from tests.support.hook_fuzz import TOKENS, bodies, valid_hook
from tests.support.order_payloads import random_payload
from webhook_gateway.hooks.accept import understand
from webhook_gateway.hooks.authentication import ClientToken
from webhook_gateway.hooks.model import Source
from webhook_gateway.website.model import read_order

SOURCE = Source(name="sbermarket", authenticator=ClientToken(["token"]))
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
_NOT_STORED = {"\x00", *map(chr, range(0xD800, 0xE000))}


def hooks(count: int, seed: int) -> Iterator[bytes]:
    """Bodies changed as text, bodies of odd spellings, and bodies of which any value is another one."""
    chance = random.Random(seed)  # noqa: S311 - makes bodies, not keys
    yield from bodies(count, seed=seed)
    for _ in range(count):
        event = chance.choice(["order.created", "order.changed", "order.paid"])
        yield json.dumps({"event_type": event, "payload": {"originalOrderId": "F", **random_payload(chance)}}).encode()
        document = valid_hook(chance, "F")
        replace_any(document, chance)
        yield json.dumps(document).encode()


def replace_any(document: dict[str, Any], chance: random.Random) -> None:
    """Replace some value, however deep it stands."""
    found: Any = document["payload"]
    while True:
        key = chance.choice(list(found) if isinstance(found, dict) else range(len(found)))
        inside = found[key]
        if not isinstance(inside, dict | list) or not inside or chance.random() < 0.3:
            break
        found = inside
    try:
        found[key] = json.loads(chance.choice(TOKENS))
    except (ValueError, RecursionError):
        found[key] = [None, {"a": [True]}]


def texts(value: Any) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def carried_out(body: bytes) -> str:
    """Have the gateway read a body, and carry it out with a sound order before it; return what became of it."""
    hook, _ = understand(SOURCE, body, headers="{}", received_at=NOW, replica="gw-1", traceparent=None)
    if hook.type != HOOK_RECEIVED:
        return hook.type
    sound = {"originalOrderId": hook.external_id, "positions": [{"id": "1", "quantity": 2, "price": "85.00"}]}
    first = replace(
        hook, event="order.created", event_id="first", body_form="payload", body=json.dumps(sound).encode(), sent_at=None, digest="0"
    )  # fmt: skip
    events = [
        replace(to_workflow_event(Envelope.decode(taken.to_envelope().encode())).event, seq=seq)
        for seq, taken in enumerate((first, hook), 1)
    ]
    number = hook.number or ""
    for taken in (events[1:], events):
        steps = fold(number, read_all(taken))
        after = steps[-1].after
        if after is None:
            continue
        document = orjson.loads(orjson.dumps(encode_state(after)))
        assert decode_state(document) == after
        assert not any(_NOT_STORED & set(text) for text in texts(document))
        assert all(sum_ is None or 0 <= sum_ < 2**63 for sum_ in (after.total_price, after.cost))
        decisions = decide(None, steps)
        for item in decisions.announcements:
            kind, encoded = messages.announcement(item, version=1, zone="z", tariff="t", now=NOW, traceparent=None)
            parse(Envelope.decode(encoded), MESSAGES[kind])
        for incident in decisions.raised:
            messages.problem_raised(incident, after, seq=1, zone="z", now=NOW, traceparent=None)
        assert all(abs(entry.quantity) < 10**12 for entry in decisions.stock)
        contacts_of(number, steps)
        render(after).encode()
    return "carried out"


def test_whatever_is_answered_with_a_yes_can_be_carried_out() -> None:
    answers = Counter(carried_out(body) for body in hooks(700, seed=14))
    assert answers["carried out"] > 700
    assert answers["intake.hook.quarantined.v1"] > 300


def test_whatever_order_of_a_website_is_taken_can_be_carried_out() -> None:
    answers: Counter[str] = Counter()
    chance = random.Random(15)  # noqa: S311 - makes bodies, not keys
    for _ in range(1000):
        document = valid_hook(chance, "W")
        replace_any(document, chance)
        body = json.dumps(document["payload"]).encode()
        order = read_order(body, currency="RUB")
        if order is None or order.problems:
            answers["refused"] += 1
            continue
        order.identity("website", "name")
        envelope = {
            "event_type": "order.created",
            "payload": {**document["payload"], "originalOrderId": order_number("w", "1")},
        }
        answers[carried_out(json.dumps(envelope).encode())] += 1
    assert set(answers) == {"refused", "carried out"}
    assert min(answers.values()) > 100
