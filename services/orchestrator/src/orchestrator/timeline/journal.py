"""Takes over what the other services note of an order in their journals."""

from __future__ import annotations

from collections.abc import Sequence

from common.contracts.envelope import Envelope, parse
from common.contracts.journal import JournalEntryV1
from common.postgres import Connection
from orchestrator.engine.model import TimelineEntry
from orchestrator.engine.store import add_to_timeline


async def add_journal_entries(connection: Connection, envelopes: Sequence[Envelope]) -> None:
    """Add journal entries to the timelines of their orders, in the consumer's transaction."""
    await add_to_timeline(connection, [_entry(envelope) for envelope in envelopes])


def _entry(envelope: Envelope) -> TimelineEntry:
    entry = parse(envelope, JournalEntryV1)
    said = {name: getattr(entry, name) for name in JournalEntryV1.model_fields}
    return TimelineEntry(**said, traceparent=envelope.traceparent)
