"""Many dead letters replayed, mended or dismissed at once: by ids or by all that the list takes, with a plan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field

from common.errors import Unprocessable
from common.http import Bulk, BulkChange, BulkDone, BulkFilter, Change, RowId
from common.messaging import dead_letter_reads
from common.postgres import Connection
from common.service.dead_letter_views import LetterSelection, readable

_LOCK = "SELECT id FROM dead_letters WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE"
_VERSIONS = """
SELECT id, 1 + (replayed_at IS NOT NULL)::integer + (erased_at IS NOT NULL)::integer AS version
FROM dead_letters WHERE id = ANY ($1::bigint[])
"""


class LettersFilter(LetterSelection, BulkFilter):
    """Which dead letters; takes all that the list takes."""

    model_config = ConfigDict(populate_by_name=True)  # a plan keeps it under the fields' own names


class DecideLetters(BulkChange[RowId, LettersFilter]):
    """Which dead letters are to be replayed or dismissed."""


class MendLetters(DecideLetters):
    """Which dead letters are to be mended. `patch` is a JSON merge patch (RFC 7396) of what each carries: null removes a field."""

    patch: dict[str, Any] = Field(min_length=1)


def decide_letters(operation: str, work: Callable[[Change, int], Awaitable[BulkDone]]) -> Bulk[int]:
    """Return the bulk operation that does ``work`` with each."""
    return Bulk(operation=operation, find=_find, lock=_lock, work=work)


async def patched(connection: Connection, letter_id: int, patch: Mapping[str, Any]) -> Any:
    """Return what a letter carries, changed by the patch. Raises ``NotFound``, ``Unprocessable`` when it carries no JSON object."""
    letter = await dead_letter_reads.find(connection, letter_id)
    carried = readable(letter["body"])[1]
    if not isinstance(carried, dict):
        raise Unprocessable("what this dead letter carries is no JSON object: mend it alone")
    return merge_patch(carried, patch)


def merge_patch(target: Any, patch: Any) -> Any:
    """Return the target changed by a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


async def _find(
    connection: Connection, wanted: LettersFilter, among: Sequence[int] | None, limit: int
) -> Sequence[int]:
    statement, values = dead_letter_reads.select(wanted.wanted(), before=None, limit=limit, among=among)
    return [row["id"] for row in await connection.fetch(statement, *values)]


async def _lock(connection: Connection, letter_ids: Sequence[int]) -> dict[int, int]:
    await connection.execute(_LOCK, list(letter_ids))
    return {row["id"]: row["version"] for row in await connection.fetch(_VERSIONS, list(letter_ids))}
