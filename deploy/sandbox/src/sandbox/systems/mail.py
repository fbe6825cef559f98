"""A mail server: takes everything, keeps it in the log, and can defer, refuse, hang or hang up."""

import asyncio
import email
import email.policy
from email.message import EmailMessage
from typing import Any, ClassVar

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from sandbox.clock import Clock
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.gate import OutsideSystem, cut, hang
from sandbox.log import Journal
from sandbox.settings import Settings

SIZE_LIMIT = 10 * 1024 * 1024
_REPLIES = {
    FaultMode.ERROR: "451 4.3.0 Requested action aborted: local error in processing",
    FaultMode.RATE_LIMIT: "450 4.7.1 Too much mail from you, try again later",
    FaultMode.DECLINED: "550 5.7.1 Message refused",
}


class Mail(OutsideSystem):
    """SMTP by aiosmtpd. Faults strike after DATA, where a sender cannot know what became of its message:

    `error` 451, `rate_limit` 450, `declined` 550; `timeout` hangs and drops the message; `lost_response` keeps it and
    hangs up; `reset` drops it and resets; `slow` keeps it and answers late. `match` is searched in "MAIL from to".
    """

    name: ClassVar[str] = "mail"
    modes: ClassVar[frozenset[FaultMode]] = frozenset(FaultMode) - {FaultMode.LATE}

    def __init__(self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._settings = settings
        self._server: asyncio.Server | None = None
        self._sessions: set[_Smtp] = set()

    def routes(self) -> list[web.RouteDef]:
        """Nothing over HTTP but the log."""
        return []

    @property
    def port(self) -> int | None:
        """The port it listens on, None before `start`."""
        if self._server is None or not self._server.sockets:
            return None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Smtp(self, self._sessions, loop=loop), self._settings.host, self._settings.smtp_port
        )

    async def close(self) -> None:
        """Stop listening and hang up on everybody."""
        if self._server is None:
            return
        self._server.close()
        for session in list(self._sessions):
            session.hang_up()
        await self._server.wait_closed()
        self._server = None
        await asyncio.sleep(0)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take one message as ordered; the reply goes to the sender."""
        shown = _shown(envelope)
        fault = self.faults.draw(f"MAIL {envelope.mail_from} {' '.join(envelope.rcpt_tos)}")
        reply = "250 2.0.0 OK: queued"
        if fault is None:
            self._keep(shown, reply, None, effect=True)
            return reply
        match fault.mode:
            case FaultMode.SLOW:
                self._keep(shown, reply, fault, effect=True)
                await self.clock.sleep(fault.delay)
                return reply
            case FaultMode.LOST_RESPONSE:
                self._keep(shown, None, fault, effect=True)
                await self._vanish(server, fault)
            case FaultMode.TIMEOUT | FaultMode.RESET:
                self._keep(shown, None, fault, effect=False)
                await self._vanish(server, fault)
            case _:
                reply = _REPLIES[fault.mode]
                self._keep(shown, reply, fault, effect=fault.effect)
        return reply

    async def _vanish(self, server: SMTP, fault: FaultOrder) -> None:
        """Keep silent for the fault's delay, or until the sender hung up; then cut the connection."""
        await hang(lambda: server.transport, fault.delay)
        cut(server.transport, with_reset=fault.mode is FaultMode.RESET)

    def _keep(self, shown: dict[str, Any], reply: str | None, fault: FaultOrder | None, *, effect: bool) -> None:
        self.journal.record(
            time=self.clock.now(),
            operation="DATA",
            method="SMTP",
            path="",
            headers={"traceparent": shown["headers"]["traceparent"]} if "traceparent" in shown["headers"] else None,
            request=shown,
            status=None if reply is None else int(reply[:3]),
            answer=reply,
            fault=None if fault is None else fault.mode.value,
            effect=effect,
        )


class _Smtp(SMTP):
    """One connection, known to its server so that it can be cut at the end."""

    def __init__(self, mail: Mail, sessions: set["_Smtp"], *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            mail, data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True, hostname="sandbox", ident="sandbox", loop=loop
        )
        self._known = sessions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A sender came."""
        self._known.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """A sender went."""
        self._known.discard(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        """Cut the connection."""
        cut(self.transport, with_reset=False)


def _shown(envelope: Envelope) -> dict[str, Any]:
    """What the log keeps of a message: envelope, headers with lower-case names, text and HTML parts, attachments."""
    content = envelope.content or b""
    raw = content.encode() if isinstance(content, str) else content
    message = email.message_from_bytes(raw, policy=email.policy.default)
    headers = {name.lower(): str(value) for name, value in message.items()}
    return {
        "from": envelope.mail_from,
        "to": list(envelope.rcpt_tos),
        "subject": headers.get("subject"),
        "message_id": headers.get("message-id"),
        "headers": headers,
        "text": _part(message, "plain"),
        "html": _part(message, "html"),
        "attachments": [part.get_filename() for part in message.iter_attachments()],
        "size": len(raw),
    }


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    return None if part is None else str(part.get_content())
