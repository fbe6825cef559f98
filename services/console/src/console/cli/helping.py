"""The help of commands in the person's language: what each is for, its example, its options. What is typed stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from console.client.sentences import Say, Sentences, catalogue, language_of

HELP = ("-h", "--help")
_OF_A_ROLE = re.compile(r"(.+) \((viewer|operator|admin)\)\.?", re.DOTALL)
_EXAMPLE = "Example: "
_TITLES = {
    "OPTIONS_PANEL_TITLE": "Options",
    "COMMANDS_PANEL_TITLE": "Commands",
    "ARGUMENTS_PANEL_TITLE": "Arguments",
    "DEFAULT_STRING": "[default: {}]",
    "REQUIRED_LONG_STRING": "[required]",
}


def with_help(app: typer.Typer, given: Sequence[str], environment: Mapping[str, str]) -> Any:
    """Return the program, its help in the language in which the command that is asked about would speak.

    Only where help is what the arguments ask for: nobody else waits for the words.
    """
    from typer import main, rich_utils

    program: Any = main.get_command(app)
    if not ({*HELP} & {*given} or len(given) < 2):
        return program
    language = language_of(environment, _asked(given, "--language") or _of_the_profile(given))
    say = helps(language)
    for name, title in _TITLES.items():
        setattr(rich_utils, name, say(title))
    if language != "en":
        for said in parts(program):
            for name in ("help", "epilog"):
                if text := getattr(said, name, None):
                    setattr(said, name, say(text))
    return program


def _of_the_profile(given: Sequence[str]) -> str | None:
    """Return what the profile says that the command would use; None where it says nothing, or there is none: help needs no profile."""
    from console.cli.profiles import chosen_if_any

    found = chosen_if_any(_asked(given, "-p", "--profile"))
    return found.language if found else None


def _asked(given: Sequence[str], *names: str) -> str | None:
    """Return what was given for an option."""
    pairs = (
        (word, given[at + 1 : at + 2]) if word in names else (word.partition("=")[0], [word.partition("=")[2]])
        for at, word in enumerate(given)
    )
    return next((held[0] for word, held in pairs if word in names and held), None)


def helps(language: str) -> Say:
    """Return what says a text of the help in a language."""
    if language == "en":
        return str
    known = catalogue("client/locale/ru.help.po")
    say = Sentences({**catalogue("client/locale/ru.po"), **known}, catalogue("web/locale/ru.services.po"))

    def translated(text: str) -> str:
        """Say it whole, or with the role that it needs behind it, or as an example."""
        if found := known.get(text):
            return found
        if text.startswith(_EXAMPLE):
            return known["Example: {}"].replace("{}", text.removeprefix(_EXAMPLE))
        fits = _OF_A_ROLE.fullmatch(text)
        return f"{translated(fits[1])} ({fits[2]})" if fits else say(text)

    return translated


def parts(command: Any) -> Iterator[Any]:
    """Yield all that has a help of its own: the program, its groups, its commands, and what each of them takes."""
    yield command
    yield from command.get_params(typer.Context(command, help_option_names=list(HELP)))
    for each in getattr(command, "commands", {}).values():
        yield from parts(each)
