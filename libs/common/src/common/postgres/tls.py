"""TLS with PostgreSQL: what an address asks for beyond what asyncpg reads in it, and how a refusal reads."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from common.tls import tls_complaint

_VERIFIED = {"verify-ca", "verify-full"}


async def with_tls(dsn: str) -> dict[str, Any]:
    """Return what ``asyncpg.connect`` is to be called with for an address.

    ``sslmode=verify-full`` (or ``verify-ca``) without ``sslrootcert``, or with ``sslrootcert=system``, believes whom the machine does,
    as dbmate's driver has it; asyncpg would look into a home directory that a container does not have. Everything else asyncpg reads
    itself, its files anew for every connection: a renewed one counts from then on. Raises ``OSError`` where one cannot be read.
    """
    try:
        query = dict(parse_qsl(urlsplit(dsn).query))
    except ValueError:
        return {"dsn": dsn}  # which asyncpg will say in its own words
    mode = query.get("sslmode", "").replace("_", "-")
    if mode not in _VERIFIED or query.get("sslrootcert", "system") != "system":
        return {"dsn": dsn}
    return {"dsn": dsn, "ssl": await asyncio.to_thread(_as_the_machine_does, query, names=mode == "verify-full")}


def _as_the_machine_does(query: dict[str, str], *, names: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = names
    if "sslcert" in query:
        context.load_cert_chain(query["sslcert"], query.get("sslkey"))
    return context


def complaint_of(error: BaseException) -> str | None:
    """Return in a few words why there is no TLS with the server, or None where an error is no matter of TLS."""
    if isinstance(error, ConnectionError) and "SSL upgrade" in str(error):
        return "it speaks no TLS, which its address asks for"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError) and str(error).endswith("no encryption"):
        return "it takes nobody without TLS"
    return tls_complaint(error)
