"""``completion``: the scripts by which shells ask what could follow (``console.cli.tab``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    import typer

_SCRIPTS = {
    # To bash `--state=cr` is three words, of which it completes the last; ordersctl sees one, as it is run.
    "bash": """_ordersctl() {
    local IFS=$'\\n' i word words=() broken=
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ ${#words[@]} -gt 0 && ( $word == = || $broken ) ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        if [[ $word == = ]]; then broken=1; else broken=; fi
    done
    COMPREPLY=($(_ORDERSCTL_COMPLETE=1 ordersctl "${words[@]}" 2>/dev/null))
    word=${words[${#words[@]}-1]}
    if [[ $COMP_WORDBREAKS == *=* && $word == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    fi
    if [[ ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
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
