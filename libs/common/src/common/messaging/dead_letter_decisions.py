"""What people decide about dead letters: replay, mend or dismiss one; and the end of the problem that it raised."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError

from common.contracts.alerts import ProblemResolvedV1
from common.contracts.envelope import Envelope
from common.contracts.validation import faults_of, validation_faults
from common.errors import Conflict, FieldError, NotFound, Unprocessable
from common.ids import derived_id
from common.messaging import outbox, topology
from common.messaging.dead_letters import group_fingerprint, lock_group
from common.postgres import Connection, Record

_LOCK = "SELECT * FROM dead_letters WHERE id = $1 FOR UPDATE"
_FORGET_FAILURES = "DELETE FROM delivery_failures WHERE consumer = $1 AND event_id = $2"
_DECIDE = "UPDATE dead_letters SET replayed_at = now(), replayed_by = $2, decision = $3, mended = $4 WHERE id = $1"
_STILL_OPEN = """
SELECT DISTINCT subject FROM dead_letters
WHERE queue = $1 AND handler = $2 AND reason = $3 AND subject = ANY($4::text[]) AND replayed_at IS NULL
UNION ALL
SELECT NULL WHERE EXISTS (SELECT FROM dead_letters WHERE queue = $1 AND handler = $2 AND reason = $3 AND replayed_at IS NULL)
"""


async def replay(connection: Connection, letter_id: int, *, actor: str) -> Record:
    """Send a dead letter to its queue again, in the caller's transaction. Returns the row as it was.

    The outbox carries it: published at least once, and confirmed, before the outbox forgets it; a consumer's inbox recognises what comes
    twice. Raises ``NotFound``, or ``Conflict`` when it was decided before: two operators at once send it once.
    """
    letter = await _undecided(connection, letter_id)
    _need_unerased(letter)
    await _send(connection, letter, letter["body"])
    await connection.execute(_DECIDE, letter_id, actor, "replayed", None)
    return letter


async def mend(connection: Connection, letter_id: int, *, body: Any = None, data: Any = None, actor: str) -> Record:
    """Send a mended message to the queue instead, under the id of the dead one, as ``replay`` does; the dead one stays as it was.

    ``body`` is a whole message, ``data`` only its content. Raises ``NotFound``, ``Conflict``, or ``Unprocessable`` with the fields at
    fault when the message does not fit its type or does not belong to that queue.
    """
    letter = await _undecided(connection, letter_id)
    envelope = mended(letter, body=body, data=data)
    raw = envelope.encode()
    await _send(connection, letter, raw)
    await connection.execute(_DECIDE, letter_id, actor, "mended", raw)
    return letter


async def dismiss(connection: Connection, letter_id: int, *, actor: str) -> Record:
    """Decide that nothing more is to be done about it. Returns the row as it was. Raises ``NotFound``, ``Conflict``."""
    letter = await _undecided(connection, letter_id)
    await connection.execute(_DECIDE, letter_id, actor, "dismissed", None)
    return letter


async def ended_problems(connection: Connection, letters: Iterable[Record], *, service: str) -> list[Envelope]:
    """Return the ends of the problems of which nothing is undecided any more, to be published in the transaction of the decisions.

    That of no order ends when nothing of its handler and reason is undecided: releases before this one had no other.

    A letter that is stored meanwhile either is seen here, or raises the problem anew after this has ended it.
    """
    ends: list[Envelope] = []
    groups: dict[tuple[str, str, str], dict[str | None, int]] = {}
    for letter in letters:
        subjects = groups.setdefault((letter["queue"], letter["handler"], letter["reason"]), {})
        for subject in (letter["subject"], None):
            subjects[subject] = max(letter["id"], subjects.get(subject, 0))
    for group, subjects in sorted(groups.items()):  # in one order everywhere, so that two transactions cannot deadlock
        await lock_group(connection, *group)
        named = [subject for subject in subjects if subject is not None]
        still_open = {row["subject"] for row in await connection.fetch(_STILL_OPEN, *group, named)}
        now = datetime.now(UTC)
        for subject, last in subjects.items():
            if subject in still_open:
                continue
            over = ProblemResolvedV1(
                fingerprint=group_fingerprint(*group, subject),
                summary="every such dead letter was replayed, mended or dismissed",
                service=service,
                occurred_at=now,
            )
            event_id = derived_id("dead_letter.over", over.fingerprint, str(last))
            ends.append(Envelope.of(over, event_id=event_id, source=f"/{service}", subject=subject, time=now))
    return ends


def mended(letter: Record, *, body: Any = None, data: Any = None) -> Envelope:
    """Return the message that is to be sent instead. Raises ``Unprocessable`` with the fields at fault."""
    envelope = _with_data(letter["body"], data) if body is None else _whole(body, letter["event_id"])
    faults = list(faults_of(envelope))
    if letter["event_id"] is not None and envelope.id != letter["event_id"]:
        faults.append(FieldError("id", "must_stay", "a mended message keeps the id of the dead one"))
    spec = next((spec for spec in topology.QUEUES if spec.name == letter["queue"]), None)
    if spec is not None and not any(_matches(envelope.type, pattern) for pattern in spec.patterns):
        faults.append(FieldError("type", "not_of_this_queue", f"{letter['queue']} takes {', '.join(spec.patterns)}"))
    if faults:
        raise Unprocessable("the mended message does not fit", fields=tuple(faults))
    return envelope


def _with_data(original: bytes, data: Any) -> Envelope:
    try:
        envelope = Envelope.decode(original)
    except ValueError:
        raise Unprocessable("the dead letter is no CloudEvent; send a whole message as `body`") from None
    if envelope.data_base64 is not None:
        raw = data.encode() if isinstance(data, str) else orjson.dumps(data)
        return envelope.model_copy(update={"data_base64": base64.b64encode(raw).decode("ascii")})
    if not isinstance(data, dict):
        fault = FieldError("data", "not_an_object", "the content of this message is a JSON object")
        raise Unprocessable("the mended message does not fit", fields=(fault,))
    return envelope.model_copy(update={"data": data})


def _whole(body: Any, event_id: str | None) -> Envelope:
    if isinstance(body, dict):
        named = {} if event_id is None else {"id": event_id}
        body = orjson.dumps({**named, **body}).decode()
    try:
        return Envelope.decode(str(body).encode("utf-8", "replace"))
    except ValidationError as error:
        raise Unprocessable("the mended message is no CloudEvent", fields=validation_faults(error)) from None


def _matches(event_type: str, pattern: str) -> bool:
    return event_type.startswith(pattern.removesuffix("#")) if pattern.endswith("#") else event_type == pattern


async def _undecided(connection: Connection, letter_id: int) -> Record:
    letter = await connection.fetchrow(_LOCK, letter_id)
    if letter is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    if letter["replayed_at"] is not None:
        decision = letter["decision"] or "replayed"
        raise Conflict(f"dead letter {letter_id} was {decision} before, by {letter['replayed_by']}")
    return letter


def _need_unerased(letter: Record) -> None:
    if letter["erased_at"] is not None:
        raise Conflict("the customer's data in it were erased: what is left is not to be sent; mend or dismiss it")


async def _send(connection: Connection, letter: Record, body: bytes) -> None:
    if letter["event_id"] is not None:
        await connection.execute(_FORGET_FAILURES, letter["handler"], letter["event_id"])
    await outbox.add_raw(connection, exchange="", routing_key=letter["queue"], body=body)
