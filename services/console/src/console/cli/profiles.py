"""Profiles: which suite a command speaks to, and whose token it shows.

They stand in ``ordersctl/config.toml`` of the user's configuration directory; the suite of a checkout is found by itself::

    [profiles.prod]
    url = "https://{service}.orders.example.com"
    console = "https://console.example.com"
    production = true
    language = "ru"
    time_zone = "Asia/Omsk"
    ca_file = "~/orders-ca.crt"
    token = { keyring = "anna" }

``url`` has a place for the service, or ``services`` names each. ``token`` is one of ``keyring`` (an account), ``command``, ``file``
and ``env``; without one, ``oidc = { issuer = "https://…", client_id = "ordersctl" }`` is whom ``ordersctl login`` asks. ``language`` is
``en`` or ``ru``, else what the terminal's environment says; ``time_zone`` that of times, else the suite's. ``ca_file`` holds authorities
that the services' certificates are believed by, beside the machine's own.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.moments import BUSINESS_ZONE, zone_named
from console.cli.exits import EndedError, Exit
from console.client.operations import SERVICES

if TYPE_CHECKING:
    from ssl import SSLContext

KEYRING = "ordersctl"
"""The service under which tokens are kept in the keyring."""
_LOCAL = {"local": "operator", "local-viewer": "viewer", "local-admin": "admin"}
_SOURCES = ("keyring", "command", "file", "env")
_KNOWN = {"url", "services", "console", "production", "token", "oidc", "language", "time_zone", "ca_file"}
_OIDC = {"issuer", "client_id", "scope"}
_COMMAND_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A suite and a person. ``token`` is where the token is, not the token; ``origin`` is the file that says so."""

    name: str
    services: Mapping[str, str]
    origin: Path
    token: Mapping[str, str] = field(default_factory=dict)
    literal: str | None = field(default=None, repr=False)
    console: str | None = None
    production: bool = False
    oidc: Mapping[str, str] = field(default_factory=dict)
    language: str | None = None
    time_zone: str | None = None
    ca_file: Path | None = None

    def trusted(self) -> SSLContext | None:
        """Return whom to believe over https beside the machine's own; None: nobody. ``EndedError`` when the file is not right."""
        if self.ca_file is None:
            return None
        import ssl

        context = ssl.create_default_context()
        try:
            context.load_verify_locations(cafile=self.ca_file)
        except (OSError, ValueError) as error:
            raise EndedError(f"{self.origin}: profile {self.name}: ca_file {self.ca_file}: {error}") from None
        return context

    def read_token(self) -> str:
        """Return the token. ``EndedError`` (no right) says where it was looked for; the token itself is in no message."""
        if self.literal is not None:
            return self.literal
        for source, where in self.token.items():
            if found := _READ[source](where):
                return found
        if self.oidc:
            from console.cli.login import token_of

            if found := token_of(self):
                return found
            raise EndedError(
                f"profile {self.name}: nobody is signed in: `ordersctl login -p {self.name}`", Exit.NO_RIGHT
            )
        asked = (
            ", ".join(f"{source} {where}" for source, where in self.token.items())
            or "none is named: name one, or log in"
        )
        raise EndedError(f"profile {self.name}: no token ({asked})", Exit.NO_RIGHT)


def directory() -> Path:
    """Return where profiles are kept: ``ORDERSCTL_CONFIG_DIR``, or the user's configuration directory."""
    if kept := os.environ.get("ORDERSCTL_CONFIG_DIR"):
        return Path(kept)
    from platformdirs import user_config_path

    return user_config_path("ordersctl", appauthor=False)


def profiles() -> dict[str, Profile]:
    """Return all profiles by name, those of the file and the local suite's. ``EndedError`` when the file is not right."""
    return {**_local(), **_written()}


def chosen(name: str | None) -> Profile:
    """Return the profile that was named: in the command, in ``ORDERSCTL_PROFILE``, by ``profile use``; else the local suite's."""
    known = profiles()
    name = name or os.environ.get("ORDERSCTL_PROFILE") or current()
    if name is None:
        if "local" in known:
            return known["local"]
        raise EndedError(f"no profile: write one into {directory() / 'config.toml'}, or begin `make up` in a checkout")
    if name not in known:
        raise EndedError(f"no profile {name}; there are: {', '.join(sorted(known)) or 'none'}")
    return known[name]


def chosen_if_any(name: str | None) -> Profile | None:
    """Return the same, or None: what a command says, and its help, need no profile."""
    try:
        return chosen(name)
    except (EndedError, OSError):
        return None


def current() -> str | None:
    """Return the profile that ``profile use`` chose."""
    file = directory() / "current"
    return (file.read_text(encoding="utf-8").strip() or None) if file.is_file() else None


