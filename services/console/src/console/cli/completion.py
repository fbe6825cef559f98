"""Tab: what could follow, read from the tables without parsing a command, and the scripts by which shells ask."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_args

from console.cli.nouns import NOUNS

if TYPE_CHECKING:
    import typer

_SCRIPTS = {
    "bash": """_ordersctl() {
    local IFS=$'\\n'
    COMPREPLY=($(_ORDERSCTL_COMPLETE=1 ordersctl "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _ordersctl ordersctl""",
    "zsh": """#compdef ordersctl
_ordersctl() {
    compadd -- ${(f)"$(_ORDERSCTL_COMPLETE=1 ordersctl "${(@)words[2,CURRENT]}" 2>/dev/null)"}
}
compdef _ordersctl ordersctl""",
    "fish": """complete --command ordersctl --no-files --arguments \\
    "(_ORDERSCTL_COMPLETE=1 ordersctl (commandline -opc)[2..] (commandline -ct) 2>/dev/null)\"""",
}


def candidates(words: Sequence[str]) -> list[str]:
    """Return what the last word of the line, which may be empty, could become."""
    *before, typed = words or [""]
    noun = next((word for word in before if word in NOUNS), None)
    if noun is None:
        return _beginning((*NOUNS, "--help", "--version"), typed)
    commands = _commands(noun)
    verb = noun if NOUNS[noun].alone else next((word for word in before if word in commands and word != noun), None)
    if verb is None:
        return _beginning((*commands, "--help"), typed)
    options = _options(commands[verb])
    if before[-1] in options and (choices := options[before[-1]]) is not None:
        return _beginning(choices(), typed)
    return _beginning([*options, "--help"], typed) if typed.startswith("-") else []


def _beginning(words: Iterable[str], typed: str) -> list[str]:
    return [word for word in words if word.startswith(typed)]


def _commands(noun: str) -> dict[str, Callable[..., Any]]:
    import typer

    app = typer.Typer()
    NOUNS[noun].build(app)
    return {str(each.name): each.callback for each in app.registered_commands if each.callback is not None}


def _options(command: Callable[..., Any]) -> Mapping[str, Callable[[], Iterable[str]] | None]:
    """Return the long options by name; with those that take a value the function that names values. None: a switch."""
    from typer.models import OptionInfo

    found: dict[str, Callable[[], Iterable[str]] | None] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind, *said = get_args(parameter.annotation)
        option = next((each for each in said if isinstance(each, OptionInfo)), None)
        if option is None:
            continue
        declared = [option.default, *(option.param_decls or ())]  # typer keeps the first name there
        written = [str(each) for each in declared if each is not ...] or [f"--{parameter.name.replace('_', '-')}"]
        names = [name for each in written for name in each.split("/")]
        choices = None if bool in (kind, *get_args(kind)) else _values(parameter.name, kind, option)
        found |= {name: choices for name in names if name.startswith("-")}
    return {name: choices for name, choices in found.items() if name.startswith("--")} | {
        name: choices for name, choices in found.items() if choices is not None and not name.startswith("--")
    }


def _values(name: str, kind: Any, option: Any) -> Callable[[], Iterable[str]]:
    if name == "profile":
        from console.cli.profiles import profiles

        return profiles
    forms = [each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, StrEnum)]
    if forms:
        return lambda: [each.value for each in forms[0]]
    return lambda: option.autocompletion("") if option.autocompletion else ()


def build(app: typer.Typer) -> None:
    """Add ``completion``."""
    import typer

    argument = typer.Argument(metavar="|".join(_SCRIPTS))

    def completion(shell: Annotated[str, argument] = "bash") -> None:
        if shell not in _SCRIPTS:
            raise typer.BadParameter(f"one of {', '.join(_SCRIPTS)}")
        typer.echo(_SCRIPTS[shell])

    completion.__annotations__["shell"] = Annotated[str, argument]
    app.command("completion", help='Print the script that makes Tab work: eval "$(ordersctl completion bash)"')(
        completion
    )
