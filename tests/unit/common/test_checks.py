"""A check looks until nothing is wrong, prints what is, and its exit code says how it went."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from common import checks
from common.checks import Finding, Report, check_parser, database_of, run_check
from common.errors import ConfigurationError, Unavailable
from common.service import Application, Lifecycle, ServiceSettings, service_cli

LOST = Finding("lost", "order A")
LATE = Finding("late", "order B", waiting=True)


class Looks:
    """Finds the next findings with each look, the last ones for ever."""

    def __init__(self, *findings: Sequence[Finding]) -> None:
        self._findings: Iterator[Sequence[Finding]] = iter(findings)
        self._last: Sequence[Finding] = ()
        self.count = 0

    async def __call__(self, options: argparse.Namespace) -> Report:
        """Look once."""
        self.count += 1
        self._last = next(self._findings, self._last)
        return Report(findings=self._last, summary=["2 orders"], document={"orders": 2})


def check(looks: Looks, *arguments: str) -> int:
    """Run the command."""
    parser = check_parser("shop check-shop", "Look at the shop.", variable="SHOP_DSN", database="the shop's")
    return run_check(parser, arguments, looks, all_right="nothing is lost")


@pytest.mark.parametrize(
    ("findings", "arguments", "code", "printed"),
    [
        ((), (), checks.EXIT_RIGHT, "2 orders\nnothing is lost\n"),
        ((LOST,), (), checks.EXIT_WRONG, "2 orders\nlost: 1\n  order A\n"),
        ((LATE,), (), checks.EXIT_WRONG, "2 orders\nlate: 1 (waiting)\n  order B\n"),
        ((LATE,), ("--allow-waiting",), checks.EXIT_RIGHT, "2 orders\nlate: 1 (waiting)\n  order B\n"),
        (
            (LOST, LATE),
            ("--allow-waiting",),
            checks.EXIT_WRONG,
            "2 orders\nlate: 1 (waiting)\n  order B\nlost: 1\n  order A\n",
        ),
    ],
)
def test_findings_are_printed_by_kind_and_decide_the_exit_code(
    findings: tuple[Finding, ...],
    arguments: tuple[str, ...],
    code: int,
    printed: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check(Looks(findings), *arguments) == code
    assert capsys.readouterr().out == printed


def test_of_many_findings_of_a_kind_twenty_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    check(Looks([Finding("lost", str(number)) for number in range(23)]))
    lines = capsys.readouterr().out.splitlines()
    assert (lines[1], len(lines), lines[-1]) == ("lost: 23", 23, "  and 3 more")


def test_json_is_one_document_with_all_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(Looks([LATE]), "--json") == checks.EXIT_WRONG
    assert json.loads(capsys.readouterr().out) == {
        "orders": 2,
        "findings": [{"kind": "late", "what": "order B", "waiting": True}],
    }


def test_it_looks_again_until_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_LOOK_EVERY_S", 0.0)
    looks = Looks([LOST, LATE], [LATE], [])
    assert (check(looks, "--wait", "60"), looks.count) == (checks.EXIT_RIGHT, 3)


def test_with_waiting_allowed_it_does_not_wait_for_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_LOOK_EVERY_S", 0.0)
    looks = Looks([LOST, LATE], [LATE], [])
    assert (check(looks, "--wait", "60", "--allow-waiting"), looks.count) == (checks.EXIT_RIGHT, 2)


def test_it_looks_once_more_after_the_wait_and_then_gives_up() -> None:
    looks = Looks([LOST])
    assert (check(looks, "--wait", "0.3"), looks.count) == (checks.EXIT_WRONG, 2)


def test_what_cannot_be_found_out_is_one_line_and_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    async def look(options: argparse.Namespace) -> Report:
        raise Unavailable("the database does not answer")

    parser = check_parser("shop check-shop", "Look at the shop.", variable="SHOP_DSN", database="the shop's")
    assert run_check(parser, [], look, all_right="") == checks.EXIT_UNKNOWN
    assert capsys.readouterr() == ("", "check-shop: the database does not answer\n")


def test_the_database_is_named_by_option_variable_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "suite.json"
    file.write_text('{"databases": {"shop": "postgresql://file/"}}')

    def named(*arguments: str) -> str:
        parser = check_parser("shop check-shop", "Look at the shop.", variable="SHOP_DSN", database="the shop's")
        return database_of(parser.parse_args(arguments), "shop")

    with pytest.raises(ConfigurationError, match="give --postgres-dsn, --suite or SHOP_DSN"):
        named()
    assert named("--suite", str(file)) == "postgresql://file/"
    monkeypatch.setenv("SHOP_DSN", "postgresql://variable/")
    assert named("--suite", str(file)) == "postgresql://variable/"
    assert named("--postgres-dsn", "postgresql://option/") == "postgresql://option/"


def test_a_service_s_command_line_runs_its_checks_without_settings(capsys: pytest.CaptureFixture[str]) -> None:
    def check_shop(arguments: Sequence[str]) -> int:
        """Look at the shop."""
        return check(Looks([LOST]), *arguments)

    main = service_cli(
        service="shop", version="1", settings=ServiceSettings, build=_never_built, checks={"check-shop": check_shop}
    )
    with pytest.raises(SystemExit) as ended:
        main(["check-shop", "--json"])
    assert (ended.value.code, json.loads(capsys.readouterr().out)["orders"]) == (checks.EXIT_WRONG, 2)
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "Look at the shop." in capsys.readouterr().out


async def _never_built(settings: ServiceSettings, lifecycle: Lifecycle) -> Application:
    raise AssertionError("a check opens no service")
