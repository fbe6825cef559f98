"""An OpenID provider, as far as its tokens are believed: its document and keys, fetched, kept, and fetched anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from common.clock import Clock, SystemClock
from common.errors import Unavailable

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures that only the provider can make: never `none`, never one whose key is a shared secret."""
LEEWAY_S = 30
"""How far clocks may be apart."""
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_AT_MOST_EVERY_S = 10.0
_LONGEST_TOKEN = 16 * 1024


class ProviderUnavailable(Unavailable):
    """The OpenID provider does not answer, and what is needed of it is not known yet."""

    code = "identity_provider_unavailable"


class UntrustedTokenError(Exception):
    """A token is not one of this provider for us, now; the text says why in a word, and nothing of the token."""


class _MisconfiguredError(Exception):
    """The provider answers, and says what must not be believed."""


_UNUSABLE = (
    *(aiohttp.ClientError, TimeoutError, OSError, JoseError, _MisconfiguredError),
    *(ValueError, KeyError, TypeError, AttributeError),  # what answers is no such document
)


@dataclass(frozen=True, slots=True)
class _Known:
    document: Mapping[str, Any]
    keys: KeySet
    names: frozenset[str | None]


class IdentityProvider:
    """One provider by its issuer's address.

    What was fetched last stays in force while the provider is away. A token of a key that is not known has the keys fetched anew, at
    most once in ten seconds whoever asks, so that a new key works at once and strangers cannot have the provider asked without end.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        issuer: str,
        *,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._issuer = issuer
        self._clock = clock or SystemClock()
        self._monotonic = monotonic
        self._known: _Known | None = None
        self._lock = asyncio.Lock()
        self._tried = float("-inf")

    async def document(self) -> Mapping[str, Any]:
        """Return the provider's metadata (OpenID Connect Discovery). Raises ``ProviderUnavailable``."""
        return (await self._at_least_once()).document

    async def renew(self) -> None:
        """Fetch document and keys; keys that the provider no longer names are not believed from now on. Raises ``ProviderUnavailable``."""
        async with self._lock:
            await self._fetch()

    async def claims(self, token: str, *, audience: str) -> Mapping[str, Any]:
        """Return what a token says, once it is proved: signed by a key of the provider, from it, for the audience, not over.

        Raises ``UntrustedTokenError``; ``ProviderUnavailable`` if that cannot be known now.
        """
        name = _name_of_key(token)
        known = await self._at_least_once()
        if name not in known.names:
            known = await self._with_new_keys(known)
        registry = jwt.JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            found = jwt.decode(token, known.keys, algorithms=ALGORITHMS).claims
            registry.validate(found)
        except (JoseError, ValueError, TypeError) as error:
            raise UntrustedTokenError(type(error).__name__) from None
        if found.get("aud") != audience and not isinstance(found.get("aud"), list):
            raise UntrustedTokenError("audience")
        return found

    async def _at_least_once(self) -> _Known:
        if self._known is None:
            async with self._lock:
                if self._known is None:
                    if self._monotonic() - self._tried < _AT_MOST_EVERY_S:
                        raise ProviderUnavailable("the identity provider does not answer", retry_after=_AT_MOST_EVERY_S)
                    return await self._fetch()
        return self._known

    async def _with_new_keys(self, known: _Known) -> _Known:
        async with self._lock:
            if self._known is not None and self._known is not known:
                return self._known
            if self._monotonic() - self._tried < _AT_MOST_EVERY_S:
                return known
            return await self._fetch()

    async def _fetch(self) -> _Known:
        self._tried = self._monotonic()
        try:
            document = await self._get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
            keys = KeySet.import_key_set({"keys": await self._named(document)})
        except _UNUSABLE as error:
            reason = str(error) if isinstance(error, _MisconfiguredError) else type(error).__name__
            detail = f"the identity provider cannot be used: {reason}"
            raise ProviderUnavailable(detail, retry_after=_AT_MOST_EVERY_S) from None
        names: set[str | None] = {key.kid for key in keys.keys}
        if len(keys.keys) == 1:
            names.add(None)  # a provider of one key need not name it
        self._known = _Known(document, keys, frozenset(names))
        return self._known

    async def _named(self, document: Mapping[str, Any]) -> list[Any]:
        if document.get("issuer") != self._issuer:
            raise _MisconfiguredError("it names another issuer")
        address = str(document["jwks_uri"])
        if urlsplit(address).scheme != "https" and urlsplit(self._issuer).scheme == "https":
            raise _MisconfiguredError("its keys are not at an https address")
        named = (await self._get(address))["keys"]
        return [key for key in named if key.get("kty") in _KEY_TYPES and key.get("use", "sig") == "sig"]

    async def _get(self, address: str) -> Any:
        async with self._session.get(address, headers={"Accept": "application/json"}) as answer:
            answer.raise_for_status()
            found = await answer.json(content_type=None)
        if not isinstance(found, dict):
            raise TypeError
        return found


def _name_of_key(token: str) -> str | None:
    if len(token) > _LONGEST_TOKEN:
        raise UntrustedTokenError("too long")
    try:
        name = jws.extract_compact(token.encode("ascii")).headers().get("kid")
    except (JoseError, ValueError, TypeError):
        raise UntrustedTokenError("no JWT") from None
    if name is not None and not isinstance(name, str):
        raise UntrustedTokenError("no JWT")
    return name
