"""`GET /admin/v1/coverage`."""

from __future__ import annotations

from pydantic import BaseModel

from common.http import Request, Route, read_route
from notifier.coverage.check import CheckCoverage
from notifier.coverage.model import What


class HoleView(BaseModel):
    """What is missing, and one sentence that says where."""

    what: What
    detail: str


class CoverageView(BaseModel):
    """Whether a critical problem would reach a person now; if not, everything that is missing."""

    covered: bool
    missing: list[HoleView]


class CoverageRoutes:
    """The handler; ``routes`` is the table of it."""

    def __init__(self, check: CheckCoverage) -> None:
        self._check = check

    async def show(self, _request: Request[None, None]) -> CoverageView:
        """Answer what is missing."""
        found = await self._check()
        return CoverageView(covered=not found, missing=[HoleView(what=hole.what, detail=hole.detail) for hole in found])

    def routes(self) -> list[Route]:
        """Return the route."""
        return [
            read_route(
                "/admin/v1/coverage",
                self.show,
                "What is missing for a critical problem to reach a person",
                CoverageView,
            )
        ]
