"""The operator's view of dead letters: what a service's consumers gave up on, and what is to become of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from common.contracts.envelope import Envelope, parse
from common.contracts.notices import notices_of
from common.contracts.registry import MESSAGES
from common.errors import Conflict, NotFound, Unprocessable
from common.http import (
    BULK_ERRORS,
    OPERATOR,
    VIEWER,
    AdminChange,
    Answer,
    BulkAnswer,
    BulkDone,
    Change,
    Changes,
    Page,
    Request,
    Route,
    listed,
)
from common.messaging import dead_letter_decisions as decisions
from common.messaging import dead_letter_reads
from common.postgres import Connection, Database, Record
from common.service.acts import add_act, publish
from common.service.dead_letter_bulk import DecideLetters, MendLetters, decide_letters, patched
from common.service.dead_letter_views import (
    DeadLetter,
    DeadLetterQuery,
    Decided,
    MendLetter,
    Replayed,
    WholeLetter,
    whole_letter,
)

_ONE = "/admin/v1/dead-letters/{id}"
_Decide = Callable[..., Awaitable[Record]]  # (connection, letter_id, actor=…) → the letter as it was
Verb = Literal["replay", "mend", "dismiss"]
KnownAs = Callable[[str, Envelope], tuple[str, str]]
"""Of a queue and an event: the consumer that reads it, and the key under which that one's inbox knows the event."""


Foretell = Callable[[Connection, str, Envelope], Awaitable[Sequence[str]]]
"""In a transaction, of a queue and an event that it is sent to: the notices that follow once its consumer has taken it in."""


def known_by_id(queue: str, envelope: Envelope) -> tuple[str, str]:
    """Return what holds where consumers are named as their queues, and know events by their ids."""
    return queue, envelope.id


async def told_itself(_connection: Connection, _queue: str, event: Envelope) -> Sequence[str]:
    """Return what holds where the event itself is what people are told."""
    return notices_of([(event.type, event.encode())])


