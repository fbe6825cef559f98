"""What compose tells a container, on one host's network: every address is there, every other value is compose's own."""

from __future__ import annotations

import re

import pytest

from suite_local.catalogue import GATEWAY, SANDBOX, WITH_CONSOLE
from suite_local.images import environment_of
from suite_local.shipped import compose_file, example_values

PORTS = {name: 20001 + number for number, name in enumerate((*(service.name for service in WITH_CONSOLE), SANDBOX))}


@pytest.mark.parametrize("name", PORTS)
def test_a_container_is_told_what_compose_says_with_the_addresses_that_are_there(name: str) -> None:
    compose = compose_file(example_values())
    container = "webhook-gateway-1" if name == GATEWAY.name else name
    shipped = compose["services"][container]["environment"]
    told = environment_of(compose, name, ports=PORTS, smtp=20025, dsn="postgresql://here", amqp_url="amqp://here")
    assert told.keys() == shipped.keys()
    hosts = {host for value in told.values() for host in re.findall(r"https?://([\w.-]+):", value)}
    assert hosts <= {"127.0.0.1"}
    for variable, value in told.items():
        if value != shipped[variable]:
            addressed = re.search(r"_(URL|DSN|HOST|PORT|ENDPOINT)$", variable)
            assert addressed, variable
