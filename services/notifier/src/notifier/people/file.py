"""The directory of people (NOTIFIER_PEOPLE_FILE): JSON, checked whole at start. It holds tokens and phones: keep it as private as a key."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from common.errors import ConfigurationError
from notifier.people.model import Directory, Person, Role

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Person(_Strict):
    id: _Name
    name: _Name
    role: Role = "operator"
    telegram: Annotated[int | None, Field(gt=0)] = None
    slack: _Name | None = None
    tracker: _Name | None = None
    mention: Annotated[str | None, Field(pattern=r"^@\w{3,64}$")] = None
    phone: Annotated[str | None, Field(pattern=r"^\+?\d{5,15}$")] = None
    token: SecretStr | None = None


class _File(_Strict):
    people: list[_Person]
    owners: dict[str, list[str]] = Field(default_factory=dict)
    seniors: list[str] = Field(default_factory=list)


def read_people(text: str | bytes, *, name: str) -> Directory:
    """Return the directory. ``name`` is what the file is called in the message of a ``ConfigurationError``, which holds no value of it."""
    try:
        file = _File.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise ConfigurationError(f"the people file {name} is wrong at {place}: {first['msg']}") from None
    people = {person.id: _person(person) for person in file.people}
    if len(people) < len(file.people):
        raise ConfigurationError(f"the people file {name} names somebody twice")
    try:
        return Directory(
            people=people,
            owners={key: tuple(ids) for key, ids in file.owners.items()},
            seniors=tuple(file.seniors),
        )
    except ValueError as error:
        raise ConfigurationError(f"the people file {name}: {error}") from None


def _person(person: _Person) -> Person:
    values = person.model_dump(exclude={"telegram", "token"})
    telegram = None if person.telegram is None else str(person.telegram)
    return Person(**values, telegram=telegram, token=None if person.token is None else person.token.get_secret_value())
