"""The document of an order over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from common.clock import Clock
from common.errors import Conflict, NotFound, Unprocessable
from common.http import (
    Answer,
    Changes,
    CustomersData,
    Page,
    PageQuery,
    Request,
    Route,
    change_route,
    listed,
    read_route,
)
from orchestrator.documents.mask import masked_document
from orchestrator.documents.reissue import ReissueChange, ReissueTaken, reissue_document
from orchestrator.documents.store import DocumentStore, select_versions


class DocumentVersion(BaseModel):
    """One version of an order's document. Equal contents have equal digests."""

    version: int
    digest: str
    issued_at: datetime
    issued_by: str
    reason: str


class DocumentView(DocumentVersion):
    """A document with its content."""

    number: str
    content_type: str
    content: Annotated[str, CustomersData(masked_document)]
    order_revision: int


class DocumentQuery(BaseModel):
    """Which version; the newest if none is named."""

    model_config = ConfigDict(extra="ignore")

    version: int | None = Field(default=None, ge=1, lt=2**31)


@dataclass(frozen=True, slots=True)
class DocumentRoutes:
    """The handlers."""

    store: DocumentStore
    changes: Changes
    clock: Clock

    def routes(self) -> list[Route]:
        """The table."""
        return [
            change_route(
                "POST",
                "/admin/v1/orders/{number}/document/reissue",
                self._reissue,
                "Issue the order's document again",
                ReissueChange,
                ReissueTaken,
                status=202,
                errors=(NotFound, Conflict, Unprocessable),
            ),
            read_route(
                "/admin/v1/orders/{number}/document",
                self._document,
                "The order's document",
                DocumentView,
                query=DocumentQuery,
                errors=(NotFound,),
            ),
            read_route(
                "/admin/v1/orders/{number}/document/versions",
                self._versions,
                "All versions of the order's document, the newest first",
                Page[DocumentVersion],
                query=PageQuery,
                errors=(NotFound,),
            ),
        ]

    async def _reissue(self, request: Request[ReissueChange, None]) -> Answer:
        work = partial(
            reissue_document,
            number=request.path["number"],
            expected_version=request.body.expected_version,
            now=self.clock.now(),
        )
        return await self.changes.carry_out(request, work)

    async def _document(self, request: Request[None, DocumentQuery]) -> DocumentView:
        number = request.path["number"]
        row = await self.store.version(number, request.query.version)
        if row is None:
            raise NotFound(f"order {number} has no such document")
        return DocumentView.model_validate({**row, "number": row["order_number"]})

    async def _versions(self, request: Request[None, PageQuery]) -> Page[DocumentVersion]:
        number = request.path["number"]
        page = await listed(
            self.store.database,
            request.query,
            partial(select_versions, number),
            key={"version": int},
            item=lambda row: DocumentVersion.model_validate({**row}),
        )
        if not page.items and not await self.store.knows(number):
            raise NotFound(f"there is no order {number}")
        return page
