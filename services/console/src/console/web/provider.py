"""Signing in with an OpenID provider: authorization code with PKCE, state and nonce; the access token goes along with each call."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from authlib.common.security import generate_token
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jws
from joserfc.errors import JoseError

from common.http import LEEWAY_S, IdentityProvider, ProviderUnavailable, UntrustedTokenError
from console.web.settings import ConsoleSettings

CALLBACK = "/sign-in/callback"
_BEGUN_FOR_S = 600
_KEPT = 500
_USUAL_LIFE_S = 300
_SHARED_FOR_S = 60.0
_VERIFIER = 64


class NotLetInError(Exception):
    """The provider, or what came back from it, does not let this person in; the text says why in one word of ours, for the log."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a person's session carries: the access token, when it ends (seconds since the epoch), and what a next one is had for."""

    access: str
    until: float
    refresh: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that was begun: where the browser goes, and what the session keeps meanwhile to know it again."""

    address: str
    kept: Mapping[str, Any]


class Provider:
    """The console's side of the provider. Nothing is kept but renewals of the last minute: pages that load at once share one."""

    def __init__(self, session: aiohttp.ClientSession, settings: ConsoleSettings) -> None:
        if settings.oidc_issuer is None or settings.oidc_client_id is None or settings.origin is None:
            raise ValueError("no provider is set")
        self._session = session
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret
        self._scopes = settings.oidc_scopes
        self._resource = settings.oidc_resource
        self._origin = settings.origin
        self._provider = IdentityProvider(session, settings.oidc_issuer)
        self._renewals: OrderedDict[bytes, tuple[float, asyncio.Task[Tokens]]] = OrderedDict()

    async def begin(self, *, to: str) -> Begun:
        """Begin a sign-in that shall lead to an address of ours. Raises ``ProviderUnavailable``."""
        document = await self._provider.document()
        kept = {
            "state": generate_token(32),
            "nonce": generate_token(32),
            "verifier": generate_token(_VERIFIER),
            "to": to,
            "at": int(time.time()),
        }
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._origin + CALLBACK,
            "scope": self._scopes,
            "state": kept["state"],
            "nonce": kept["nonce"],
            "code_challenge": create_s256_code_challenge(str(kept["verifier"])),
            "code_challenge_method": "S256",
            **self._for_resource(),
        }
        address = str(document["authorization_endpoint"])
        return Begun(address + ("&" if "?" in address else "?") + urlencode(asked), kept)

    async def finish(self, query: Mapping[str, str], kept: object) -> tuple[Tokens, str]:
        """Take what the provider sent the browser back with; return the tokens, and the address that the person wanted.

        Raises ``NotLetInError`` for what was not begun by this browser in the last ten minutes, is not the provider's, or is a refusal, and
        ``ProviderUnavailable``.
        """
        if not isinstance(kept, dict) or time.time() - kept["at"] > _BEGUN_FOR_S:
            raise NotLetInError("not begun here")
        if not hmac.compare_digest(query.get("state", "").encode("utf-8", "surrogateescape"), kept["state"].encode()):
            raise NotLetInError("state")
        if query.get("iss", self._issuer) != self._issuer:
            raise NotLetInError("issuer")
        code = query.get("code")
        if not code:
            raise NotLetInError("refused")
        sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._origin + CALLBACK}
        answer = await self._token({**sent, "code_verifier": kept["verifier"], **self._for_resource()})
        await self._check_who(answer, nonce=kept["nonce"])
        return _tokens(answer, refresh=None), str(kept["to"])

    async def renewed(self, refresh: str) -> Tokens:
        """Return new tokens. Asked at the same time, or again within a minute, it is one renewal: providers take a refresh token once.

        Raises ``NotLetInError`` when the provider gives none, and ``ProviderUnavailable``.
        """
        digest = hashlib.sha256(refresh.encode()).digest()
        at, task = self._renewals.get(digest, (0.0, None))
        if task is None or time.monotonic() - at > _SHARED_FOR_S or (task.done() and task.exception() is not None):
            task = asyncio.create_task(self._renew(refresh), name="renew a session")
            self._renewals[digest] = (time.monotonic(), task)
            if len(self._renewals) > _KEPT:
                self._renewals.popitem(last=False)
        return await asyncio.shield(task)

    async def farewell(self) -> str | None:
        """Return where a person signs out at the provider too; None if it has no such place, or does not answer."""
        try:
            address = (await self._provider.document()).get("end_session_endpoint")
        except ProviderUnavailable:
            return None
        asked = urlencode({"client_id": self._client_id, "post_logout_redirect_uri": f"{self._origin}/sign-in"})
        return f"{address}?{asked}" if isinstance(address, str) else None

    async def _renew(self, refresh: str) -> Tokens:
        answer = await self._token({"grant_type": "refresh_token", "refresh_token": refresh, **self._for_resource()})
        return _tokens(answer, refresh=refresh)

    def _for_resource(self) -> dict[str, str]:
        return {"resource": self._resource} if self._resource else {}

    async def _token(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        document = await self._provider.document()
        sent, headers = {**form, "client_id": self._client_id}, {"Accept": "application/json"}
        if self._secret is not None:
            secret = self._secret.get_secret_value()
            if "client_secret_basic" in document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
                both = f"{quote(self._client_id, safe='')}:{quote(secret, safe='')}"  # as RFC 6749 has it, 2.3.1
                headers["Authorization"] = f"Basic {b64encode(both.encode()).decode()}"
            else:
                sent["client_secret"] = secret
        try:
            async with self._session.post(
                str(document["token_endpoint"]), data=sent, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status >= 500:
                    raise ProviderUnavailable("the identity provider fails")
                said = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            raise ProviderUnavailable("the identity provider does not answer") from None
        if answer.status != 200 or not isinstance(said, dict) or not isinstance(said.get("access_token"), str):
            raise NotLetInError("refused")
        if str(said.get("token_type", "")).lower() != "bearer":
            raise NotLetInError("token type")
        return said

    async def _check_who(self, answer: Mapping[str, Any], *, nonce: str) -> None:
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotLetInError("no ID token")
        try:
            claims = await self._provider.claims(token, audience=self._client_id)
            header = jws.extract_compact(token.encode()).headers()
            params = {"nonce": nonce, "client_id": self._client_id, "access_token": answer["access_token"]}
            CodeIDToken(dict(claims), header, params=params).validate(leeway=LEEWAY_S)
        except (UntrustedTokenError, JoseError) as error:
            raise NotLetInError(f"ID token: {type(error).__name__}") from None


def _tokens(answer: Mapping[str, Any], *, refresh: str | None) -> Tokens:
    life = answer.get("expires_in")
    until = time.time() + (life if isinstance(life, (int, float)) else _USUAL_LIFE_S)
    new = answer.get("refresh_token")
    return Tokens(answer["access_token"], until, new if isinstance(new, str) else refresh)
