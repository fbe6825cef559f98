"""The audit log's chain: records are sealed one after the other, each with a hash of all before it; whoever alters one is found.

A record is sealed within seconds of its commit, in a transaction of its own: chained in the one that writes it, operators' changes would
wait for each other. The checker works every hash out anew, by the program's own means; it trusts no function of the database.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from time import time

from prometheus_client import CollectorRegistry, Gauge

from common.checks import Finding, Report, check_parser, database_of, run_check
from common.postgres import Connection, Database, Record
from common.service.jobs import every
from common.service.lifecycle import Lifecycle
from common.service.verdicts import Verdict, keep_verdict
from common.telemetry import get_logger

_log = get_logger()

VERDICT = "audit"
TARGET = "audit"
ACCEPT = "audit.accept"
_ENDS = ("cut off", "remade")
_BATCH = 1000
_SEAL_EVERY_S = 2.0
_LOOK_EVERY_S = 3600.0
_SHOW_EVERY_S = 30.0
_KEPT = timedelta(days=364)  # a younger record cannot have been forgotten: the database keeps it for a day longer
_LONGEST_CHANGE = timedelta(hours=1)  # records are dated when their transaction begins, and sealed when it has ended
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEAL = "SELECT seal_audit($1)"
_ENTRIES = """
SELECT c.position, c.audit_id, c.at, c.digest, c.hash, c.forgotten, l.id IS NOT NULL AS there,
       jsonb_build_array(
           l.id, (extract(epoch FROM l.at) * 1000000)::bigint, l.actor, l.role, l.action, l.target,
           l.reason, l.before, l.after, l.request_id
       )::text AS record
FROM audit_chain AS c LEFT JOIN audit_log AS l ON l.id = c.audit_id
WHERE c.position > $1 ORDER BY c.position LIMIT $2
"""
_STRANGER = """
SELECT l.id FROM audit_log AS l
WHERE NOT EXISTS (SELECT FROM audit_chain AS c WHERE c.audit_id = l.id)
  AND NOT EXISTS (SELECT FROM audit_unsealed AS u WHERE u.audit_id = l.id)
  AND NOT 'inserted ' || l.id = ANY($1)
ORDER BY l.id LIMIT 1
"""
_LOST = """
SELECT u.audit_id FROM audit_unsealed AS u
WHERE NOT EXISTS (SELECT FROM audit_log AS l WHERE l.id = u.audit_id) AND NOT 'removed ' || u.audit_id = ANY($1)
ORDER BY 1 LIMIT 1
"""
# Only what is sealed itself: a record that was put into the log past the service accepts nothing.
_ACCEPTED = """
SELECT l.at, l.after ->> 'kind' AS kind, l.after ->> 'mark' AS mark
FROM audit_log AS l JOIN audit_chain AS c ON c.audit_id = l.id
WHERE l.target = $1 AND l.action = $2
"""
_WAITING = "SELECT count(*) FROM audit_unsealed"
_KEPT_VERDICT = """
SELECT at, found, detail, at > clock_timestamp() - $2::interval AS lately FROM check_verdicts WHERE name = $1
"""
_LAST_VERDICT = "SELECT at, found FROM check_verdicts WHERE name = $1"
_SEAL_TEXT = re.compile(r"[1-9][0-9]*:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Seal:
    """A place of the chain: so many records in, this is the hash of them all."""

    position: int
    hash: str

    def __str__(self) -> str:
        """As it is printed, and read again."""
        return f"{self.position}:{self.hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a look found. ``broken`` says what is wrong, first things first; after it the rest proves nothing. ``mark`` stands for the
    first of it, and for nothing that may come to be wrong in the same place later.
    """

    looked: int
    waiting: int
    head: Seal | None
    broken: tuple[Finding, ...]
    mark: str = ""


async def seal_all(database: Database, *, batch: int = _BATCH) -> int:
    """Seal what waits; return how much. Safe in every replica at once, and to repeat after any death: a batch is one transaction."""
    total, done = 0, batch
    while done == batch:
        async with database.acquire() as connection:
            done = int(await connection.fetchval(_SEAL, batch))
        total += done
    return total


