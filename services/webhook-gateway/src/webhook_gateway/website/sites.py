"""The websites: what each is called, in what currency it sells, and by what its customers are limited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from common.contracts.files import read_first, read_json_file
from common.currencies import currency_code
from common.errors import ConfigurationError
from common.http import Principal
from webhook_gateway.hooks.model import WEBSITE, Feed
from webhook_gateway.website.callers import Network, is_within, trusted_networks

NAME = re.compile(WEBSITE + r"(?::[a-z0-9][a-z0-9_-]{0,31})?")
"""What a token's ``source`` may be."""

Kind = Literal["phone", "address", "ip"]
EVERY_KIND: frozenset[Kind] = frozenset({"phone", "address", "ip"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A website as one token speaks for it.

    ``limit_by``: by what its customers are limited. ``forwarders``: its own servers; the ``X-Forwarded-For`` that they send names the
    customer.
    """

    source: str = WEBSITE
    currency: str = "RUB"
    limit_by: frozenset[Kind] = EVERY_KIND
    forwarders: tuple[Network, ...] = ()


class _Caller(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit_by: tuple[Kind, ...] | None = None
    forwarders: tuple[str, ...] | None = None


class _Site(_Caller):
    currency: str | None = None
    tokens: Mapping[str, _Caller] = Field(default_factory=dict)


_FILE = TypeAdapter(dict[Annotated[str, Field(pattern=f"^{NAME.pattern}$")], _Site])


class Sites:
    """Knows the site of each token. A site that the file does not name has the defaults, and its token's source."""

    def __init__(self, *, currency: str) -> None:
        """``currency`` is for sites without one."""
        self._currency = currency
        self._sites: Mapping[str, Site] = {}
        self._tokens: Mapping[
            tuple[str, str], Site
        ] = {}  # those with settings of their own, by site and name of the token

    def read(self, raw: bytes) -> None:
        """Know the sites of this file from now on, and no others.

        It is ``{"website:kz": {"currency", "limit_by", "forwarders", "tokens": {"name of a token": {"limit_by", "forwarders"}}}}``.
        Raises ``ConfigurationError`` on anything else, and goes on with the sites of before.
        """
        entries = read_json_file(_FILE, raw)
        sites: dict[str, Site] = {}
        tokens: dict[tuple[str, str], Site] = {}
        for source, entry in entries.items():
            code = currency_code(entry.currency or self._currency)
            if code is None:
                raise ConfigurationError(f"is malformed at {source}: there is no such currency")
            sites[source] = _site(Site(source=source, currency=code), entry)
            tokens |= {(source, name): _site(sites[source], caller) for name, caller in entry.tokens.items()}
        self._sites, self._tokens = sites, tokens

    def of(self, principal: Principal | None) -> Site:
        """Return the site that a token speaks for; of a request without one the first website."""
        source = (None if principal is None else principal.source) or WEBSITE
        name = "" if principal is None else principal.name
        return self._tokens.get((source, name)) or self.named(source)

    def of_server(self, address: str) -> Site:
        """Return the site that has this address among its own servers; the first website where none has it, or more than one."""
        callers = (*self._sites.values(), *self._tokens.values())
        found = {site.source for site in callers if is_within(address, site.forwarders)}
        return self.named(found.pop() if len(found) == 1 else WEBSITE)

    def named(self, source: str) -> Site:
        """Return a site by its source."""
        return self._sites.get(source) or Site(source=source, currency=self._currency)

    def feeds(self, spoken_for: Iterable[str]) -> dict[str, Feed]:
        """Return the sites as where events come from: they send no hooks, but people enter them.

        They are the first website, those of the file, and those that tokens speak for.
        """
        names = {WEBSITE, *self._sites, *spoken_for}
        return {name: Feed(name=name, currency=self.named(name).currency) for name in names}


def load_sites(path: Path | None, *, currency: str) -> Sites:
    """Read the file (see ``Sites.read``); without one all sites have the defaults. Raises ``ConfigurationError`` with one line."""
    sites = Sites(currency=currency)
    if path is not None:
        read_first(path, "websites file", sites.read)
    return sites


def _site(base: Site, entry: _Caller) -> Site:
    return Site(
        source=base.source,
        currency=base.currency,
        limit_by=base.limit_by if entry.limit_by is None else frozenset(entry.limit_by),
        forwarders=base.forwarders if entry.forwarders is None else trusted_networks(entry.forwarders),
    )
