"""The directory as it is now: the people file, or what an admin put over it. Both are looked at again within seconds."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from common.errors import ConfigurationError
from common.postgres import Connection, Database
from common.telemetry import get_logger
from notifier.people.file import read_people
from notifier.people.model import Directory
from notifier.people.views import PeopleDocument

_log = get_logger()
_PUT = "SELECT document, over_file, version FROM people_directory"


class CurrentPeople:
    """Keeps ``directory`` true in this replica.

    What was put holds while the people file is as it was then; a changed file holds again. Tokens come from the file always.
    """

    def __init__(self, *, directory: Directory, name: str) -> None:
        self.directory = directory
        self._name = name
        self._file = Directory()
        self.digest = ""
        self.version = 0
        self._put: tuple[int, str, Directory] | None = None

    def read(self, raw: bytes) -> None:
        """Take the people file's content over. Raises ``ConfigurationError``, and leaves everything as it was."""
        self._file = read_people(raw, name=self._name)
        self.digest = hashlib.sha256(raw).hexdigest()
        self._apply()

    async def look(self, database: Database) -> None:
        """Read what was put, if it is not what is known."""
        async with database.acquire() as connection:
            await self.take(connection)

    async def take(self, connection: Connection) -> None:
        """Read on one connection what was put."""
        row = await connection.fetchrow(_PUT)
        if row is not None and (self._put is None or self._put[0] != row["version"]):
            self.put(row["document"], over_file=row["over_file"], version=row["version"])

    def put(self, document: Any, *, over_file: str, version: int) -> None:
        """Take over what was put; a document that cannot be read (of another release) is logged and changes nothing."""
        try:
            people = PeopleDocument.model_validate(document).directory()
        except (ValidationError, ConfigurationError, ValueError) as error:
            _log.error("people_unreadable", version=version, reason=type(error).__name__)
            people = self.directory
        self._put = (version, over_file, people)
        self._apply()

    def _apply(self) -> None:
        if self._put is None or self._put[1] != self.digest:
            self.version = 0
            self.directory.take_over(self._file)
            return
        self.version, _, put = self._put
        with_tokens = {
            person.id: replace(person, token=None if (known := self._file.person(person.id)) is None else known.token)
            for person in put.people.values()
        }
        self.directory.take_over(Directory(people=with_tokens, owners=put.owners, seniors=put.seniors))
