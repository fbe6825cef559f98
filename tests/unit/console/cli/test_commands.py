"""Which commands there are, and what Tab offers."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest
import typer

from console.cli.app import COMPLETE, main
from console.cli.exits import Exit
from console.cli.nouns import NOUNS
from console.cli.tab import candidates
from console.client.acts import ACTS
from console.client.things import THINGS
from tests.unit.console.cli.conftest import Ordersctl

PROMISED = """
status
whoami
find
order show|timeline|watch|recalculate|refund|reissue|cancel|deliver|correct|enter-event
workflow list|show|stop|resume|retry
event reprocess|skip|mend
refund list|show|evidence|restart|check|close
intake list|show|replay|mend|dismiss|countdowns|sources
endangered list|show|mend|resubmit|report|close
incident list|show|ack|resolve|comment
ticket list|show|open|comment|assign|summon|close
silence add|list|end
duty now|weeks|override|swap|undo
flag get|set
tips explain
dead-letter list|show|replay|mend|dismiss
limits list|lift
check all|ledger|orders|refunds
audit
tail
api
open
completion
profile list|use|show
apply
"""
# Acts that are a command under another name: `check refunds` only rehearses it.
ELSEWHERE = {"check refunds"}


def commands() -> dict[str, typer.models.CommandInfo]:
    found: dict[str, typer.models.CommandInfo] = {}
    for name, noun in NOUNS.items():
        app = typer.Typer()
        noun.build(app)
        found |= {name if noun.alone else f"{name} {each.name}": each for each in app.registered_commands}
    return found


def promised() -> set[str]:
    lines = [line.split() for line in PROMISED.split("\n") if line]
    return {" ".join([line[0], verb]).strip() for line in lines for verb in (line[1].split("|") if line[1:] else [""])}


def test_every_promised_command_is_there() -> None:
    assert promised() - commands().keys() == set()


def test_every_act_and_every_kind_of_thing_is_reached_by_a_command() -> None:
    known = commands()
    assert set(ACTS) - known.keys() - ELSEWHERE == set()
    listed = {noun.listed for noun in NOUNS.values()} | {"flag", "countdown", "unarrived"}
    assert set(THINGS) - listed == set()


def test_every_command_says_what_it_does_and_no_option_is_twice() -> None:
    for name, command in commands().items():
        assert command.help, name
        assert command.callback is not None
        options = [
            option
            for parameter in inspect.signature(command.callback).parameters.values()
            for said in getattr(parameter.annotation, "__metadata__", ())
            if isinstance(said, typer.models.OptionInfo)
            for option in [said.default, *(said.param_decls or ())]
            if option is not ...
        ]
        assert len(options) == len(set(options)), name


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["workf"], ["workflow"]),
        (["workflow", "re"], ["resume", "retry"]),
        (["incident", "list", "--sta"], ["--state"]),
        (["incident", "list", "--state", ""], ["open", "acknowledged", "resolved"]),
        (["workflow", "list", "--state=cr"], ["--state=crashed"]),
        (["incident", "list", "--state="], ["--state=open", "--state=acknowledged", "--state=resolved"]),
        (["incident", "list", "--nothing=", ""], []),
        (["order", "list", "-o", "js"], ["json", "jsonl"]),
        (["order", "list", "-p", "l"], ["live"]),
        (["audit", "--ac"], ["--actor", "--action"]),
        (["order", "refund", "A1", "--am"], ["--amount"]),
        (["order", "show", ""], []),
        ([], [*NOUNS, "--help", "--version"]),
    ],
)
def test_tab_offers_what_could_follow(profile: object, words: list[str], offered: list[str]) -> None:
    assert [each for each in candidates(words) if not each.startswith("local")] == offered


def test_the_shell_is_answered_without_a_command_being_run(
    profile: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(COMPLETE, "1")
    main(["workflow", "sto"])
    assert capsys.readouterr().out == "stop\n"


def test_for_tab_nothing_is_imported_but_its_table() -> None:
    code = """if True:
        import sys
        before = {*sys.modules}
        from console.cli.app import main
        main(["workflow", ""])
        print(*{*sys.modules} - before)
    """
    environment = {**os.environ, COMPLETE: "1"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    *offered, imported = said.stdout.splitlines()
    assert offered == ["list", "show", "stop", "resume", "retry", "--help"]
    assert set(imported.split()) - {"__future__"} == {"console", "console.cli", "console.cli.app", "console.cli.tab"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(ordersctl: Ordersctl, shell: str) -> None:
    ended = ordersctl("completion", shell)
    assert (ended.code, "_ORDERSCTL_COMPLETE=1" in ended.out) == (0, True)


def test_help_names_every_noun_and_a_wrong_word_is_wrong_usage(ordersctl: Ordersctl) -> None:
    shown = ordersctl("--help")
    assert shown.code == 0
    assert all(noun in shown.out for noun in NOUNS)
    said = " ".join(shown.out.split())
    assert all(f"{code.value} " in said.partition("Exit codes: ")[2] for code in Exit)
    assert "--install-completion" not in said
    assert ordersctl("nonsense").code == ordersctl("order", "nonsense").code == 2
    assert ordersctl("--version").code == 0