class DeadLetterRoutes:
    """The addresses. Every decision is one transaction with its audit record; of two at once, one is answered 409."""

    def __init__(
        self,
        database: Database,
        *,
        service: str,
        foretell: Foretell = told_itself,
        after_commit: Callable[[], None] = lambda: None,
        known_as: KnownAs = known_by_id,
    ) -> None:
        """``after_commit`` wakes the outbox relay."""
        self._foretell = foretell
        self._database = database
        self._known_as = known_as
        self._service = service
        self._changes = Changes(database, committed=after_commit)

    def routes(self) -> list[Route]:
        """Return them; reading is for viewers, deciding for operators."""
        read = partial(Route, method="GET", roles=VIEWER, tags=("admin",))
        decide = partial(
            Route,
            method="POST",
            roles=OPERATOR,
            tags=("admin",),
            idempotent=True,
            request=AdminChange,
            errors=(NotFound, Conflict),
        )
        return [
            read(
                path="/admin/v1/dead-letters",
                handler=self.letters,
                summary="Events that a consumer gave up on, newest first",
                query=DeadLetterQuery,
                response=Page[DeadLetter],
            ),
            read(
                path=_ONE,
                handler=self.letter,
                summary="One dead letter with its message",
                response=WholeLetter,
                errors=(NotFound,),
            ),
            *(
                decide(
                    path=f"/admin/v1/dead-letters/{verb}",
                    handler=handler,
                    summary=summary,
                    request=model,
                    response=BulkAnswer,
                    errors=BULK_ERRORS,
                )
                for verb, handler, summary, model in (
                    ("replay", self.replay_many, "Send many dead letters to their queues again", DecideLetters),
                    ("mend", self.mend_many, "Send many messages, patched, to their queues instead", MendLetters),
                    ("dismiss", self.dismiss_many, "Decide that many dead letters need nothing more", DecideLetters),
                )
            ),
            decide(
                path=_ONE + "/replay",
                handler=self.replay,
                summary="Send a dead letter to its queue again",
                response=Replayed,
            ),
            decide(
                path=_ONE + "/mend",
                handler=self.mend,
                summary="Send a mended message to the queue instead",
                description="It goes under the id of the dead one. 422 with the fields at fault when it does not fit its type.",
                request=MendLetter,
                response=Decided,
                errors=(NotFound, Conflict, Unprocessable),
            ),
            decide(
                path=_ONE + "/dismiss",
                handler=self.dismiss,
                summary="Decide that a dead letter needs nothing more",
                response=Decided,
            ),
        ]

    async def letters(self, request: Request[None, DeadLetterQuery]) -> Page[DeadLetter]:
        """List dead letters, the newest first."""
        wanted = request.query.wanted()

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return dead_letter_reads.select(wanted, before=None if after is None else after[0], limit=limit)

        return await listed(self._database, request.query, select, key={"id": int}, item=_letter)

    async def letter(self, request: Request[None, None]) -> WholeLetter:
        """Show one with its message."""
        letter_id = request.path_int("id")
        async with self._database.acquire() as connection:
            row = await dead_letter_reads.find(connection, letter_id)
            sent: bytes = row["mended"] or row["body"]
            consumer, key = self._read_by(row["queue"], sent)
            became = await dead_letter_reads.became(connection, letter_id, sent=sent, consumer=consumer, key=key)
        return whole_letter(row, became=became)

    async def replay(self, request: Request[AdminChange, None]) -> Answer:
        """Send one to its queue again."""
        letter_id = request.path_int("id")

        async def _work(change: Change) -> Replayed:
            letter = await self._decide(change, "replay", partial(decisions.replay, letter_id=letter_id))
            return Replayed(
                id=letter_id, queue=letter["queue"], event_id=letter["event_id"], replayed=not change.dry_run
            )

        return await self._changes.carry_out(request, _work)

    async def mend(self, request: Request[MendLetter, None]) -> Answer:
        """Send a mended message instead."""
        return await self._one(request, "mend", partial(decisions.mend, body=request.body.body, data=request.body.data))

    async def dismiss(self, request: Request[AdminChange, None]) -> Answer:
        """Dismiss one."""
        return await self._one(request, "dismiss", decisions.dismiss)

    async def replay_many(self, request: Request[DecideLetters, None]) -> Answer:
        """Send many again."""
        return await self._many(request, "replay", decisions.replay)

    async def dismiss_many(self, request: Request[DecideLetters, None]) -> Answer:
        """Dismiss many."""
        return await self._many(request, "dismiss", decisions.dismiss)

    async def mend_many(self, request: Request[MendLetters, None]) -> Answer:
        """Patch many and send them again. With a plan the patch is the plan's own, and may be left out of neither request."""

        async def _mend(connection: Connection, letter_id: int, *, actor: str) -> Record:
            data = await patched(connection, letter_id, request.body.patch)
            return await decisions.mend(connection, letter_id, data=data, actor=actor)

        return await self._many(request, "mend", _mend)

    def _read_by(self, queue: str, sent: bytes) -> tuple[str | None, str | None]:
        try:
            return self._known_as(queue, Envelope.decode(sent))
        except ValueError:
            return None, None  # nobody can read it

    async def _one(self, request: Request[Any, None], verb: Verb, decide: _Decide) -> Answer:
        letter_id = request.path_int("id")

        async def _work(change: Change) -> Decided:
            letter = await self._decide(change, verb, partial(decide, letter_id=letter_id))
            return Decided(
                id=letter_id,
                queue=letter["queue"],
                event_id=letter["event_id"],
                state=_STATE_OF[verb],
                dry_run=change.dry_run,
            )

        return await self._changes.carry_out(request, _work)

    async def _many(self, request: Request[Any, None], verb: Verb, decide: _Decide) -> Answer:
        async def _work(change: Change, letter_id: int) -> BulkDone:
            letter = await self._decide(change, verb, partial(decide, letter_id=letter_id))
            return BulkDone(outcome=_STATE_OF[verb], detail=letter["queue"])

        return await decide_letters(f"dead_letter.{verb}", _work).carry_out(self._changes, request)

    async def _decide(self, change: Change, verb: Verb, decide: _Decide) -> Record:
        letter = await decide(change.connection, actor=change.principal.name)
        await change.record(
            f"dead_letter.{verb}",
            f"dead_letter:{letter['id']}",
            before={"replayed_at": None},
            after={"queue": letter["queue"], "event_id": letter["event_id"]},
        )
        event_type = letter["event_type"] or "an event"
        await add_act(
            change,
            f"dead_letter.{_STATE_OF[verb]}",
            letter["subject"],
            f"{event_type} that {letter['queue']} had given up on: {_STATE_OF[verb]}",
            service=self._service,
            details={"dead_letter": str(letter["id"]), "event_id": letter["event_id"] or ""},
            now=datetime.now(UTC),
        )
        await publish(change, *await decisions.ended_problems(change.connection, [letter], service=self._service))
        if verb != "dismiss":
            change.tells(*await self._follows(change.connection, letter["id"]))
        return letter

    async def _follows(self, connection: Connection, letter_id: int) -> Sequence[str]:
        row = await dead_letter_reads.find(connection, letter_id)
        try:
            event = Envelope.decode(row["mended"] or row["body"])
            if (model := MESSAGES.get(event.type)) is not None:
                parse(event, model)
        except ValueError:
            return ()  # nobody can read it: it dies again
        return await self._foretell(connection, row["queue"], event)


_STATE_OF: Mapping[Verb, Literal["replayed", "mended", "dismissed"]] = {
    "replay": "replayed",
    "mend": "mended",
    "dismiss": "dismissed",
}


def dead_letter_routes(
    database: Database,
    *,
    service: str,
    foretell: Foretell = told_itself,
    after_commit: Callable[[], None] = lambda: None,
    known_as: KnownAs = known_by_id,
) -> list[Route]:
    """Return the addresses of a service's dead letters; see ``DeadLetterRoutes``."""
    return DeadLetterRoutes(
        database, service=service, foretell=foretell, after_commit=after_commit, known_as=known_as
    ).routes()


def _letter(row: Record) -> DeadLetter:
    return DeadLetter(**dict(row))
