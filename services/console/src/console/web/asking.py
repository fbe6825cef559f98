"""Asking for what stands beside the main thing of a page: where a service cannot say, the page says so and shows the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from console.client.suite import Page, Suite, or_none
from console.client.things import THINGS


async def page_or_none(suite: Suite, noun: str, **query: Any) -> Page | None:
    """Return a page of a list, None where the service could not say."""
    return await or_none(THINGS[noun].page(suite, **query))


async def counts(suite: Suite, noun: str, by: str, values: Sequence[str]) -> Mapping[str, Page | None]:
    """Return for each value of a filter a page of one item with the count of all that have it."""
    pages = await asyncio.gather(*(page_or_none(suite, noun, **{by: value}, limit=1, count=True) for value in values))
    return dict(zip(values, pages, strict=True))
