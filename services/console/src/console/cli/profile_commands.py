"""``profile list|show|use|token``: which suite the commands speak to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from console.cli.asking import line
from console.cli.commands import add_local
from console.cli.exits import EndedError, Exit
from console.cli.output import Columns, Output
from console.cli.profiles import Profile, chosen, current, directory, profiles, store_token, use

_COLUMNS = Columns(("name", "used", "production", "token", "origin"), ("services", "console"), name="name")
_NAME = Annotated[str, typer.Argument(metavar="PROFILE")]


def list_all(out: Output) -> Exit | None:
    """List all profiles, and which is used."""
    known = profiles()
    used = current()
    if not known:
        out.note(f"none; write one into {directory() / 'config.toml'}, or begin `make up` in a checkout")
    out.rows([_row(profile, used=profile.name == used) for profile in known.values()], _COLUMNS)
    return None


def show(out: Output, *, name: Annotated[str | None, typer.Argument(metavar="PROFILE")] = None) -> Exit | None:
    """Show a profile, or the one that commands use now; never its token."""
    found = chosen(name)
    out.thing(_row(found, used=found.name == current()), name="name")
    return None


def use_one(out: Output, *, name: _NAME) -> Exit | None:
    """Choose the profile of the commands to come."""
    use(name)
    out.note(f"now {name}")
    return None


def token(out: Output, *, name: _NAME) -> Exit | None:
    """Ask for a token and keep it in the keyring of this machine."""
    found = chosen(name)
    if "keyring" not in found.token:
        raise EndedError(
            f"profile {name} takes its token from {next(iter(found.token), 'nowhere')}, not from the keyring"
        )
    store_token(found, line(out, "Token", hide_input=True).strip())
    out.note(f"kept in the keyring for {found.token['keyring']}")
    return None


def _row(profile: Profile, *, used: bool) -> dict[str, Any]:
    return {
        "name": profile.name,
        "used": used,
        "production": profile.production,
        "token": " ".join(next(iter(profile.token.items()), (_otherwise(profile),))),
        "origin": str(profile.origin),
        "services": dict(profile.services),
        "console": profile.console,
    }


def _otherwise(profile: Profile) -> str:
    if profile.literal:
        return "suite.json"
    return f"login {profile.oidc['issuer']}" if profile.oidc else "none"


def build(app: typer.Typer) -> None:
    """Add them."""
    add_local(app, "list", list_all)
    add_local(app, "show", show)
    add_local(app, "use", use_one)
    add_local(app, "token", token)
