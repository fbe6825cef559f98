"""``completion``: the scripts by which shells ask what could follow (``console.cli.tab``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
