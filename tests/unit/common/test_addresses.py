"""Addresses with several hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses import each_host

_WORDS = st.text(alphabet="abcXYZ019-_.~%", min_size=1, max_size=12)
_HOSTS = st.lists(st.from_regex(r"([a-z0-9.-]{1,9}|\[[0-9a-f:]{2,9}\])(:[0-9]{1,5})?", fullmatch=True), min_size=1)


@given(account=st.none() | st.tuples(_WORDS, _WORDS), hosts=_HOSTS, rest=st.sampled_from(["", "/vhost", "/db?a=b,c@d"]))
def test_each_host_has_the_account_and_the_rest(account: tuple[str, str] | None, hosts: list[str], rest: str) -> None:
    before = "amqp://" + ("" if account is None else f"{account[0]}:{account[1]}@")
    assert each_host(before + ",".join(hosts) + rest) == [before + host + rest for host in hosts]


@pytest.mark.parametrize("address", ["", "nonsense", "amqp://", "postgresql:///db?host=/run/postgresql", "a@b,c"])
def test_an_address_without_hosts_stays_as_it_is(address: str) -> None:
    assert each_host(address) == [address]
