"""``ordersctl``: what the program does with its arguments. Only the noun that is asked for is built; for Tab nothing is."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # of ours: typing itself costs more than Tab does
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import typer

COMPLETE = "_ORDERSCTL_COMPLETE"
"""The variable by which a shell asks what could follow the words that it gives as arguments."""


_BEGIN = (
    "Begin with `status`, and with `find` and whatever you have. A change is rehearsed, shown and asked about before it is made; "
    "`--dry-run` only rehearses, `--wait` watches its effect. Exit codes: 0 done, 1 refused or differs, 2 wrong usage, 3 not found, "
    "4 timed out, 5 no right, 6 unreachable, 7 partly done, 130 Ctrl-C."
)


def application(nouns: Iterable[str] | None = None) -> typer.Typer:
    """Return the commands, those of ``nouns`` (None: of all) whole and the others by name only."""
    import typer

    from console.cli.helping import HELP, Program
    from console.cli.nouns import NOUNS
    from console.cli.root import nothing, root

    app = typer.Typer(
        cls=Program,
        help="What people do with the order suite: see, rehearse, apply, prove.",
        epilog=_BEGIN,
        no_args_is_help=True,
        add_completion=False,  # `completion` has our own, which answers at once
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": [*HELP]},
    )
    app.callback()(root)
    whole = frozenset(NOUNS if nouns is None else nouns)
    for name, noun in NOUNS.items():
        if noun.alone and name in whole:
            noun.build(app)
        elif name in whole:
            group = typer.Typer(help=noun.about, no_args_is_help=True)
            group.callback()(nothing)  # so that a group of one command stays a group
            noun.build(group)
            app.add_typer(group, name=name)
        else:
            app.command(name, help=noun.about)(nothing)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``ordersctl`` and exit with its code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if COMPLETE in os.environ:
        from console.cli.tab import candidates

        sys.stdout.writelines(f"{word}\n" for word in candidates(given))
        return
    from console.cli.helping import with_help
    from console.cli.nouns import NOUNS

    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a text file of this interpreter's own
    noun = next((word for word in given if word in NOUNS), None)
    program = with_help(application([noun] if noun else []), given, os.environ)
    program(args=given, prog_name="ordersctl")


if __name__ == "__main__":
    main()