async def look_at_chain(
    connection: Connection, *, through: Seal | None = None, also: Seal | None = None, batch: int = _BATCH
) -> Chain:
    """Go through the whole chain and return the first place where it does not hold.

    ``through`` and ``also``: places that somebody noted earlier; the chain has to lead through them, which one that was made anew does
    not. What an administrator has accepted (``audit_acceptance``) is passed over. Only reads.
    """
    broken: list[Finding] = []
    accepted = [row["mark"] for row in await connection.fetch(_ACCEPTED, TARGET, ACCEPT)]
    mark = ""
    looked = 0
    head: Seal | None = None
    link, latest = b"", None
    noted = [each for each in (through, also) if each is not None]
    done = batch
    while done == batch and not broken:
        rows = await connection.fetch(_ENTRIES, looked, batch)
        done = len(rows)
        for row in rows:
            wrong = _wrong(row, link, looked + 1, latest)
            if wrong is not None and _mark(wrong, row, link) not in accepted:
                broken.append(wrong)
                mark = _mark(wrong, row, link)
                break
            looked, link = row["position"], row["hash"]
            latest = row["at"] if latest is None else max(latest, row["at"])
            head = Seal(looked, link.hex())
            remade = next((each for each in noted if each.position == looked and each != head), None)
            if remade is not None:
                broken.append(
                    Finding("remade", f"place {looked} of the chain has another hash than was noted: {remade}")
                )
                break
    cut = next((each for each in noted if each.position > looked), None)
    if not broken and cut is not None:
        broken.append(Finding("cut off", f"the chain ends at place {looked}, and was longer: {cut}"))
    if not broken:
        stranger, lost = await connection.fetchval(_STRANGER, accepted), await connection.fetchval(_LOST, accepted)
        mark = f"removed {lost}" if stranger is None else f"inserted {stranger}"
        if stranger is not None:
            broken.append(Finding("inserted", f"record {stranger} was put into the log past the service"))
        if lost is not None:
            broken.append(Finding("removed", f"record {lost} is gone; it had no seal yet"))
    waiting = int(await connection.fetchval(_WAITING))
    return Chain(looked=looked, waiting=waiting, head=head, broken=tuple(broken), mark=mark)


def _mark(wrong: Finding, row: Record, link: bytes) -> str:
    """Return what stands for this finding: another alteration of the same record gives another one."""
    evidence = (wrong.kind, str(row["position"]), str(row["audit_id"]), row["record"], row["hash"].hex(), link.hex())
    return hashlib.sha256("\0".join(evidence).encode()).hexdigest()


async def ends_accepted_at(connection: Connection) -> datetime | None:
    """Return when it was last accepted that the chain was cut short, or made anew: what was noted of it before binds nobody any more."""
    rows = await connection.fetch(_ACCEPTED, TARGET, ACCEPT)
    return max((row["at"] for row in rows if row["kind"] in _ENDS), default=None)


def noted_in(detail: str) -> Seal | None:
    """Return the place that a verdict names."""
    found = _SEAL_TEXT.search(detail)
    return _seal(found[0]) if found else None


def _wrong(row: Record, link: bytes, place: int, latest: datetime | None) -> Finding | None:
    """Return what is wrong with an entry that ought to have this place after this link."""
    position, number, at, digest = row["position"], row["audit_id"], row["at"], row["digest"]
    named = f"record {number}, at place {position} of the chain"
    if position != place:
        return Finding("removed", f"place {place} of the chain is gone; after it comes {named}")
    stamp = (at - _EPOCH) // timedelta(microseconds=1)
    numbers = b"".join(each.to_bytes(8, "big", signed=True) for each in (position, number, stamp))
    if hashlib.sha256(link + numbers + digest).digest() != row["hash"]:
        return Finding("exchanged", f"{named}: the entry does not follow from the one before it")
    if not row["there"]:
        if row["forgotten"] and datetime.now(UTC) - at > _KEPT:
            return None
        return Finding("removed", f"{named}, of {at.isoformat()}, is not in the log any more")
    if hashlib.sha256(row["record"].encode()).digest() != digest:
        return Finding("changed", f"{named}, of {at.isoformat()}, does not say any more what was sealed")
    if latest is not None and latest - at > _LONGEST_CHANGE:
        return Finding("inserted", f"{named}, is dated {at.isoformat()}, long before one that was sealed earlier")
    return None


