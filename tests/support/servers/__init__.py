"""Help for tests: databases from a template, virtual hosts, a TCP proxy that misbehaves, waiting with a deadline."""

from tests.support.servers.databases import TestDatabases, as_served
from tests.support.servers.proxy import CuttingProxy, cutting_proxy, proxied
from tests.support.servers.rabbit import TestRabbit, vhost_of
from tests.support.servers.waiting import eventually

__all__ = [
    "CuttingProxy",
    "TestDatabases",
    "TestRabbit",
    "as_served",
    "cutting_proxy",
    "eventually",
    "proxied",
    "vhost_of",
]
