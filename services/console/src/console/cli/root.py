"""What ``ordersctl`` itself takes, before any noun."""

from __future__ import annotations

from typing import Annotated

import typer

from common.version import VERSION


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


_VERSION = typer.Option("--version", callback=_version, is_eager=True, help="say which release this is")


def root(version: Annotated[bool, _VERSION] = False) -> None:
    """Take the options of the program itself."""


def nothing() -> None:
    """Stand for what is not built, and for groups, which take nothing."""