@dataclass(slots=True, kw_only=True)
class WatchChain:
    """Looks at the whole chain every ``seconds``, in one replica, and keeps the verdict; an error is logged for what does not hold.

    What it saw last, and what the kept verdict names, the next look has to lead through, so that a chain which was made anew or cut short
    is found as well, also by a replica that has looked at nothing yet: who looks next does not take back what another has found.
    """

    database: Database
    seconds: float
    _last: Seal | None = None
    _last_at: datetime | None = None

    async def __call__(self) -> Chain | None:
        """Look, unless a replica has lately; return what was found."""
        async with self.database.acquire() as connection:
            kept = await connection.fetchrow(_KEPT_VERDICT, VERDICT, timedelta(seconds=self.seconds * 0.9))
            if kept is not None and kept["lately"]:
                return None
            accepted_at = await ends_accepted_at(connection)
            if accepted_at is not None and self._last_at is not None and self._last_at <= accepted_at:
                self._last = None
            binds = kept is not None and (accepted_at is None or kept["at"] > accepted_at)
            also = noted_in(kept["detail"]) if kept is not None and binds else None
            chain = await look_at_chain(connection, through=self._last, also=also)
            if chain.broken:
                detail = chain.broken[0].what
                if (self._last or also) and not _SEAL_TEXT.search(detail):
                    detail = f"{detail}; it held up to {self._last or also}"
            else:
                reached = f"audit records follow from each other up to {chain.head}"
                detail = reached if chain.head else "no audit record is sealed yet"
            now = await connection.fetchval("SELECT clock_timestamp()")
            found = len(chain.broken)
            await keep_verdict(
                connection, Verdict(name=VERDICT, at=now, found=found, looked=chain.looked, detail=detail)
            )
        if chain.broken:
            _log.error("audit_chain_broken", kind=chain.broken[0].kind, what=chain.broken[0].what)
        else:
            # Kept where logs are kept: whoever makes the whole chain anew cannot change that.
            _log.info("audit_chain_holds", records=chain.looked, head=str(chain.head))
            self._last, self._last_at = chain.head, now
        return chain


class ShowChain:
    """Shows the kept verdict as metrics, in every replica alike, whichever of them looked."""

    def __init__(self, database: Database, registry: CollectorRegistry) -> None:
        self._database = database
        self._broken = Gauge(
            "audit_chain_broken",
            "1 while the audit log's chain does not hold: a record was changed, removed, exchanged or inserted.",
            registry=registry,
        )
        self._looked_at = Gauge(
            "audit_chain_looked_timestamp_seconds",
            "When the chain was last looked at, in whichever replica; before the first time, since when the service runs.",
            registry=registry,
        )
        self._looked_at.set(time())

    async def __call__(self) -> None:
        """Read the verdict; without one nothing changes."""
        async with self._database.acquire() as connection:
            kept = await connection.fetchrow(_LAST_VERDICT, VERDICT)
        if kept is not None:
            self._broken.set(kept["found"] > 0)
            self._looked_at.set(kept["at"].timestamp())


def guard_audit(
    lifecycle: Lifecycle, database: Database, registry: CollectorRegistry, *, after: asyncio.Event | None = None
) -> None:
    """Have the audit log's records sealed, and the chain looked at, as long as the service runs; from ``after`` on."""
    look_again = WatchChain(database=database, seconds=_LOOK_EVERY_S)
    every(lifecycle, _SEAL_EVERY_S, partial(seal_all, database), name="audit-seal", after=after)
    every(lifecycle, _LOOK_EVERY_S, look_again, name="audit-chain", after=after)
    every(lifecycle, _SHOW_EVERY_S, ShowChain(database, registry), name="audit-verdict", after=after)


def check_audit(service: str, variable: str) -> Callable[[Sequence[str]], int]:
    """Return the command ``check-audit`` of a service; ``variable`` is the environment variable of its database's address."""

    def command(arguments: Sequence[str]) -> int:
        """Work the chain of the audit log out anew."""
        parser = check_parser(
            f"{service} check-audit",
            "Works the chain of the audit log out anew, and names the first record that was changed, removed, exchanged or inserted.",
            variable=variable,
            database=f"the database of {service}",
        )
        parser.add_argument(
            "--through",
            metavar="PLACE:HASH",
            type=_seal,
            help="a place noted earlier that the chain has to lead through",
        )
        return run_check(parser, arguments, look(service), all_right="nothing was altered")

    return command


def look(service: str) -> Callable[[argparse.Namespace], Awaitable[Report]]:
    """Return how the command looks once."""

    async def once(options: argparse.Namespace) -> Report:
        """Look through one connection."""
        database = Database(database_of(options, service), application_name=f"{service}-check")
        await database.open()
        try:
            async with database.acquire() as connection:
                chain = await look_at_chain(connection, through=options.through)
        finally:
            await database.close()
        head = str(chain.head) if chain.head else None
        return Report(
            findings=chain.broken,
            summary=[f"records: {chain.looked}", f"without a seal yet: {chain.waiting}", f"head: {head}"],
            document={"records": chain.looked, "unsealed": chain.waiting, "head": head},
        )

    return once


def _seal(text: str) -> Seal:
    if not _SEAL_TEXT.fullmatch(text):
        raise argparse.ArgumentTypeError("is a number, a colon and 64 hexadecimal digits")
    place, _, digest = text.partition(":")
    return Seal(int(place), digest)
