"""The broker lane over ``common.messaging``."""

from __future__ import annotations

from common.messaging.publisher import Publisher

_EXCHANGE = "intake"


class RabbitLane:
    """Publishes to the intake exchange, whose queues (the recorder's and the orchestrator's) are declared before it is ready."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    @property
    def ready(self) -> bool:
        """Whether there is a channel; the whole topology is declared before the publisher gets one."""
        return self._publisher.ready

    async def send(self, routing_key: str, body: bytes, *, deadline: float) -> None:
        """Publish, mandatory and persistent, and return when it is confirmed. Raises ``PublishFailed`` (an ``Unavailable``)."""
        await self._publisher.publish_raw(_EXCHANGE, routing_key, body, deadline=deadline)
