"""The table of routes: every address of the service but the five that all services have."""

from __future__ import annotations

from collections.abc import Callable

from common.http import Route, audit_routes
from common.postgres import Database
from common.service import dead_letter_routes
from webhook_gateway.countdowns.routes import CountdownRoutes
from webhook_gateway.deliveries.event_routes import EventRoutes
from webhook_gateway.deliveries.routes import DeliveryRoutes
from webhook_gateway.edge.addresses import IntakeAddresses
from webhook_gateway.hooks.routes import HookRoutes
from webhook_gateway.rescue.routes import RescueRoutes
from webhook_gateway.website.ban_routes import BanRoutes
from webhook_gateway.website.routes import WebsiteRoutes


def routes(
    *,
    hooks: HookRoutes,
    website: WebsiteRoutes,
    addresses: IntakeAddresses,
    deliveries: DeliveryRoutes,
    events: EventRoutes,
    rescue: RescueRoutes,
    bans: BanRoutes,
    countdowns: CountdownRoutes,
    database: Database,
    committed: Callable[[], None],
) -> list[Route]:
    """Return all of them. ``committed`` is called when a dead letter was put back into the outbox."""
    return [
        *hooks.routes(),
        *website.routes(),
        *addresses.routes(),
        *deliveries.routes(),
        *events.routes(),
        *audit_routes(database),
        *rescue.routes(),
        *bans.routes(),
        *countdowns.routes(),
        *dead_letter_routes(database, after_commit=committed),
    ]
