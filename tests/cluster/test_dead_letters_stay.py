"""A dead letter that is taken and never kept goes back to its queue, however often: RabbitMQ 4 would throw it away."""

from __future__ import annotations

import aio_pika
import pytest

from common.messaging.accounts import definitions, import_into
from common.messaging.topology import NOTIFIER_ORDERS
from suite_local.infrastructure.rabbitmq import USER, call_api
from tests.cluster.conftest import Stand

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
_HOST = "nobody-collects"
_MORE_OFTEN_THAN_RABBITMQ_4_BEARS = 30


async def test_what_no_service_keeps_is_still_there_after_thirty_returns(stand: Stand) -> None:
    api = stand.brokers.api_url
    call_api(api, "PUT", f"/api/vhosts/{_HOST}")
    call_api(api, "PUT", f"/api/permissions/{_HOST}/{USER}", body=b'{"configure": ".*", "write": ".*", "read": ".*"}')
    try:
        import_into(api, definitions({}, vhost=_HOST))
        async with await aio_pika.connect(
            f"{stand.brokers.url.rpartition('/')[0].partition(',')[0]}/{_HOST}"
        ) as broker:
            channel = await broker.channel()
            await channel.default_exchange.publish(aio_pika.Message(b"letter"), NOTIFIER_ORDERS.dead)
            queue = await channel.get_queue(NOTIFIER_ORDERS.dead, ensure=False)
            for _ in range(_MORE_OFTEN_THAN_RABBITMQ_4_BEARS):
                letter = await queue.get(timeout=30)
                await letter.nack(requeue=True)
            assert (await queue.get(timeout=30)).body == b"letter"
    finally:
        call_api(api, "DELETE", f"/api/vhosts/{_HOST}")
