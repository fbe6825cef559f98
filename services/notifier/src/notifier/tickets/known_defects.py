"""Known defects, on one connection: kept by a person or with a development ticket, ended when that is closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from common.errors import Conflict, NotFound
from common.http import Change
from common.postgres import Connection
from notifier.incidents.defects import cause_from, cause_of
from notifier.incidents.model import ProblemFact
from notifier.routing.model import literal
from notifier.tickets.views import DefectBody, DefectKept, DefectView

_COLUMNS = "id, match, cause, development_ticket, reason, created_by, created_at, ended_at, ended_by"
_ADD = f"""
INSERT INTO known_defects (match, cause, development_ticket, ticket_id, reason, created_by) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING {_COLUMNS}
"""  # noqa: S608 - a constant
_LIST = f"""
SELECT {_COLUMNS} FROM known_defects
WHERE ($1::boolean OR ended_at IS NULL) AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""  # noqa: S608 - a constant
_LOCK = f"SELECT {_COLUMNS} FROM known_defects WHERE id = $1 FOR UPDATE"  # noqa: S608 - a constant
_END = f"UPDATE known_defects SET ended_at = now(), ended_by = $2 WHERE id = $1 RETURNING {_COLUMNS}"  # noqa: S608 - a constant
_END_OF = """
UPDATE known_defects SET ended_at = now(), ended_by = $2 WHERE development_ticket = $1 AND ended_at IS NULL RETURNING id
"""
_LIVE_AGAIN = """
UPDATE known_defects SET ended_at = NULL, ended_by = NULL WHERE development_ticket = $1 AND ended_at = $2 RETURNING id
"""


def select_defects(*, over_too: bool, before: int | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of known defects, the newest first, with ids below ``before``, and its values."""
    return _LIST, [over_too, before, limit]


class DefectStore:
    """Raises ``NotFound`` for an unknown defect."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(
        self,
        change: Change,
        *,
        match: Mapping[str, Sequence[str]],
        cause: str | None,
        development_ticket: str | None,
        made: int | None = None,
    ) -> DefectView:
        """Keep one, audited."""
        kept = {str(label): list(patterns) for label, patterns in match.items()}
        reason = change.reason
        row = await self._connection.fetchrow(
            _ADD, kept, cause, development_ticket, made, reason, change.principal.name
        )
        assert row is not None  # noqa: S101 - INSERT … RETURNING gives its row
        view = DefectView(**dict(row))
        await change.record(
            "known_defect.add",
            f"known_defect:{view.id}",
            after={"match": kept, "cause": cause, "development_ticket": development_ticket},
        )
        return view

    async def of_problem(
        self,
        fact: ProblemFact,
        change: Change,
        *,
        development_ticket: str | None,
        made: int | None,
        even_without_cause: bool,
    ) -> bool:
        """Keep that problems like this one are the defect's: of the same kind, service and alert, with the same error.

        Without an error only where ``even_without_cause``; returns whether it was kept.
        """
        cause = cause_of(fact)
        if cause is None and not even_without_cause:
            return False
        alike = {"kind": fact.kind, "service": fact.service, "alert": fact.alert}
        match = {label: [literal(value)] for label, value in alike.items() if value is not None}
        await self.add(change, match=match, cause=cause, development_ticket=development_ticket, made=made)
        return True

    async def end(self, change: Change, defect_id: int) -> DefectKept:
        """End one: problems do not say so any more."""
        row = await self._connection.fetchrow(_LOCK, defect_id)
        if row is None:
            raise NotFound("no such known defect")
        if row["ended_at"] is not None:
            raise Conflict("the defect is mended already")
        ended = await self._connection.fetchrow(_END, defect_id, change.principal.name)
        assert ended is not None  # noqa: S101 - its row is locked
        await change.record(
            "known_defect.end", f"known_defect:{defect_id}", before={"ended": False}, after={"ended": True}
        )
        return DefectKept(defect=DefectView(**dict(ended)), dry_run=change.dry_run)

    async def end_of(self, change: Change, development_ticket: str) -> None:
        """End those of a development ticket that is closed."""
        for row in await self._connection.fetch(_END_OF, development_ticket, change.principal.name):
            target = f"known_defect:{row['id']}"
            await change.record("known_defect.end", target, before={"ended": False}, after={"ended": True})

    async def live_again(self, change: Change, development_ticket: str, *, closed_at: datetime) -> None:
        """Have those live again that ended with a development ticket when it was closed: it is open again."""
        for row in await self._connection.fetch(_LIVE_AGAIN, development_ticket, closed_at):
            target = f"known_defect:{row['id']}"
            await change.record("known_defect.reopen", target, before={"ended": True}, after={"ended": False})


async def keep_defect(change: Change, wanted: DefectBody) -> DefectKept:
    """Keep a defect that a person names."""
    view = await DefectStore(change.connection).add(
        change,
        match={str(label): patterns for label, patterns in wanted.match.items()},
        cause=cause_from(wanted.cause),
        development_ticket=wanted.development_ticket,
    )
    return DefectKept(defect=view, dry_run=change.dry_run)
