"""The command line that every service has: ``serve``, ``migrate``, ``openapi``, and commands of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from common.errors import ConfigurationError, SchemaTooOld, SuiteError
from common.postgres import migrate
from common.service.audit_acceptance import accept_audit
from common.service.audit_chain import check_audit
from common.service.runner import (
    EXIT_CONFIGURATION,
    EXIT_CRASH,
    EXIT_OK,
    EXIT_SCHEMA,
    Build,
    SettingsT,
    print_line,
    run_service,
)
from common.service.settings import ProcessSettings, load_settings, required
from common.version import VERSION

Command = Callable[[Any], Awaitable[int | None]]
Check = Callable[[Sequence[str]], int]


def service_cli(
    *,
    service: str,
    version: str = VERSION,
    settings: type[SettingsT],
    build: Build[SettingsT, Any],
    schema: str | None = None,
    openapi: Callable[[], Mapping[str, Any]] | None = None,
    commands: Mapping[str, Command] | None = None,
    checks: Mapping[str, Check] | None = None,
) -> Callable[..., None]:
    """Return the ``main`` of a service's ``__main__``; calling it ends the process with the right exit code. It takes the
    arguments, or none at all for those of the command line.

    ``schema`` is the package whose migrations ``migrate`` runs: as the owner of the database when the settings name one, who then gives
    the account that serves its rights; with one there are ``check-audit`` and ``accept-audit`` too.
    Each of ``commands`` is an async function of the settings; its docstring is its help, the integer
    it returns (or ``None`` for 0) the exit code. Each of ``checks`` has options of its own (``common.checks``) and needs none of the
    service's settings: it takes the arguments behind its name. ``openapi`` returns the document without opening anything. A
    configuration error is one line on stderr and exit code 2, never a stack.
    """
    extra: dict[str, Command] = dict(commands or {})
    if schema is not None:
        extra["migrate"] = partial(_migrate, settings, schema)
    own: dict[str, Check] = dict(checks or {})
    if schema is not None:
        prefix = settings.model_config.get("env_prefix", "")
        own["check-audit"] = check_audit(service, f"{prefix}POSTGRES_DSN")
        own["accept-audit"] = accept_audit(service, prefix)

    def main(arguments: Sequence[str] | None = None) -> None:
        words = sys.argv[1:] if arguments is None else list(arguments)
        if words and words[0] in own:
            sys.exit(own[words[0]](words[1:]))
        parser = argparse.ArgumentParser(prog=service, description=f"{service} {version}")
        parser.add_argument("--version", action="version", version=f"{service} {version}")
        choices = parser.add_subparsers(dest="command", required=True, metavar="command")
        choices.add_parser("serve", help="run the service until SIGTERM")
        if openapi is not None:
            choices.add_parser("openapi", help="print the OpenAPI document")
        for name, command in extra.items():
            choices.add_parser(name, help=_help(name, command))
        for name, check in own.items():
            choices.add_parser(name, help=_help(name, check), add_help=False)
        chosen = parser.parse_args(words).command
        sys.exit(_run(chosen))

    def _run(chosen: str) -> int:
        try:
            if chosen == "openapi" and openapi is not None:
                sys.stdout.write(json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n")
                return EXIT_OK
            values = load_settings(settings)
            if chosen == "serve":
                return run_service(build, values, service=service, version=version)
            return asyncio.run(_once(extra[chosen], values)) or EXIT_OK
        except SuiteError as error:
            print_line(f"{service}: {error.detail}")
            if isinstance(error, SchemaTooOld):
                return EXIT_SCHEMA
            return EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else EXIT_CRASH
        except KeyboardInterrupt:
            return EXIT_CRASH

    return main


async def _migrate(cls: type[ProcessSettings], package: str, values: Any) -> None:
    serving = required(values.postgres_dsn, cls, "postgres_dsn")
    owner = values.migration_dsn
    await migrate(owner.get_secret_value() if owner else serving, package, serving=serving)


async def _once(command: Command, settings: Any) -> int | None:
    return await command(settings)


def _help(name: str, command: Command | Check) -> str:
    if name == "migrate":
        return "bring the database to this release's schema"
    return (command.__doc__ or name).strip().splitlines()[0]
