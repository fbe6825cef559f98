"""Who sends, and how it goes: the last day's sums of each source, its last hook, and why it was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from console.client.things import THINGS

if TYPE_CHECKING:
    from console.client.suite import Suite


async def sources(suite: Suite) -> Sequence[Mapping[str, Any]]:
    """Return the sums of each source with ``last_at``, ``last_event``, ``last_outcome`` and ``refused_for``."""
    ledger = await suite.get("webhook-gateway", "/admin/v1/ledger")

    async def of(said: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add the last hook of a source, and its refusals."""
        page = await THINGS["intake"].page(suite, source=said["source"], limit=1)
        last = page.items[0] if page.items else {}
        return {
            **said,
            "last_at": last.get("received_at"),
            "last_event": last.get("event"),
            "last_outcome": last.get("outcome"),
            "refused_for": [each for each in ledger["refused_for"] if each["source"] == said["source"]],
        }

    return await asyncio.gather(*map(of, ledger["by_source"]))
