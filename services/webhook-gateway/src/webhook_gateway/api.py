"""The table of routes: every address of the service but the five that all services have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from common.http import Changes, Route, audit_routes
from common.postgres import Database
from common.service import (
    Erase,
    LookAtQueues,
    dead_letter_routes,
    erasure_routes,
    in_turn,
    queue_routes,
    repeated_acts_routes,
    verdict_routes,
)
from webhook_gateway import erase
from webhook_gateway.countdowns.routes import CountdownRoutes
from webhook_gateway.deliveries.consumers import known_as
from webhook_gateway.deliveries.event_routes import EventRoutes
from webhook_gateway.deliveries.foretell import ForetellHook
from webhook_gateway.deliveries.routes import DeliveryRoutes
from webhook_gateway.edge.addresses import IntakeAddresses
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.hooks.routes import HookRoutes
from webhook_gateway.rescue.routes import RescueRoutes
from webhook_gateway.website.ban_routes import BanRoutes
from webhook_gateway.website.routes import WebsiteRoutes

_TARGETS_OF_ORDER = """
SELECT 'order:' || {order}
UNION ALL SELECT 'delivery:' || delivery_id FROM deliveries WHERE number = {order}
UNION ALL SELECT 'endangered:' || id FROM endangered_orders WHERE number = {order}
"""


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
    foretell: ForetellHook,
    database: Database,
    erasures: Mapping[str, Erase],
    queues: Sequence[LookAtQueues],
    committed: Callable[[], None],
) -> list[Route]:
    """Return all of them. ``committed`` is called when a dead letter was put back into the outbox."""
    return [
        *hooks.routes(),
        *website.routes(),
        *addresses.routes(),
        *deliveries.routes(),
        *events.routes(),
        *audit_routes(database, of_order=_TARGETS_OF_ORDER),
        *repeated_acts_routes(database),
        *verdict_routes(database),
        *queue_routes(queues),
        *rescue.routes(),
        *bans.routes(),
        *countdowns.routes(),
        *erasure_routes(Changes(database, committed=committed), in_turn(erasures), kept=erase.KEPT),
        *dead_letter_routes(
            database, service=SERVICE, foretell=foretell.of_letter, after_commit=committed, known_as=known_as
        ),
    ]
