"""The directory of people (NOTIFIER_PEOPLE_FILE): JSON, checked whole. It holds tokens and phones: keep it as private as a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from common.contracts.files import read_json_file
from common.errors import ConfigurationError
from notifier.people.model import Directory, Person, Role

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    """What holds no field that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PersonFields(Strict):
    """A colleague, without a token."""

    id: _Name
    name: _Name
    role: Role = "operator"
    telegram: Annotated[int | None, Field(gt=0, lt=2**63, description="the account's number")] = None
    slack: Annotated[str | None, Field(min_length=1, max_length=200, description="the account's id")] = None
    tracker: Annotated[str | None, Field(min_length=1, max_length=200, description="the login")] = None
    mention: Annotated[str | None, Field(pattern=r"^@\w{3,64}$")] = None
    phone: Annotated[str | None, Field(pattern=r"^\+?\d{5,15}$")] = None


class _Person(PersonFields):
    token: SecretStr | None = None
    invented: bool = False


class PeopleFields(Strict):
    """Who owns what (source, service or a name in alerts → ids), and who speaks with customers."""

    owners: dict[str, list[str]] = Field(default_factory=dict)
    seniors: list[str] = Field(default_factory=list)


class _File(PeopleFields):
    people: list[_Person]


_FILE = TypeAdapter(_File)


def read_people(text: str | bytes, *, name: str) -> Directory:
    """Return the directory. ``name`` is what the file is called in the message of a ``ConfigurationError``, which holds no value of it."""
    try:
        file = read_json_file(_FILE, text)
    except ConfigurationError as error:
        raise ConfigurationError(f"the people file {name} {error.detail}") from None
    try:
        return directory_of(file.people, file)
    except ValueError as error:
        raise ConfigurationError(f"the people file {name}: {error}") from None


def directory_of(people: Sequence[PersonFields], fields: PeopleFields) -> Directory:
    """Return the directory of these people. Raises ``ValueError`` with one line, without a secret, for people that do not fit together."""
    by_id = {person.id: _person(person) for person in people}
    if len(by_id) < len(people):
        raise ValueError("somebody is named twice")
    owners = {key: tuple(ids) for key, ids in fields.owners.items()}
    return Directory(people=by_id, owners=owners, seniors=tuple(fields.seniors))


def _person(person: PersonFields) -> Person:
    values = person.model_dump(include=set(PersonFields.model_fields) - {"telegram"})
    token = getattr(person, "token", None)
    return Person(
        **values,
        telegram=None if person.telegram is None else str(person.telegram),
        token=None if token is None else token.get_secret_value().strip(),
        invented=getattr(person, "invented", False),
    )
