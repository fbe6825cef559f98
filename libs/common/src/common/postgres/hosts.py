"""Connecting to the one of several PostgreSQL servers that takes writes."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import structlog

from common.addresses import each_host
from common.postgres.tls import with_tls

_log = structlog.get_logger(__name__)


class Hosts:
    """The servers of one address. Safe for concurrent use within one event loop.

    Each gets its share of the time, so that one which is silent cannot use up what the others need; whoever answered last is asked
    first, and who has failed is asked last, also when whoever waited has given up meanwhile.
    """

    def __init__(self, dsn: str) -> None:
        one_each = each_host(dsn)
        self.addresses = one_each if len(one_each) == 1 else [_that_takes_writes(each) for each in one_each]
        self.asked_first = 0

    async def connect(self, _: str | None = None, *, timeout: float = 5.0, **options: Any) -> asyncpg.Connection[Any]:
        """Open a connection, as ``asyncpg.connect`` does. Raises what the last one said when none can be had; that it is a
        standby only where nobody said more: "too many clients" of the primary is what a person has to know.
        """
        share = timeout / len(self.addresses)
        told: Exception | None = None
        for last in range(1 - len(self.addresses), 1):
            asked = self.asked_first
            try:
                connection: asyncpg.Connection[Any] = await asyncpg.connect(
                    **await with_tls(self.addresses[asked]), timeout=share, **options
                )
            except BaseException as error:
                if self.asked_first == asked:
                    self.asked_first = (asked + 1) % len(self.addresses)
                if not isinstance(error, Exception):
                    raise
                if not isinstance(error, asyncpg.TargetServerAttributeNotMatched):
                    told = error
                if last == 0:
                    raise (told or error) from None
                _log.debug("database_host_passed_over", number=asked, reason=type(error).__name__)
            else:
                self.asked_first = asked
                return connection
        raise AssertionError("there is a last one")


async def the_one_that_takes_writes(dsn: str, *, timeout: float) -> str:
    """Return the address of the server that takes writes now, for programs that know one host only. Raises as ``Hosts.connect`` does."""
    hosts = Hosts(dsn)
    if len(hosts.addresses) > 1:
        connection = await hosts.connect(timeout=timeout)
        connection.terminate()
    return hosts.addresses[hosts.asked_first]


def _that_takes_writes(dsn: str) -> str:
    parts = urlsplit(dsn)
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit(parts._replace(query=urlencode({"target_session_attrs": "read-write", **said})))
