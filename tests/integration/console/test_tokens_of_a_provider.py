"""Access tokens of a real OpenID provider at a service: whom they name, and that no other is believed."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from joserfc.jwk import RSAKey

from tests.integration.console.factories import Service, opened
from tests.support.openid_provider.running import AUDIENCE, Provider, a_provider, visiting
from tests.support.servers import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def service(provider: Provider, tmp_path: Path) -> AsyncIterator[Service]:
    """A service before the provider of this file."""
    async with AsyncExitStack() as stack:
        yield await opened(stack, provider, tmp_path)


async def test_a_person_who_signed_in_has_her_name_and_her_groups_role(provider: Provider, service: Service) -> None:
    said = {}
    for name in ("anna", "vera", "olga", "guest"):
        async with visiting(provider) as visitor:
            tokens = await visitor.tokens(name)
        said[name] = await service.whoami(tokens["access_token"])
        assert await service.whoami(tokens["id_token"]) == (401, "unauthorized"), "an ID token is no permission"
        assert await service.whoami(tokens["refresh_token"]) == (401, "unauthorized")
    assert said == {
        "anna": (200, ("anna", "operator")),
        "vera": (200, ("vera", "viewer")),
        "olga": (200, ("olga", "admin")),
        "guest": (401, "unauthorized"),
    }
    assert await service.whoami("token-of-the-file") == (200, ("bot", "viewer"))


async def test_no_other_token_is_believed(provider: Provider, service: Service) -> None:
    assert await service.whoami(provider.signed()) == (200, ("anna", "operator"))
    other = RSAKey.generate_key(2048)
    whole = provider.signed()
    head, body, signature = whole.split(".")
    claims = {"iss": provider.issuer, "aud": AUDIENCE, "sub": "1", "exp": 2**33, "preferred_username": "anna"}
    unsigned = coded(b'{"alg":"none","typ":"at+jwt"}')
    admin = coded(json.dumps({**claims, "groups": ["owners"]}).encode())
    symmetric = coded(json.dumps({"alg": "HS256", "kid": provider.key.thumbprint()}).encode())
    mac = hmac.digest(provider.key.as_pem(private=False), f"{symmetric}.{admin}".encode(), "sha256")
    wrong = {
        "issuer": provider.signed(iss=provider.issuer + "/"),
        "no issuer": provider.signed(iss=None),
        "audience": provider.signed(aud="another-suite"),
        "audiences": provider.signed(aud=["a", "b"]),
        "a longer audience": provider.signed(aud=AUDIENCE + "-2"),
        "no audience": provider.signed(aud=None),
        "expired": provider.signed(exp=1),
        "no expiry": provider.signed(exp=None),
        "an expiry in words": provider.signed(exp="never"),
        "not yet": provider.signed(nbf=2**33),
        "no subject": provider.signed(sub=None),
        "no name": provider.signed(preferred_username=None),
        "a name of blanks": provider.signed(preferred_username=" "),
        "a name that is none": provider.signed(preferred_username=["anna"]),
        "a name with a line": provider.signed(preferred_username="anna\nadmin"),
        "no group": provider.signed(groups=None),
        "other groups": provider.signed(groups=["ops", {"on-call": 1}, 5, None]),
        "groups that are none": provider.signed(groups={"on-call": True}),
        "an ID token": provider.signed(nonce="n", at_hash="h"),
        "another key": provider.signed(key=other),
        "another key by its own name": provider.signed(key=other, header={"kid": other.thumbprint()}),
        "a key that does not exist": provider.signed(header={"kid": "../../etc"}),
        "a key's name that is none": ".".join(
            (urlsafe_b64encode(b'{"alg":"RS256","kid":5}').decode(), body, signature)
        ),
        "alg none": f"{unsigned}.{admin}.",
        "alg none with the signature": f"{unsigned}.{body}.{signature}",
        "the public key as a shared secret": f"{symmetric}.{admin}.{coded(mac)}",
        "another body": f"{head}.{admin}.{signature}",
        "half": whole[: len(whole) // 2] + "..",
        "nothing": "..",
        "text": "not.a.token",
        "long": "a" * 6000 + ".b.c",
    }
    assert {why: await service.whoami(token) for why, token in wrong.items()} == dict.fromkeys(
        wrong, (401, "unauthorized")
    )
    assert await service.whoami(provider.signed(aud=["account", AUDIENCE])) == (200, ("anna", "operator"))
    assert await service.whoami(provider.signed(groups=["support", "owners", "on-call"])) == (200, ("anna", "admin"))
    assert await service.whoami(provider.signed(groups="support")) == (200, ("anna", "viewer"))


def coded(raw: bytes) -> str:
    """A part of a JWT."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


async def test_claims_are_where_the_settings_say(provider: Provider, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        names: dict[str, Any] = {"oidc_groups_claim": "realm_access.roles", "oidc_name_claim": "email"}
        service = await opened(stack, provider, tmp_path, **names)
        token = provider.signed(email="anna@example.com", realm_access={"roles": ["owners"]})
        assert await service.whoami(token) == (200, ("anna@example.com", "admin"))
        assert await service.whoami(provider.signed(email="a@b.c", realm_access="owners")) == (401, "unauthorized")


async def test_a_token_that_the_file_revokes_is_nobodys_at_once(provider: Provider, tmp_path: Path) -> None:
    stolen, kept = provider.signed(), provider.signed()
    entry = {"name": "stolen", "role": "viewer", "token": stolen, "revoked": True}
    async with AsyncExitStack() as stack:
        service = await opened(stack, provider, tmp_path, entries=[entry])
        assert await service.whoami(stolen) == (401, "unauthorized")
        assert await service.whoami(kept) == (200, ("anna", "operator"))


async def test_a_provider_that_is_away_stops_nobody_whom_the_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.http.identity_provider._AT_MOST_EVERY_S", 0.0)
    with a_provider(tmp_path) as provider:
        async with AsyncExitStack() as stack:
            service = await opened(stack, provider, tmp_path)

            async def said() -> bool:
                return service.registry.get_sample_value("identity_provider_unreachable") == 1

            await eventually(said, what="it is said that the provider is away")
            assert await service.whoami("token-of-the-file") == (200, ("bot", "viewer"))
            assert await service.whoami(provider.signed()) == (503, "identity_provider_unavailable")
            await provider.start()
            before = provider.signed()
            assert await service.whoami(before) == (200, ("anna", "operator"))
            provider.stop()
            assert await service.whoami(before) == (200, ("anna", "operator")), "keys are kept"
            provider.key = RSAKey.generate_key(2048)
            assert await service.whoami(provider.signed()) == (503, "identity_provider_unavailable")
            await provider.start()
            assert await service.whoami(provider.signed()) == (200, ("anna", "operator")), "a new key works at once"
            assert await service.whoami(before) == (401, "unauthorized"), "a key that is gone proves nothing"


async def test_a_provider_that_names_another_issuer_is_not_believed(provider: Provider, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        elsewhere = provider.issuer.replace("127.0.0.1", "localhost")
        service = await opened(stack, provider, tmp_path, oidc_issuer=elsewhere)
        assert await service.whoami(provider.signed(iss=elsewhere)) == (503, "identity_provider_unavailable")
        assert await service.whoami("token-of-the-file") == (200, ("bot", "viewer"))
