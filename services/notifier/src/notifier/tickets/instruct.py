"""Write or remove what operators do about a kind of problem; audited with what it was before."""

from __future__ import annotations

from common.errors import ChangedSince, NotFound
from common.http import Change
from notifier.tickets.store import InstructionStore
from notifier.tickets.views import InstructionBody, InstructionChanged, InstructionView

_LONGEST_KIND = 200


async def instruct(change: Change, kind: str, wanted: InstructionBody) -> InstructionChanged:
    """Store the instruction of a kind, or remove it where ``text`` is null. Raises ``ChangedSince``."""
    if len(kind) > _LONGEST_KIND:
        raise NotFound("no such kind")
    store = InstructionStore(change.connection)
    row = await store.locked(kind)
    at = 0 if row is None else row["version"]
    ChangedSince.require(f"the instruction of {kind}", at=at, expected=wanted.expected_version)
    before, after = None if row is None else InstructionView(**row), None
    if wanted.text is None:
        await store.remove(kind)
    else:
        row = await store.put(kind, text=wanted.text, call=wanted.call, queue=wanted.queue, by=change.principal.name)
        after = InstructionView(**row)
    await change.record("instruction.change", f"instruction:{kind}", before=before, after=after)
    return InstructionChanged(kind=kind, before=before, after=after, dry_run=change.dry_run)
