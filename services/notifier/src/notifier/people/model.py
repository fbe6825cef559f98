"""Who the on-call people are: how to reach them, and what each may do. Read from a file; their numbers never go to a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["viewer", "operator", "admin"]
_MAY_ACT = frozenset({"operator", "admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One colleague. ``id`` is the name that stands in the audit log and in the roster.

    ``mention`` is the public name by which chats notify the person (``@oleg``); ``token`` is the person's own for the suite's admin
    addresses: recipes run with it, so with the person's own role. ``invented``: the person stands in an example, and nobody answers the
    phone.
    """

    id: str
    name: str
    role: Role
    telegram: str | None = None
    slack: str | None = None
    tracker: str | None = None
    mention: str | None = None
    phone: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    invented: bool = False

    @property
    def may_act(self) -> bool:
        """Whether the person may take incidents and run recipes."""
        return self.role in _MAY_ACT

    @property
    def shown(self) -> str:
        """The name for a chat, with the mention that notifies the person."""
        return f"{self.name} ({self.mention})" if self.mention else self.name


@dataclass(slots=True, kw_only=True)
class Directory:
    """Everybody, as things stand now: ``take_over`` replaces all of it at once, for everybody who holds it.

    ``owners``: source, service or an alert's ``responsible`` → ids, the last to be called; ``default`` owns the rest.
    ``seniors`` speak with customers.
    """

    people: Mapping[str, Person] = field(default_factory=dict)
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seniors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a directory that names people it does not have, or one chat account for two: ``ValueError`` with one line."""
        for label, names in {**self.owners, "seniors": self.seniors}.items():
            for name in names:
                if name not in self.people:
                    raise ValueError(f"{label} names {name!r}, who is not among the people")
        for account in ("telegram", "slack", "tracker"):
            known = [getattr(person, account) for person in self.people.values() if getattr(person, account)]
            if len(known) != len(set(known)):
                raise ValueError(f"two people have the same {account} account")

    def take_over(self, other: Directory) -> None:
        """Become what another directory is."""
        self.people, self.owners, self.seniors = other.people, other.owners, other.seniors

    def person(self, person_id: str | None) -> Person | None:
        """Return the person of that id, or None."""
        return None if person_id is None else self.people.get(person_id)

    def by_account(self, channel: str, account: str) -> Person | None:
        """Return whose account of ``telegram``, ``slack`` or ``tracker`` that is, or None for a stranger."""
        found = (person for person in self.people.values() if getattr(person, channel, None) == account)
        return next(found, None)

    def name_of(self, person_id: str) -> str:
        """Return the name of a person, or the id of somebody (or some machine) that the directory does not know."""
        person = self.people.get(person_id)
        return person_id if person is None else person.name

    def tagged(self, name: str) -> tuple[Person, ...]:
        """Return whom a name in an alert's label means: a person, or the owners of what is called so; else somebody without accounts."""
        person = self.people.get(name)
        if person is not None:
            return (person,)
        owners = tuple(self.people[owner] for owner in self.owners.get(name, ()))
        return owners or (Person(id=name, name=name, role="viewer"),)

    def owners_of(self, *, source: str | None, service: str) -> tuple[str, ...]:
        """Return who owns what comes from a source, else what a service raised, else the rest."""
        for key in (source, service, "default"):
            if key is not None and key in self.owners:
                return self.owners[key]
        return ()
