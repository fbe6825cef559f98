"""Events that travel together come out as they went in, whatever they hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.batch import pack, unpack
from common.contracts.envelope import Envelope
from common.contracts.intake import HOOK_RECEIVED, IntakeMessage

HOOK = IntakeMessage(
    type=HOOK_RECEIVED,
    event_id="e",
    delivery_id="d",
    source="sbermarket",
    event="order.created",
    body_form="envelope",
    body=b"",
    received_at=datetime(2026, 11, 21, 7, 0, 0, 120, tzinfo=UTC),
    replica="gw-1",
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
HOOKS = st.builds(
    lambda body, name, headers, size: replace(HOOK, body=body * size, event_id=name, headers=headers),
    st.binary(max_size=60),
    st.sampled_from(["a", "b", "c"]),  # so that some are repeats, in one batch and in several
    st.none() | TEXTS,
    st.integers(1, 2000),
)


@given(st.lists(st.lists(HOOKS, min_size=1, max_size=6) | HOOKS, max_size=5))
def test_batches_and_single_events_in_any_mixture_come_out_byte_for_byte(
    sent: list[list[IntakeMessage] | IntakeMessage],
) -> None:
    messages = [pack([hook.encode() for hook in each]) if isinstance(each, list) else each.encode() for each in sent]
    arrived = [event for message in messages for event in unpack(message)]
    hooks = [hook for each in sent for hook in (each if isinstance(each, list) else [each])]
    assert arrived == [hook.encode() for hook in hooks]
    assert [IntakeMessage.from_envelope(Envelope.decode(event)) for event in arrived] == hooks


@given(
    st.sampled_from([b"", b"[", zstandard.FRAME_HEADER]).flatmap(
        lambda first: st.binary(max_size=200).map(first.__add__)
    )
)
def test_no_body_whatever_unpacks_to_nothing_or_to_an_error(body: bytes) -> None:
    assert unpack(body)


COMPRESSED = zstandard.ZstdCompressor().compress
NO_BATCHES = {
    "an empty array": b"[]",
    "half an array": b"[1,",
    "an object": b"{}",
    "nothing": b"",
    "no text": b"\xff",
    "too deep": b"[" * 2000,
    "compressed, and no array": COMPRESSED(b"{}"),
    "compressed, and empty": COMPRESSED(b"[]"),
    "compressed, and cut off": COMPRESSED(b"[1,2]")[:-3],
    "compressed, and larger than memory": COMPRESSED(b"[" + b" " * 2_000_000 + b"1]"),
    "compressed, and its size untold": zstandard.ZstdCompressor(write_content_size=False).compress(b"[1]"),
}


@pytest.mark.parametrize("body", NO_BATCHES.values(), ids=NO_BATCHES)
def test_what_is_no_batch_stays_as_it_is(body: bytes) -> None:
    assert unpack(body) == [body]


def test_a_batch_of_a_replica_that_does_not_compress_yet_is_read_too() -> None:
    events = [replace(HOOK, event_id=name).encode() for name in "ab"]
    assert unpack(b"[" + b",".join(events) + b"]") == unpack(pack(events)) == events


@given(st.lists(st.none() | st.integers(-9, 9) | TEXTS | st.lists(TEXTS, max_size=2), min_size=1, max_size=4))
def test_members_of_a_batch_that_are_no_events_are_members_all_the_same(members: list[object]) -> None:
    assert [orjson.loads(member) for member in unpack(orjson.dumps(members))] == members
