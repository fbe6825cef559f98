"""Nobody holds a connection of the suite by never finishing what they send, at whatever address of whatever service."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.slow_senders import SLOW, answered_until_the_end
from tests.support.suite_client import Client

pytestmark = pytest.mark.e2e

SERVICES = ("webhook-gateway", "orchestrator", "tips", "refunds", "notifier")
OF_THE_CONSOLE = ("/", "/login", "/o/1", "/static/x")


async def test_every_kind_of_address_ends_what_does_not_come_to_an_end(client: Client) -> None:
    places = [("console", path) for path in OF_THE_CONSOLE]
    for service in SERVICES:
        document = await client.get(service, "/openapi.json", role=None)
        kinds = {path.split("/{")[0].split("/")[1]: path for path in document["paths"]}
        places += [(service, path.replace("{", "").replace("}", "")) for path in (*kinds.values(), "/nowhere")]
    assert {"hooks", "api", "sbermarket", "admin"} <= {path.split("/")[1] for _, path in places}

    token = client.suite.token("operator")
    answers = await asyncio.gather(
        *(
            answered_until_the_end(client.suite.url(service), path, slow, every=1.0, token=token)
            for service, path in places
            for slow in SLOW
        )
    )

    wholly = [answer for answer in answers if answer]
    assert all(answer.startswith(b"HTTP/1.1 ") for answer in wholly)
    assert len(wholly) == len(places) * sum(not slow.head for slow in SLOW)
