"""What the operations on people take and answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from common.http import AdminChange, ChangeAnswer
from notifier.people.file import PeopleFields, PersonFields, directory_of
from notifier.people.model import Directory

_BIGINT = 2**63 - 1


class PersonView(PersonFields):
    """A colleague. `phone` is for operators and admins; `has_token`: the people file has a token, with which recipes are run."""

    has_token: bool = False


class PeopleDocument(PeopleFields):
    """All people."""

    people: Annotated[list[PersonView], Field(max_length=1000)]

    def directory(self) -> Directory:
        """Return the directory. Raises ``ValueError`` with one line for people that do not fit together."""
        return directory_of(self.people, self)


class PeopleView(PeopleDocument):
    """The people as this replica knows them: of the `file`, or as they were `put` over it (`version`; 0 is the file)."""

    origin: Literal["file", "put"]
    version: int
    dry_run: bool = False


class PeopleChange(AdminChange):
    """All people anew, until the people file is changed. Tokens stay those of the file; `has_token` is not looked at."""

    people: Annotated[list[PersonView], Field(min_length=1, max_length=1000)]
    owners: dict[str, list[str]] = Field(default_factory=dict)
    seniors: list[str] = Field(default_factory=list)
    expected_version: int | None = Field(default=None, ge=0, le=_BIGINT, description="409 when it is at another one")


def shown(directory: Directory, *, version: int, phones: bool) -> PeopleView:
    """Return what a reader may see of the people."""
    return PeopleView(
        people=[
            PersonView(
                id=person.id,
                name=person.name,
                role=person.role,
                telegram=None if person.telegram is None else int(person.telegram),
                slack=person.slack,
                tracker=person.tracker,
                mention=person.mention,
                phone=person.phone if phones else None,
                has_token=person.token is not None,
            )
            for person in directory.people.values()
        ],
        owners={key: list(ids) for key, ids in directory.owners.items()},
        seniors=list(directory.seniors),
        origin="put" if version else "file",
        version=version,
    )


class PeopleChanged(ChangeAnswer):
    """Who was added, removed or changed (with the names of the fields)."""

    version: int
    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]
    dry_run: bool
