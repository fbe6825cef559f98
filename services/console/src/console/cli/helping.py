"""The help of commands in the person's language: what each is for, its example, its options. What is typed stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

import typer
import typer.core
from typer.exceptions import TyperException

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
    "ERRORS_PANEL_TITLE": "Error",
    "ABORTED_TEXT": "Aborted.",
    "RICH_HELP": "Try [blue]'{command_path} {help_option}'[/] for help.",
}
_USAGE = ("Usage: ", "[OPTIONS]", "COMMAND [ARGS]...")
"""What typer writes into the line of a command's use beside its own names."""


class Program(typer.core.TyperGroup):
    """All commands. What is wrong with the arguments is said in the person's language."""

    given: Sequence[str] = ()
    environment: Mapping[str, str] = {}

    def make_context(self, *about: Any, **more: Any) -> Any:
        """Read the arguments of the program itself."""
        with self._faults():
            return super().make_context(*about, **more)

    def invoke(self, context: Any) -> Any:
        """Read the arguments of the command, and run it."""
        with self._faults():
            return super().invoke(context)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except TyperException as error:
            language = language_spoken(self.given, self.environment)
            say, message = titled(language), error.format_message()
            if language != "en":
                error.format_message = lambda: "\n".join(map(say, message.split("\n")))  # type: ignore[method-assign] # of this one error
                if (context := getattr(error, "ctx", None)) is not None:
                    used_in(context.command, say)
            raise


def titled(language: str) -> Say:
    """Give typer's own headings a language; returns what says a text of the help in it."""
    from typer import rich_utils

    say = helps(language)
    for name, title in _TITLES.items():
        setattr(rich_utils, name, say(title))
    return say


def used_in(command: Any, say: Say) -> None:
    """Have the line of a command's use in a language."""
    own = command.get_usage

    def usage(context: Any) -> str:
        """What it is in English, its fixed words said."""
        return reduce(lambda text, word: text.replace(word, say(word)), _USAGE, str(own(context)))

    command.get_usage = usage


def language_spoken(given: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the language in which the command that is asked for would speak."""
    return language_of(environment, _asked(given, "--language") or _of_the_profile(given))


def with_help(app: typer.Typer, given: Sequence[str], environment: Mapping[str, str]) -> Any:
    """Return the program, its help in the language in which the command that is asked about would speak.

    Only where help is what the arguments ask for: nobody else waits for the words.
    """
    from typer import main

    program: Any = main.get_command(app)
    program.given, program.environment = given, environment
    if not ({*HELP} & {*given} or len(given) < 2):
        return program
    language = language_spoken(given, environment)
    say = titled(language)
    if language != "en":
        for said in parts(program):
            if hasattr(said, "get_usage"):
                used_in(said, say)
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
