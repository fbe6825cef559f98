"""``login`` and ``logout``: an OpenID provider's tokens, by the device flow (RFC 8628).

They stand in the keyring, and where there is none in a file of mode 600.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from console.cli.commands import add_local
from console.cli.exits import EndedError, Exit
from console.cli.output import Output
from console.cli.profiles import KEYRING, Profile, chosen, directory

_TIMEOUT_S = 15
_RENEWED_BEFORE_S = 60
_SLOWER_S = 5
_USUAL_S = 5
_LARGEST = 1024 * 1024
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_PROFILE = Annotated[str | None, typer.Option("--profile", "-p", help="which suite, as whom (ORDERSCTL_PROFILE)")]


def login(out: Output, *, profile: _PROFILE = None) -> Exit | None:
    """Sign in with the profile's OpenID provider: open the address that is printed, in any browser, and enter the code."""
    found = chosen(profile)
    client = _client_of(found)
    document = _document(client["issuer"])
    address = document.get("device_authorization_endpoint")
    if not isinstance(address, str):
        raise EndedError(f"{client['issuer']} has no device flow: take a token, `ordersctl profile token`")
    asked = {"client_id": client["client_id"], "scope": client.get("scope", "openid profile offline_access")}
    status, begun = _posted(address, asked)
    if status != 200:
        raise EndedError(f"the provider does not begin: {begun.get('error', status)}", Exit.NO_RIGHT)
    out.note(f"open {begun.get('verification_uri_complete') or begun['verification_uri']}")
    out.note(f"and enter {begun['user_code']}")
    said = _awaited(str(document["token_endpoint"]), client["client_id"], begun)
    where = _Store(found).write(_kept(said, None))
    out.note(f"signed in as {_name_in(said['access_token'])}; kept in {where}")
    return None


def logout(out: Output, *, profile: _PROFILE = None) -> Exit | None:
    """Forget the tokens, here and at the provider if it can."""
    found = chosen(profile)
    client, store = _client_of(found), _Store(found)
    kept = store.read()
    store.forget()
    if kept is not None and kept.get("refresh"):
        with suppress(EndedError):
            document = _document(client["issuer"])
            if isinstance(document.get("revocation_endpoint"), str):
                _posted(document["revocation_endpoint"], {"client_id": client["client_id"], "token": kept["refresh"]})
    out.note("signed out" if kept is not None else "nobody was signed in")
    return None


def token_of(profile: Profile) -> str | None:
    """Return the access token that ``login`` got, renewed when it is about to end; None when nobody is signed in any more.

    Two commands at once renew it once: providers take a refresh token one time.
    """
    store = _Store(profile)
    kept = store.read()
    if kept is None or kept["until"] - time.time() > _RENEWED_BEFORE_S:
        return kept["access"] if kept is not None else None
    with store.locked():
        kept = store.read()
        if kept is None or kept["until"] - time.time() > _RENEWED_BEFORE_S:
            return kept["access"] if kept is not None else None
        if kept.get("refresh"):
            client = _client_of(profile)
            document = _document(client["issuer"])
            form = {"grant_type": "refresh_token", "refresh_token": kept["refresh"], "client_id": client["client_id"]}
            status, said = _posted(str(document["token_endpoint"]), form)
            if status == 200:
                kept = _kept(said, kept["refresh"])
                store.write(kept)
                return str(kept["access"])
    return str(kept["access"]) if kept["until"] > time.time() else None