def use(name: str) -> None:
    """Choose a profile for the commands to come. ``EndedError`` when there is none of this name."""
    if name not in profiles():
        raise EndedError(f"no profile {name}; there are: {', '.join(sorted(profiles())) or 'none'}", Exit.NOT_FOUND)
    directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory() / "current").write_text(name + "\n", encoding="utf-8")


def store_token(profile: Profile, token: str) -> None:
    """Keep a token in the keyring under the profile's account."""
    import keyring

    keyring.set_password(KEYRING, profile.token.get("keyring", profile.name), token)


def _written() -> dict[str, Profile]:
    file = directory() / "config.toml"
    if not file.is_file():
        return {}
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8")).get("profiles", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EndedError(f"{file}: {error}") from None
    return {name: _profile(name, table, file) for name, table in tables.items()}


def _profile(name: str, table: Any, file: Path) -> Profile:
    def wrong(said: str) -> EndedError:
        return EndedError(f"{file}: profile {name}: {said}")

    if not isinstance(table, dict):
        raise wrong("is no table")
    if unknown := table.keys() - _KNOWN:
        raise wrong(f"unknown: {', '.join(sorted(unknown))}")
    services = table.get("services") or {service: str(table.get("url", "")) for service in SERVICES}
    services = {service: str(url).replace("{service}", service) for service, url in services.items()}
    if strangers := services.keys() - set(SERVICES):
        raise wrong(f"no such service: {', '.join(sorted(strangers))}")
    if bad := [url for url in services.values() if not url.startswith(("https://", "http://"))]:
        raise wrong(f"url or services: {bad[0]!r} is no address")
    if not isinstance(table.get("ca_file", ""), str):
        raise wrong("ca_file: a path")
    if table.get("language", "en") not in ("en", "ru"):
        raise wrong("language: en or ru")
    try:
        zone_named(str(table.get("time_zone", BUSINESS_ZONE)))
    except ValueError:
        raise wrong(f"time_zone: {table['time_zone']} is no time zone's name") from None
    token = table.get("token", {})
    if not isinstance(token, dict) or len(token) > 1 or not token.keys() <= set(_SOURCES):
        raise wrong(f"token: one of {', '.join(_SOURCES)}")
    oidc = table.get("oidc", {})
    if not isinstance(oidc, dict) or not oidc.keys() <= _OIDC or (oidc and not {"issuer", "client_id"} <= oidc.keys()):
        raise wrong("oidc: issuer and client_id, and scope if need be")
    return Profile(
        name=name,
        services=services,
        origin=file,
        token={source: str(where) for source, where in token.items()},
        console=table.get("console"),
        production=table.get("production") is True,
        oidc={name: str(text) for name, text in oidc.items()},
        language=table.get("language"),
        time_zone=table.get("time_zone"),
        ca_file=Path(table["ca_file"]).expanduser() if "ca_file" in table else None,
    )


def _local() -> dict[str, Profile]:
    """The suite that a checkout runs, as each of its people."""
    for file in _looked_for():
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            services = {name: str(each["url"]) for name, each in said["services"].items() if name in SERVICES}
            console = said["services"].get("console") or said["services"]["notifier"]
            return {
                name: Profile(
                    name=name,
                    services=services,
                    origin=file,
                    literal=said["tokens"][role],
                    console=console["url"],
                    time_zone=said.get("time_zone"),
                )
                for name, role in _LOCAL.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # half written, or of another release: as if it were not there
    return {}


def _looked_for() -> Iterator[Path]:
    begins = [Path(os.environ["SUITE_RUN_DIR"]) / "suite.json"] if "SUITE_RUN_DIR" in os.environ else []
    for start in (Path.cwd(), Path(__file__).resolve()):
        begins += [folder / ".run/suite.json" for folder in (start, *start.parents)]
    yield from (file for file in begins if file.is_file())


def _from_keyring(account: str) -> str | None:
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(KEYRING, account)
    except KeyringError as error:
        raise EndedError(f"keyring: {error}", Exit.NO_RIGHT) from None


def _from_command(line: str) -> str | None:
    try:
        ended = subprocess.run(  # noqa: S603 - the person's own command, without a shell
            shlex.split(line), stdout=subprocess.PIPE, text=True, timeout=_COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise EndedError(f"token command: {type(error).__name__}", Exit.NO_RIGHT) from None
    return ended.stdout.strip() if ended.returncode == 0 else None


def _from_environment(name: str) -> str | None:
    return os.environ.get(name)


def _from_file(path: str) -> str | None:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


_READ: Mapping[str, Callable[[str], str | None]] = {
    "keyring": _from_keyring,
    "command": _from_command,
    "file": _from_file,
    "env": _from_environment,
}
