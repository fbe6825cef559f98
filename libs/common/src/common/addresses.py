"""Addresses of servers that stand in for one another: several hosts in one address, as PostgreSQL's own clients write it."""

from __future__ import annotations

import re

_AUTHORITY = re.compile(r"(?P<scheme>[^:/?#]+://)(?P<account>[^/?#]*@)?(?P<hosts>[^/?#@]*)(?P<rest>.*)", re.DOTALL)


def each_host(address: str) -> list[str]:
    """Return an address for each host of ``scheme://account@one:1,two:2/rest``, in order; the address itself when it names one or none."""
    found = _AUTHORITY.fullmatch(address)
    if found is None:
        return [address]
    scheme, account, hosts, rest = found.group("scheme", "account", "hosts", "rest")
    return [f"{scheme}{account or ''}{host}{rest}" for host in hosts.split(",") if host] or [address]
