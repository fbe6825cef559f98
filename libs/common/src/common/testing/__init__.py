"""Help for tests: databases from a template, virtual hosts, a TCP proxy that misbehaves, waiting with a deadline."""

from common.testing.databases import TestDatabases, as_served
from common.testing.proxy import CuttingProxy, cutting_proxy, proxied
from common.testing.rabbit import TestRabbit, vhost_of
from common.testing.waiting import eventually

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
