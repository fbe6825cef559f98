"""Many deliveries replayed or dismissed at once: by ids or by all that the list takes, with a plan."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence

from pydantic import ConfigDict, Field

from common.clock import Clock
from common.http import Bulk, BulkAnswer, BulkChange, BulkDone, BulkFilter, BulkItem, Change, UuidText
from common.postgres import Connection
from webhook_gateway.deliveries import decisions
from webhook_gateway.deliveries.dismiss import dismiss
from webhook_gateway.deliveries.replay import replay
from webhook_gateway.deliveries.search import DeliverySearch
from webhook_gateway.deliveries.views import DeliveryFilter
from webhook_gateway.hooks.sending import Sending


class DeliveriesFilter(DeliveryFilter, BulkFilter):
    """Which deliveries; takes all that the list takes."""

    model_config = ConfigDict(populate_by_name=True)  # a plan keeps it under the fields' own names


class DecideMany(BulkChange[UuidText, DeliveriesFilter]):
    """Which deliveries are to be replayed or dismissed."""


class ReplayedDelivery(BulkItem):
    """What became of one; `delivery_id` is the delivery that it was sent as, of the order `number`. Null where nothing was sent."""

    delivery_id: str | None = Field(default=None, description="of a dry run another one")
    number: str | None = None
    event: str | None = None


class DeliveriesReplayed(BulkAnswer):
    """What became of each."""

    items: list[ReplayedDelivery]  # type: ignore[assignment]  # narrower than the base's, and only ever read


def replay_many(search: DeliverySearch, *, sending: Sending) -> Bulk[str]:
    """Send many again, each as it came. A quarantined one that was decided about is refused: replay it alone if it must go again."""

    async def _work(change: Change, delivery_id: str) -> BulkDone:
        name = uuid.UUID(delivery_id)
        await decisions.need_undecided(change.connection, name)
        sent = await replay(change, name, mended=None, sending=sending)
        return BulkDone(
            outcome="replayed",
            detail=f"as delivery {sent.delivery_id}, order {sent.number}",
            extra={"delivery_id": sent.delivery_id, "number": sent.number, "event": sent.event},
        )

    return _bulk("delivery.replay", search, _work, answer=DeliveriesReplayed)


def dismiss_many(search: DeliverySearch, *, clock: Clock) -> Bulk[str]:
    """Dismiss many that are quarantined and undecided."""

    async def _work(change: Change, delivery_id: str) -> BulkDone:
        await dismiss(change, uuid.UUID(delivery_id), now=clock.now())
        return BulkDone(outcome="dismissed")

    return _bulk("delivery.dismiss", search, _work)


def _bulk(
    operation: str,
    search: DeliverySearch,
    work: Callable[[Change, str], Awaitable[BulkDone]],
    *,
    answer: type[BulkAnswer] = BulkAnswer,
) -> Bulk[str]:
    async def _find(
        connection: Connection, wanted: DeliveriesFilter, among: Sequence[str] | None, limit: int
    ) -> Sequence[str]:
        return await search.ids(connection, wanted, among=among, limit=limit)

    return Bulk(operation=operation, find=_find, lock=decisions.lock, work=work, answer=answer)
