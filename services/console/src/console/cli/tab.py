"""Tab: what could follow, from a table that is made of the commands. Nothing else is imported, for a person waits for each answer."""

from __future__ import annotations

import os.path

TYPE_CHECKING = False  # of ours: typing itself costs more than all that is done here
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TABLE = os.path.join(os.path.dirname(__file__), "tab.txt")  # noqa: PTH118, PTH120 - pathlib costs more than all that is done here
"""A line a command: noun, verb (``-`` where the noun is the command), options. ``=`` ends those that take a value, then come the words
that there are, by ``|``; ``@profiles`` stands for the names of the profiles."""
_PROFILES = "@profiles"


def candidates(words: Sequence[str]) -> list[str]:
    """Return what the last word of the line, which may be empty, could become."""
    *before, typed = words or [""]
    commands = _commands()
    noun = next((word for word in before if word in commands), None)
    if noun is None:
        return _beginning([*commands, "--help", "--version"], typed)
    verbs = commands[noun]
    verb = "-" if "-" in verbs else next((word for word in before if word in verbs and word != noun), None)
    if verb is None:
        return _beginning([*verbs, "--help"], typed)
    options = dict(each.partition("=")[::2] for each in verbs[verb] if "=" in each)
    if before[-1] in options:
        return _beginning(_values(options[before[-1]]), typed)
    option, equals, _ = typed.partition("=")
    if equals and option in options:
        return _beginning([f"{option}={each}" for each in _values(options[option])], typed)
    names = [each.partition("=")[0] for each in verbs[verb]]
    return _beginning([*names, "--help"], typed) if typed.startswith("-") else []


def _commands() -> dict[str, dict[str, list[str]]]:
    """Return the options of each verb of each noun."""
    found: dict[str, dict[str, list[str]]] = {}
    with open(TABLE, encoding="utf-8") as table:  # noqa: PTH123 - as above
        for line in table:
            noun, verb, *options = line.split()
            found.setdefault(noun, {})[verb] = options
    return found


def _values(said: str) -> Iterable[str]:
    if said != _PROFILES:
        return [word for word in said.split("|") if word]
    from console.cli.profiles import profiles

    return profiles()


def _beginning(words: Iterable[str], typed: str) -> list[str]:
    return [word for word in words if word.startswith(typed)]