def _awaited(address: str, client_id: str, begun: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask until the person has answered at the provider."""
    wait = int(begun.get("interval", _USUAL_S))
    until = time.monotonic() + int(begun.get("expires_in", 600))
    form = {"grant_type": _DEVICE, "device_code": begun["device_code"], "client_id": client_id}
    while time.monotonic() < until:
        time.sleep(wait)
        status, said = _posted(address, form)
        error = said.get("error")
        if status == 200 and isinstance(said.get("access_token"), str):
            return said
        if error == "slow_down":
            wait += _SLOWER_S
        elif error == "expired_token":
            break
        elif error != "authorization_pending":
            raise EndedError(f"the provider did not let you in: {error or status}", Exit.NO_RIGHT)
    raise EndedError("nobody entered the code in time", Exit.TIMED_OUT)


def _client_of(profile: Profile) -> Mapping[str, str]:
    if not profile.oidc:
        raise EndedError(f"profile {profile.name} names no OpenID provider (oidc = {{ issuer, client_id }})")
    return profile.oidc


def _document(issuer: str) -> Mapping[str, Any]:
    status, said = _called(issuer.rstrip("/") + "/.well-known/openid-configuration", None)
    if status != 200 or said.get("issuer") != issuer:
        raise EndedError(f"{issuer} is no OpenID provider of this name", Exit.UNREACHABLE)
    return said


def _posted(address: str, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
    from urllib.parse import urlencode

    return _called(address, urlencode(form).encode())


def _called(address: str, body: bytes | None) -> tuple[int, Mapping[str, Any]]:
    """Return status and answer. ``EndedError`` when nobody answers, or not over https (but on this machine)."""
    from urllib.error import HTTPError
    from urllib.parse import urlsplit
    from urllib.request import ProxyHandler, Request, build_opener

    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")):
        raise EndedError(f"{address}: a provider is spoken to over https only")
    request = Request(address, data=body, headers={"Accept": "application/json"})  # noqa: S310 - checked above
    opener = build_opener(*([ProxyHandler({})] if parts.scheme == "http" else []))
    try:
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as answer:
                status, raw = answer.status, answer.read(_LARGEST)
        except HTTPError as error:
            with error:
                status, raw = error.code, error.read(_LARGEST)
        said = json.loads(raw)
    except (OSError, ValueError) as error:
        raise EndedError(
            f"{parts.hostname} does not answer as a provider: {type(error).__name__}", Exit.UNREACHABLE
        ) from None
    return status, said if isinstance(said, dict) else {}


def _kept(said: Mapping[str, Any], refresh: str | None) -> dict[str, Any]:
    until = time.time() + float(said.get("expires_in") or _USUAL_S * 60)
    return {"access": said["access_token"], "until": int(until), "refresh": said.get("refresh_token") or refresh}


def _name_in(token: str) -> str:
    """Return the name in a token, for the person who has just got it; services do not take it from here."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return str(claims.get("preferred_username") or claims["sub"])
    except (IndexError, ValueError, KeyError, AttributeError):
        return "whom the provider says (`ordersctl whoami`)"


class _Store:
    """A profile's tokens."""

    def __init__(self, profile: Profile) -> None:
        self._account = f"{profile.name} (login)"
        self._file = directory() / "tokens" / f"{profile.name}.json"

    def read(self) -> dict[str, Any] | None:
        """Return what was written last, None when there is nothing (that is ours)."""
        import keyring
        from keyring.errors import KeyringError

        text = None
        with suppress(KeyringError):
            text = keyring.get_password(KEYRING, self._account)
        if text is None and self._file.is_file():
            text = self._file.read_text(encoding="utf-8")
        try:
            found = json.loads(text or "null")
            return {**found, "access": str(found["access"]), "until": int(found["until"])}
        except (ValueError, TypeError, KeyError):
            return None

    def write(self, kept: Mapping[str, Any]) -> str:
        """Keep it; return where."""
        import keyring
        from keyring.errors import KeyringError

        text = json.dumps(kept)
        try:
            keyring.set_password(KEYRING, self._account, text)
        except KeyringError:
            self._folder()
            fresh = self._file.with_suffix(f".{os.getpid()}")
            with os.fdopen(
                os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as stream:
                stream.write(text)
            fresh.replace(self._file)
            return str(self._file)
        return "the keyring"

    def forget(self) -> None:
        """Take it away."""
        import keyring
        from keyring.errors import KeyringError

        with suppress(KeyringError):
            keyring.delete_password(KEYRING, self._account)
        self._file.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other command of this person change it meanwhile."""
        import fcntl

        self._folder()
        with self._file.with_suffix(".lock").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _folder(self) -> Path:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._file.parent


def build_login(app: typer.Typer) -> None:
    """Add ``login``."""
    add_local(app, "login", login)


def build_logout(app: typer.Typer) -> None:
    """Add ``logout``."""
    add_local(app, "logout", logout)
