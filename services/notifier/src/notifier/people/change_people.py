"""Put all people anew; audited with who was added, removed and changed, without their numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict
from typing import Any

from common.errors import Conflict, Unprocessable
from common.http import Change
from common.postgres import Connection
from notifier.people.current import CurrentPeople
from notifier.people.model import Directory
from notifier.people.views import PeopleChange, PeopleChanged, PeopleDocument

_LOCK = "SELECT pg_advisory_xact_lock(7003003)"
_SAVE = """
INSERT INTO people_directory AS p (id, document, over_file, updated_by) VALUES (1, $1, $2, $3)
ON CONFLICT (id) DO UPDATE SET document = excluded.document, over_file = excluded.over_file, updated_by = excluded.updated_by,
    updated_at = now(), version = p.version + 1
RETURNING version
"""


async def put_people(
    change: Change,
    wanted: PeopleChange,
    *,
    current: CurrentPeople,
    on_the_roster: Callable[[Connection], Awaitable[Collection[str]]],
) -> PeopleChanged:
    """Store them, and have them in force here at once, elsewhere within five seconds.

    Raises ``Unprocessable`` for people that do not fit together, ``Conflict`` where somebody is missing who stands on the roster, or at
    another version than expected.
    """
    document = PeopleDocument(people=wanted.people, owners=wanted.owners, seniors=wanted.seniors)
    try:
        after = document.directory()
    except ValueError as error:
        raise Unprocessable(str(error)) from None
    await change.connection.execute(_LOCK)
    await current.take(change.connection)
    if wanted.expected_version is not None and wanted.expected_version != current.version:
        raise Conflict(f"the people are at version {current.version}")
    missing = sorted(set(await on_the_roster(change.connection)) - set(after.people))
    if missing:
        raise Conflict(f"still on the roster: {', '.join(missing)[:200]}")
    before = current.directory
    added, removed, changed = _difference(before, after)
    kept = document.model_dump(mode="json", exclude={"people": {"__all__": {"has_token"}}})
    over_file = current.digest
    version: int = await change.connection.fetchval(_SAVE, kept, over_file, change.principal.name)
    await change.record(
        "people.change",
        "people",
        before={"version": current.version},
        after={"version": version, "added": added, "removed": removed, "changed": changed},
    )
    change.after_commit(lambda: current.put(kept, over_file=over_file, version=version))
    return PeopleChanged(version=version, added=added, removed=removed, changed=changed, dry_run=change.dry_run)


def _difference(before: Directory, after: Directory) -> tuple[list[str], list[str], dict[str, list[str]]]:
    def _fields(directory: Directory, person_id: str) -> dict[str, Any]:
        return {name: value for name, value in asdict(directory.people[person_id]).items() if name != "token"}

    changed: dict[str, list[str]] = {}
    for person_id in before.people.keys() & after.people.keys():
        one, other = _fields(before, person_id), _fields(after, person_id)
        if names := [name for name in one if one[name] != other[name]]:
            changed[person_id] = names
    if (before.owners, before.seniors) != (after.owners, after.seniors):
        changed["*"] = ["owners, seniors"]
    added, removed = after.people.keys() - before.people.keys(), before.people.keys() - after.people.keys()
    return sorted(added), sorted(removed), dict(sorted(changed.items()))
