"""The provider as a process, and a person's browser before it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import RSAKey

from suite_local.ports import free_port
from tests.support.servers import eventually

AUDIENCE = "order-suite"
PEOPLE: Mapping[str, Sequence[str]] = {"anna": ["on-call"], "vera": ["support"], "olga": ["owners"], "guest": ["staff"]}
ROLES = {"on-call": "operator", "support": "viewer", "owners": "admin"}
_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]*)"')
_ROOT = Path(__file__).parents[3]


@dataclass
class Provider:
    """The process, its folder and its key, with which tests also sign what the provider never would."""

    folder: Path
    port: int
    seconds: int = 300
    console: str = "http://127.0.0.1:1"
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048))
    process: subprocess.Popen[bytes] | None = None

    @property
    def issuer(self) -> str:
        """Its name."""
        return f"http://127.0.0.1:{self.port}/o"

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.joinpath("key.pem").write_bytes(self.key.as_pem(private=True))
        stated = {
            "audience": AUDIENCE,
            "seconds": self.seconds,
            "people": PEOPLE,
            "redirect_uris": [f"{self.console}/sign-in/callback"],
            "logout_uris": [f"{self.console}/sign-in"],
        }
        self.folder.joinpath("provider.json").write_text(json.dumps(stated))
        self._spawn()
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                assert self.process is not None
                assert self.process.poll() is None, self.folder.joinpath("log").read_text()
                try:
                    async with session.get(f"{self.issuer}/.well-known/openid-configuration") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await eventually(answers, what="the provider answers")

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "tests.support.openid_provider", str(self.folder), str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=log)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def signed(self, *, key: RSAKey | None = None, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Return an access token of anna's as the provider writes it, but for what is given; None leaves a claim out."""
        key = key or self.key
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "1",
            "iat": now,
            "exp": now + 60,
            "jti": uuid.uuid4().hex,
            "preferred_username": "anna",
            "groups": ["on-call"],
        }
        said = {name: value for name, value in (usual | claims).items() if value is not None}
        named = {"alg": "RS256", "typ": "at+jwt", "kid": self.key.thumbprint(), **(header or {})}
        return jwt.encode(named, said, key, algorithms=[named["alg"]])


@contextmanager
def a_provider(folder: Path, **options: Any) -> Iterator[Provider]:
    """A provider that is ended at the end; it is not started yet."""
    provider = Provider(folder, free_port(), **options)
    try:
        yield provider
    finally:
        provider.stop()


@dataclass
class Visitor:
    """Somebody's browser before the provider."""

    provider: Provider
    session: aiohttp.ClientSession

    async def sign_in(self, address: str, name: str) -> str:
        """Go where a client sent the browser, log in as somebody, and return the address that the provider leads back to."""
        for _ in range(8):
            async with self.session.get(address, allow_redirects=False) as answer:
                page = await answer.text()
                address = (
                    str(answer.url.join(answer.url.__class__(answer.headers["Location"])))
                    if answer.status in (302, 303)
                    else ""
                )
            if not address:
                login, token = str(answer.url), _CSRF.search(page)
                assert token is not None, page[:500]
                fields = {"username": name, "password": f"secret-of-{name}", "csrfmiddlewaretoken": token[1]}
                sent = {**fields, "next": parse_qs(urlsplit(login).query)["next"][0]}
                async with self.session.post(
                    login, data=sent, headers={"Referer": login}, allow_redirects=False
                ) as answer:
                    assert answer.status == 302, await answer.text()
                    address = str(answer.url.join(answer.url.__class__(answer.headers["Location"])))
            if not address.startswith(self.provider.issuer.removesuffix("/o")):
                return address
        raise AssertionError(address)

    async def approve(self, user_code: str, name: str, *, action: str = "accept") -> None:
        """Enter a device's code as somebody, and answer it."""
        address = f"{self.provider.issuer}/device/?{urlencode({'user_code': user_code})}"
        origin = self.provider.issuer.removesuffix("/o")
        fields: dict[str, str] = {"username": name, "password": f"secret-of-{name}"}
        for more in (fields, {"user_code": user_code}, {"action": action}):
            async with self.session.get(address) as answer:
                page, address = await answer.text(), str(answer.url)
            token = _CSRF.search(page)
            assert token is not None, page[:500]
            sent = {**more, "csrfmiddlewaretoken": token[1]}
            if "/login/" in address:
                sent["next"] = parse_qs(urlsplit(address).query)["next"][0]
            async with self.session.post(
                address, data=sent, headers={"Referer": address}, allow_redirects=False
            ) as answer:
                assert answer.status == 302, await answer.text()
                address = origin + answer.headers["Location"].removeprefix(origin)

    async def tokens(self, name: str) -> Mapping[str, Any]:
        """Return what the provider gives the console for somebody: the real thing, by code and PKCE."""
        verifier, state = uuid.uuid4().hex * 2, uuid.uuid4().hex
        redirect_uri = f"{self.provider.console}/sign-in/callback"
        asked = {
            "response_type": "code",
            "client_id": "console",
            "redirect_uri": redirect_uri,
            "state": state,
            "scope": "openid profile groups",
            "nonce": uuid.uuid4().hex,
            "code_challenge_method": "S256",
            "code_challenge": create_s256_code_challenge(verifier),
        }
        back = await self.sign_in(f"{self.provider.issuer}/authorize/?{urlencode(asked)}", name)
        form = {
            "grant_type": "authorization_code",
            "code": parse_qs(urlsplit(back).query)["code"][0],
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": "console",
            "client_secret": "secret-of-the-console",
        }
        async with self.session.post(f"{self.provider.issuer}/token/", data=form) as answer:
            assert answer.status == 200, await answer.text()
            said: Mapping[str, Any] = await answer.json()
            return said


@asynccontextmanager
async def visiting(provider: Provider) -> AsyncIterator[Visitor]:
    """A browser that knows nobody yet."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Visitor(provider, session)
