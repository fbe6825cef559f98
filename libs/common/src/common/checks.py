"""Checks as commands: look until nothing is wrong, print what is, and say by the exit code how it went. They only read.

A service's rules return ``Finding``s; its command gives ``run_check`` a parser of ``check_parser`` and a function that looks once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import ConfigurationError, SuiteError

EXIT_RIGHT, EXIT_WRONG, EXIT_UNKNOWN = 0, 1, 2
_SHOWN = 20
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong. ``waiting``: it is only not done yet, and may come right by itself."""

    kind: str
    what: str
    waiting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One look. ``summary`` are the lines printed before the findings; ``document`` is what ``--json`` says instead of them.

    With ``--json`` the findings are in the document under the name ``listed_as``.
    """

    findings: Sequence[Finding]
    summary: Sequence[str] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    listed_as: str = "findings"


Look = Callable[[argparse.Namespace], Awaitable[Report]]


def check_parser(prog: str, description: str, *, variable: str, database: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every check has; add a check's own to it.

    ``prog`` is the service and the command, ``variable`` the environment variable that names the database when the command line
    does not.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=f"{description} Exit code {EXIT_RIGHT}: nothing is wrong, {EXIT_WRONG}: something is (it is printed), "
        f"{EXIT_UNKNOWN}: it could not be found out.",
    )
    parser.set_defaults(variable=variable)
    parser.add_argument("--postgres-dsn", metavar="DSN", default=os.environ.get(variable), help=database)
    parser.add_argument("--suite", type=Path, metavar="FILE", help="take addresses from .run/suite.json")
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="look again and again for so long until nothing is wrong",
    )
    parser.add_argument("--allow-waiting", action="store_true", help="what is only not done yet is no failure")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def database_of(options: argparse.Namespace, service: str) -> str:
    """Return the address of the service's database: ``--postgres-dsn``, the variable, or ``--suite``. Raises ``ConfigurationError``."""
    address: str | None = options.postgres_dsn or suite_databases(options).get(service)
    if not address:
        raise ConfigurationError(f"give --postgres-dsn, --suite or {options.variable}")
    return address


def suite_databases(options: argparse.Namespace) -> dict[str, str]:
    """Return the addresses in the file that ``--suite`` names, by service; empty without it."""
    if options.suite is None:
        return {}
    databases: dict[str, str] = json.loads(options.suite.read_text(encoding="utf-8"))["databases"]
    return databases


def run_check(parser: argparse.ArgumentParser, arguments: Sequence[str], look: Look, *, all_right: str) -> int:
    """Look, again and again within ``--wait``, print the last report, and return the exit code.

    Findings that wait are no failure with ``--allow-waiting``. A ``SuiteError`` is one line on stderr: nothing could be found out.
    """
    options = parser.parse_args(arguments)
    try:
        report = asyncio.run(_look_until_right(look, options))
    except SuiteError as error:
        sys.stderr.write(f"{parser.prog.rpartition(' ')[2]}: {error.detail}\n")
        return EXIT_UNKNOWN
    sys.stdout.write((_as_json(report) if options.json else _as_text(report, all_right)) + "\n")
    return EXIT_WRONG if _failing(report, options) else EXIT_RIGHT


async def _look_until_right(look: Look, options: argparse.Namespace) -> Report:
    deadline = asyncio.get_running_loop().time() + options.wait
    while True:
        report = await look(options)
        if not _failing(report, options) or asyncio.get_running_loop().time() >= deadline:
            return report
        await asyncio.sleep(_LOOK_EVERY_S)


def _failing(report: Report, options: argparse.Namespace) -> bool:
    return any(not (finding.waiting and options.allow_waiting) for finding in report.findings)


def _as_json(report: Report) -> str:
    findings = [{"kind": each.kind, "what": each.what, "waiting": each.waiting} for each in report.findings]
    return json.dumps({**report.document, report.listed_as: findings}, ensure_ascii=False)


def _as_text(report: Report, all_right: str) -> str:
    lines = list(report.summary)
    for kind in sorted({each.kind for each in report.findings}):
        findings = [each for each in report.findings if each.kind == kind]
        lines.append(f"{kind}: {len(findings)}{' (waiting)' if all(each.waiting for each in findings) else ''}")
        lines += [f"  {each.what}" for each in findings[:_SHOWN]]
        if len(findings) > _SHOWN:
            lines.append(f"  and {len(findings) - _SHOWN} more")
    return "\n".join(lines if report.findings else [*lines, all_right])
