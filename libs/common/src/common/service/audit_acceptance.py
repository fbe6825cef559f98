"""An administrator accepts what is wrong with the audit log's chain, when it is explained: a record that is known to be altered for good,
or last records that went in a failover or a restore. The acceptance is an audit record itself; from then on a look passes over it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from common.checks import EXIT_RIGHT, EXIT_UNKNOWN, EXIT_WRONG, check_parser, database_of
from common.errors import ConfigurationError, SuiteError
from common.http.auth import Principal, TokenBook
from common.http.sent_token import SentToken
from common.postgres import Database
from common.service.audit_chain import ACCEPT, TARGET, VERDICT, Chain, look_at_chain, noted_in, seal_all
from common.service.verdicts import Verdict, keep_verdict

ROLE = "admin"
_RECORD = """
INSERT INTO audit_log (actor, role, action, target, reason, before, after, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'accept-audit')
"""
_KEPT = "SELECT detail FROM check_verdicts WHERE name = $1"


async def look_for_acceptance(database: Database) -> Chain:
    """Look at the chain as the watch does, with what the kept verdict names. Only reads."""
    async with database.acquire() as connection:
        kept = await connection.fetchval(_KEPT, VERDICT)
        return await look_at_chain(connection, also=None if kept is None else noted_in(kept))


async def accept(database: Database, *, what: str, principal: Principal, reason: str) -> Chain:
    """Accept the first thing that is wrong, if it is ``what``, and return what a look finds then; that is the verdict from now on.

    Raises ``ConfigurationError``, having changed nothing, when something else is wrong, or nothing. Whoever dies before the verdict is
    written has accepted all the same: the next look keeps it.
    """
    chain = await look_for_acceptance(database)
    if not chain.broken or chain.broken[0].what != what:
        found = chain.broken[0].what if chain.broken else "nothing"
        raise ConfigurationError(f"what is wrong now is: {found}")
    async with database.acquire() as connection:
        before = {"found": what}
        after = {"kind": chain.broken[0].kind, "mark": chain.mark, "head": str(chain.head)}
        await connection.execute(_RECORD, principal.name, ROLE, ACCEPT, TARGET, reason, before, after)
    await seal_all(database)  # a replica's sealer may be at it: then the record counts a moment later
    async with database.acquire() as connection:
        left = await look_at_chain(connection)
        now = await connection.fetchval("SELECT clock_timestamp()")
        detail = left.broken[0].what if left.broken else f"accepted by {principal.name}; records lead up to {left.head}"
        await keep_verdict(
            connection, Verdict(name=VERDICT, at=now, found=len(left.broken), looked=left.looked, detail=detail)
        )
    return left


def accept_audit(service: str, prefix: str) -> Callable[[Sequence[str]], int]:
    """Return the command ``accept-audit`` of a service; ``prefix`` is that of its environment variables."""

    def command(arguments: Sequence[str]) -> int:
        """Accept what check-audit names, as an administrator; without --what only say it."""
        parser = check_parser(
            f"{service} accept-audit",
            "Accepts the first thing that is wrong with the audit log's chain, once it is explained. Without --what it only says it.",
            variable=f"{prefix}POSTGRES_DSN",
            database=f"the database of {service}",
        )
        parser.add_argument("--what", metavar="TEXT", help="what is accepted, as it is printed without this option")
        parser.add_argument("--reason", metavar="TEXT", help="why; stands in the audit log")
        parser.add_argument("--token-file", type=Path, metavar="FILE", help="the token of an administrator")
        parser.add_argument(
            "--tokens",
            type=Path,
            metavar="FILE",
            default=os.environ.get(f"{prefix}TOKENS_FILE"),
            help="the service's own file of tokens",
        )
        options = parser.parse_args(arguments)
        try:
            return asyncio.run(_carry_out(options, service))
        except SuiteError as error:
            sys.stderr.write(f"accept-audit: {error.detail}\n")
            return EXIT_UNKNOWN

    return command


async def _carry_out(options: argparse.Namespace, service: str) -> int:
    database = Database(database_of(options, service), application_name=f"{service}-check")
    await database.open()
    try:
        if options.what is None:
            chain = await look_for_acceptance(database)
        else:
            principal = _administrator(options, service)
            chain = await accept(database, what=options.what, principal=principal, reason=_reason(options))
    finally:
        await database.close()
    sys.stdout.write(f"{chain.broken[0].what if chain.broken else 'nothing is wrong'}\n")
    return EXIT_WRONG if chain.broken else EXIT_RIGHT


def _administrator(options: argparse.Namespace, service: str) -> Principal:
    if options.token_file is None or options.tokens is None:
        raise ConfigurationError("give --token-file, and --tokens unless the environment names the service's file")
    principal = TokenBook.load(Path(options.tokens)).authenticate(SentToken(options.token_file).value)
    if principal is None or not (principal.has(ROLE) and principal.within(f"{service}:admin")):
        raise ConfigurationError("that is not the token of an administrator")
    return principal


def _reason(options: argparse.Namespace) -> str:
    reason = (options.reason or "").strip()
    if not 3 <= len(reason) <= 1000:
        raise ConfigurationError("give --reason, three characters at least: it stands in the audit log")
    return str(reason)
