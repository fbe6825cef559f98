"""An operator's change for use cases that are called without HTTP."""

from __future__ import annotations

from typing import Any

from common.http import Change, Principal


class ChangeInWorld(Change):
    """An operator's change without a request: no audit record, in whatever transaction it is given."""

    def __init__(self) -> None:
        self.connection: Any = None
        self._after_commit = []
        self._notices = []

    @property
    def principal(self) -> Principal:
        """Who changes it."""
        return Principal("operator", "operator")

    @property
    def reason(self) -> str:
        """Why."""
        return "test"

    @property
    def dry_run(self) -> bool:
        """Never."""
        return False

    async def record(self, *_: Any, **__: Any) -> int:
        """Audit records are not what is tested here."""
        return 0
