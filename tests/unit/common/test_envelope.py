"""The envelope and the intake events on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts import Envelope, exchange_of, parse
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.intake import HOOK_RECEIVED, IntakeMessage

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@given(
    body=st.binary(),
    external_id=st.none() | st.text(),
    sent_at=st.none() | st.just("2026-11-21T10:00:00+03:00"),
    form=st.sampled_from(["envelope", "payload"]),
    lane=st.sampled_from(["broker", "spool"]),
    status=st.none() | st.integers(100, 599),
)
def test_a_hook_survives_the_wire_byte_for_byte(
    body: bytes, external_id: str | None, sent_at: str | None, form: str, lane: str, status: int | None
) -> None:
    """Whatever the body, what comes out is what went in."""
    hook = IntakeMessage(
        type=HOOK_RECEIVED,
        event_id="e",
        delivery_id="d",
        source="sbermarket",
        event="order.created",
        body_form=form,  # type: ignore[arg-type]  # sampled from the two literals
        body=body,
        received_at=NOW,
        replica="gateway-1",
        number="N",
        external_id=external_id,
        sent_at=sent_at,
        lane=lane,  # type: ignore[arg-type]  # as above
        status=status,
    )
    assert IntakeMessage.from_envelope(Envelope.decode(hook.to_envelope().encode())) == hook


def test_an_encoded_event_is_a_cloud_event_in_structured_mode() -> None:
    """The fields stand where CloudEvents 1.0 puts them; what is not there is left out."""
    message = ProblemResolvedV1(fingerprint="f", summary="over", service="test", occurred_at=NOW)
    event = Envelope.of(message, event_id="e1", source="/test", subject=None, time=NOW)
    assert orjson.loads(event.encode()) == {
        "specversion": "1.0",
        "id": "e1",
        "source": "/test",
        "type": "alerts.problem.resolved.v1",
        "time": "2026-11-21T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {"fingerprint": "f", "summary": "over", "service": "test", "occurred_at": "2026-11-21T10:00:00Z"},
    }
    assert exchange_of(event.type) == "alerts"


def test_fields_that_a_newer_sender_added_are_ignored() -> None:
    """Old code reads new messages."""
    event = Envelope(
        id="e1",
        source="/test",
        type=ProblemResolvedV1.TYPE,
        time=NOW.astimezone(timezone(timedelta(hours=3))),
        data={"fingerprint": "f", "summary": "s", "service": "t", "occurred_at": NOW.isoformat(), "colour": "red"},
    )
    assert parse(event, ProblemResolvedV1).fingerprint == "f"


@pytest.mark.parametrize(
    "time",
    ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-12:00"],
)
def test_a_moment_that_no_table_gives_back_makes_no_event(time: str) -> None:
    """PostgreSQL keeps the very last moment as infinity: a worker that read it failed as a whole."""
    sound = {"id": "e", "source": "/test", "type": "test"}
    assert Envelope.decode(orjson.dumps({**sound, "time": "9998-12-31T23:59:59Z"})).id == "e"
    with pytest.raises(ValueError, match="time"):
        Envelope.decode(orjson.dumps({**sound, "time": time}))


def test_a_message_of_another_type_is_refused() -> None:
    """Parsing by the wrong model is an error, not a guess."""
    event = Envelope(id="e1", source="/test", type=ProblemResolvedV1.TYPE, time=NOW, data={})
    with pytest.raises(ValueError, match=r"expected alerts\.problem\.raised\.v1"):
        parse(event, ProblemRaisedV1)


def test_an_event_without_raw_bytes_says_so() -> None:
    """Asking for bytes that are not there is an error that names the event."""
    with pytest.raises(ValueError, match="e1"):
        _ = Envelope(id="e1", source="/t", type="x.y.v1", time=NOW).raw
