"""The address at which an event that never came is entered."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import Unprocessable
from common.http import Answer, Changes, Request, Route, TokenBook, change_route
from webhook_gateway.deliveries.enter import enter
from webhook_gateway.deliveries.views import EnteredEvent, EnterEvent
from webhook_gateway.hooks.model import Feed, Source
from webhook_gateway.hooks.sending import Sending
from webhook_gateway.website.sites import Sites


class EventRoutes:
    """The change leaves an audit record in its own transaction."""

    def __init__(
        self, changes: Changes, *, sources: Mapping[str, Source], sites: Sites, tokens: TokenBook, sending: Sending
    ) -> None:
        self._changes = changes
        self._sources = sources
        self._sites = sites
        self._tokens = tokens
        self._sending = sending

    def routes(self) -> list[Route]:
        """Return the address."""
        return [
            change_route(
                "POST",
                "/admin/v1/events",
                self.enter,
                "Enter an event that never came",
                EnterEvent,
                EnteredEvent,
                description="It is read, made durable and carried out as the source's hook would be.",
                errors=(Unprocessable,),
            )
        ]

    async def enter(self, request: Request[EnterEvent, None]) -> Answer:
        """Enter an event."""
        feeds: dict[str, Feed] = {**self._sites.feeds(self._tokens.sources()), **self._sources}
        return await self._changes.carry_out(
            request, lambda change: enter(change, request.body, feeds=feeds, sending=self._sending)
        )
