"""What follows from website orders that were recorded: endangered ones are kept and told of, taken ones are remembered for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from common.contracts.envelope import Envelope
from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.postgres import Connection
from webhook_gateway.hooks.model import ORDER_CREATED, REPLAY_OF
from webhook_gateway.rescue import alerts
from webhook_gateway.rescue.end_problem import ended_by_arrival
from webhook_gateway.rescue.model import UNKNOWN_NETWORK, hour_of
from webhook_gateway.rescue.record import (
    EndangeredRow,
    endangered_rows,
    reused_row,
    save_endangered,
    settle_arrived,
    tried_again,
)
from webhook_gateway.website.basket import rescue_from
from webhook_gateway.website.contents import claim, name_key
from webhook_gateway.website.model import WebsiteOrder, is_website, read_order

DEFAULT_CURRENCY = "RUB"

_ARRIVED = """
INSERT INTO website_arrivals (number, source, received_at, phone, email, basket_key, basket)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (number) DO NOTHING
"""
_COUNT_ANONYMOUS = """
INSERT INTO anonymous_refusals AS kept (network, hour, count) VALUES ($1, $2, $3)
ON CONFLICT (network, hour) DO UPDATE SET count = kept.count + excluded.count
RETURNING xmax = 0
"""


async def take_in(connection: Connection, hooks: Sequence[IntakeMessage]) -> list[Envelope]:
    """Keep what people need, in the recorder's transaction; return what is to be raised. Once more with the same deliveries changes
    nothing, and raises the same events.
    """
    taken = [(hook, order) for hook in hooks if (order := _taken(hook)) is not None]
    reused = await _reused(connection, taken)
    known = {id(hook) for hook in reused}
    await connection.executemany(_ARRIVED, [_arrival(hook) for hook, _ in taken if id(hook) not in known])
    endangered = [*endangered_rows(hooks), *map(reused_row, reused)]
    fresh = await save_endangered(connection, endangered)
    events = [alerts.endangered_alert(row) for row in endangered if not row.hook.anonymous]
    events += await _anonymous(connection, [row for row in fresh if row.hook.anonymous])
    events += [alerts.unreachable_alert(hook) for hook, order in taken if not order.reachable and id(hook) not in known]
    return events + await ended_by_arrival(connection, await settle_arrived(connection, tried_again(hooks)))


def _taken(hook: IntakeMessage) -> WebsiteOrder | None:
    """Read a website's order that was taken; None of any other delivery."""
    if hook.type != HOOK_RECEIVED or hook.event != ORDER_CREATED or not is_website(hook.source) or hook.number is None:
        return None
    return read_order(hook.body, currency=hook.currency or DEFAULT_CURRENCY)


async def _reused(connection: Connection, taken: Sequence[tuple[IntakeMessage, WebsiteOrder]]) -> list[IntakeMessage]:
    """Claim the names of these orders, and return those whose name another order has: the database was away when they came."""
    named = [
        (hook, name_key(hook.source, hook.external_id), order.identity(hook.source, hook.external_id))
        for hook, order in taken
        if hook.external_id is not None and not _by_a_person(hook)
    ]
    wanted: dict[bytes, bytes] = {}
    for _, key, content in named:
        wanted.setdefault(key, content)  # of two in one batch the first has the name
    had = await claim(connection, wanted)
    return [hook for hook, key, content in named if had[key] != content]


def _by_a_person(hook: IntakeMessage) -> bool:
    return hook.actor is not None or (hook.reason or "").startswith(REPLAY_OF)


async def _anonymous(connection: Connection, rows: Sequence[EndangeredRow]) -> list[Envelope]:
    """Count strangers' requests by network and hour; return one warning for each that is new."""
    counts = Counter((row.hook.network or UNKNOWN_NETWORK, hour_of(row.hook.received_at)) for row in rows)
    events = []
    for (network, hour), count in sorted(counts.items()):
        if await connection.fetchval(_COUNT_ANONYMOUS, network, hour, count):
            events.append(alerts.anonymous_alert(network, hour))
    return events


def _arrival(hook: IntakeMessage) -> tuple[object, ...]:
    said = rescue_from(hook.body)
    return hook.number, hook.source, hook.received_at, said.phone, said.email, said.basket_key, said.basket
