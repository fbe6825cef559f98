"""Who orders: one spelling of phone, address and network, and whom a request comes from."""

from __future__ import annotations

import pytest

from common.errors import ConfigurationError
from webhook_gateway.website import callers

PROXIES = callers.trusted_networks(("10.0.0.0/8", "127.0.0.1", "fd00::/8"))


def test_an_address_has_one_spelling() -> None:
    assert callers.words_of("Москва,  ул. Тверская, д.1 «Ёлка»") == callers.words_of("москва ул тверская д 1 елка")
    assert callers.words_of(" ,. ") is None
    assert callers.words_of(None) is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("nonsense", None),
        (None, None),
    ],
)
def test_a_household_of_ipv6_is_one_caller(address: str | None, network: str | None) -> None:
    assert callers.network_of(address) == network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        (None, None),
    ],
)
def test_strangers_are_gathered_by_their_network(address: str | None, network: str | None) -> None:
    assert callers.neighbourhood_of(address) == network


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),  # not a proxy of ours: what it says is not believed
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["203.0.113.9, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),  # the caller's own words stay unread
        ("10.1.2.3", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1:5060"], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("10.1.2.3", ["198.51.100.1, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["10.1.1.1, 10.1.1.2"], "10.1.1.1"),
        ("10.1.2.3", [], "10.1.2.3"),
        (None, ["198.51.100.1"], None),
    ],
)
def test_only_trusted_proxies_say_whom_a_request_comes_from(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    assert callers.client_ip(peer, forwarded, PROXIES) == client


def test_a_wrong_network_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="nonsense"):
        callers.trusted_networks(("nonsense",))
