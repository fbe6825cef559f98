"""Who orders: the things by which too many orders are recognised, each in one spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from common.errors import ConfigurationError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_STREET = 24
_HOUSEHOLD = 64  # bits of an IPv6 address that belong to one customer's network
_WORD = re.compile(r"\w+")
_MOST_HOPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Phone, address and network of an order, normalized; None where the order names none."""

    phone: str | None = None
    address: str | None = None
    ip: str | None = None


def words_of(text: str | None) -> str | None:
    """Return a text as lower-case words, so that commas, case and blanks make no other address of it."""
    words = _WORD.findall((text or "").casefold().replace("ё", "е"))
    return " ".join(words) or None


def network_of(address: str | None) -> str | None:
    """Return what an IP address is limited by: itself, or the /64 of an IPv6 address, of which one customer has all."""
    found = _ip(address or "")
    if found is None:
        return None
    if isinstance(found, IPv6Address):
        return str(ip_network((found, _HOUSEHOLD), strict=False))
    return str(found)


def neighbourhood_of(address: str | None) -> str | None:
    """Return the network that refusals without a token are gathered by: /24 of IPv4, /64 of IPv6."""
    found = _ip(address or "")
    if found is None:
        return None
    return str(ip_network((found, _HOUSEHOLD if isinstance(found, IPv6Address) else _STREET), strict=False))


def trusted_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read addresses and networks of trusted proxies. Raises ``ConfigurationError`` naming the wrong one."""
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            raise ConfigurationError(f"configuration: {text!r} among the trusted proxies is no network") from None
    return tuple(networks)


def is_within(address: str | None, networks: Sequence[Network]) -> bool:
    """Say whether an IP address lies in one of the networks."""
    found = _ip(address or "")
    return found is not None and _is_within(found, networks)


def client_ip(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """Return whom a request comes from. ``forwarded`` are the ``X-Forwarded-For`` headers, in order.

    The header is believed only as far as trusted proxies wrote it: it is read from its end, while each hop is trusted. What a
    caller puts there himself changes nothing.
    """
    current = _ip(peer or "")
    if current is None:
        return None
    hops = [hop for line in forwarded for hop in line.split(",")][-_MOST_HOPS:]
    while hops and _is_within(current, trusted):
        before = _ip(hops.pop())
        if before is None:
            break  # nonsense: the nearest proxy that can be named is as far as we know
        current = before
    return str(current)


def _is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _ip(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
