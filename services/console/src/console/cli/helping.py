"""The help of commands in the person's language: what each is for, and its example. What is typed stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from console.client.sentences import Say, catalogue, language_of, sentences

_OF_A_ROLE = re.compile(r"(.+) \((viewer|operator|admin)\)\.?", re.DOTALL)
_EXAMPLE = "Example: "
_HEADINGS = ("Options", "Commands", "Arguments")


def translate_help(app: typer.Typer, given: Sequence[str], environment: Mapping[str, str]) -> None:
    """Have the help in the language of the profile, else of the terminal.

    Only where help is what the arguments ask for: nobody else waits for the words.
    """
    from typer import rich_utils

    if not ({"--help", "-h"} & {*given} or len(given) < 2):
        return
    language = language_of(environment, _own_language(given))
    say = helps(language)
    for heading in _HEADINGS:
        setattr(rich_utils, f"{heading.upper()}_PANEL_TITLE", say(heading))
    if language != "en":
        for said in parts(app):
            said.help, said.epilog = (text and say(text) for text in (said.help, said.epilog))


def _own_language(given: Sequence[str]) -> str | None:
    """Return what the profile says that the command would use; None where it says nothing, or there is none: help needs no profile."""
    from console.cli.exits import EndedError
    from console.cli.profiles import chosen

    named = [given[at + 1] for at, word in enumerate(given[:-1]) if word in ("-p", "--profile")]
    named += [word.partition("=")[2] for word in given if word.startswith("--profile=")]
    try:
        return chosen(next(iter(named), None)).language
    except EndedError:
        return None


def helps(language: str) -> Say:
    """Return what says a text of the help in a language."""
    if language == "en":
        return str
    known, say = catalogue("client/locale/ru.help.po"), sentences(language)

    def translated(text: str) -> str:
        """Say it whole, or with the role that it needs behind it, or as an example."""
        if found := known.get(text):
            return found
        if text.startswith(_EXAMPLE):
            return known["Example: {}"].replace("{}", text.removeprefix(_EXAMPLE))
        fits = _OF_A_ROLE.fullmatch(text)
        return f"{translated(fits[1])} ({fits[2]})" if fits else say(text)

    return translated


def parts(app: typer.Typer) -> Iterator[Any]:
    """Yield all that has a help of its own: the program, its groups, its commands."""
    yield app.info
    yield from app.registered_commands
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from parts(group.typer_instance)
