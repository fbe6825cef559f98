"""What Tab offers, read from the commands themselves. ``python -m tests.contract.console.tab`` keeps it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from typer.models import OptionInfo

from console.cli.nouns import NOUNS
from console.cli.tab import TABLE


def table() -> str:
    """Return the table that ``console.cli.tab`` reads."""
    return "".join(
        " ".join([noun, verb, *_options(command)]) + "\n" for noun in NOUNS for verb, command in _commands(noun)
    )


def _commands(noun: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    app = typer.Typer()
    NOUNS[noun].build(app)
    for each in app.registered_commands:
        assert each.callback is not None
        yield "-" if NOUNS[noun].alone else str(each.name), each.callback


def _options(command: Callable[..., Any]) -> list[str]:
    """The long options, then the short ones that take a value."""
    long, short = [], []
    for parameter in inspect.signature(command).parameters.values():
        kind, *said = get_args(parameter.annotation)
        option = next((each for each in said if isinstance(each, OptionInfo)), None)
        if option is None:
            continue
        declared = [option.default, *(option.param_decls or ())]  # typer keeps the first name there
        written = [str(each) for each in declared if each is not ...] or [f"--{parameter.name.replace('_', '-')}"]
        names = [name for each in written for name in each.split("/") if name.startswith("-")]
        switch = bool in (kind, *get_args(kind))
        values = "" if switch else "=" + _values(parameter.name, kind, option)
        long += [name + values for name in names if name.startswith("--")]
        short += [name + values for name in names if not name.startswith("--") and not switch]
    return long + short


def _values(name: str, kind: Any, option: OptionInfo) -> str:
    if name == "profile":
        return "@profiles"
    kinds = (kind, *get_args(kind))
    forms = [tuple(each) for each in kinds if isinstance(each, type) and issubclass(each, StrEnum)]
    forms += [get_args(each) for each in kinds if get_origin(each) is Literal]
    words = forms[0] if forms else option.autocompletion("") if option.autocompletion else ()
    return "|".join(words)


def main() -> None:
    """Keep it."""
    Path(TABLE).write_text(table(), encoding="utf-8")


if __name__ == "__main__":
    main()
