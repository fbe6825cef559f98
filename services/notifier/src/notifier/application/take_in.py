"""Take events in: decide whether anything is told, to whom, and keep it, all in the transaction that marks the event as seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from common.contracts import Envelope, parse
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.orders import (
    OrderCancelledV1,
    OrderChangedV1,
    OrderCorrectedV1,
    OrderCreatedV1,
    OrderDeliveredV1,
    OrderEvent,
    OrderPaidV1,
    OrderReceivedV1,
    WorkflowCrashedV1,
    WorkflowStoppedV1,
)
from common.contracts.refunds import RefundRejectedV1
from common.ids import new_id
from notifier.application import facts
from notifier.application.ports import Ledger, NewNotice
from notifier.domain.document import Document
from notifier.domain.incident_notices import render_problem, render_told
from notifier.domain.incidents import ProblemFact, worth_telling
from notifier.domain.order_notices import render_order
from notifier.domain.orders import OrderFact
from notifier.domain.presses import incident_buttons
from notifier.domain.recipes import recipe_of
from notifier.domain.routes import Chosen, Routes, Traits
from notifier.domain.wording import Words

_ORDER_EVENTS: dict[str, type[OrderEvent]] = {
    model.TYPE: model
    for model in (
        OrderCreatedV1,
        OrderChangedV1,
        OrderPaidV1,
        OrderReceivedV1,
        OrderDeliveredV1,
        OrderCancelledV1,
        OrderCorrectedV1,
    )
}
_ORDER = "order."
_CREATED = "order.created"
_HOLD_SECONDS = 2.0
_NOT_TOLD = "the orchestrator decided that nobody is told (M7)"
_NO_ROUTE = "no route matches"


class TakeIn:
    """Turns events into notices.

    The effect of one event is the same however often it comes (the inbox and the unique (subject, transition) see to that). An
    event that cannot be read raises ``ValueError``; nothing of its batch is kept then.
    """

    def __init__(self, *, routes: Routes, words: Words, environment: str) -> None:
        self._routes = routes
        self._words = words
        self._environment = environment

    async def __call__(self, ledger: Ledger, envelopes: Sequence[Envelope]) -> None:
        """Take a batch in, in its order. Types that nobody is told of are left alone."""
        notices: list[NewNotice] = []
        for envelope in envelopes:
            model = _ORDER_EVENTS.get(envelope.type)
            if model is not None:
                notices.append(self._order_notice(facts.order_fact(parse(envelope, model)), envelope))
            else:
                notices.extend(await self._other(ledger, envelope))
        await ledger.add(await self._behind_their_past(ledger, notices))

    async def problem(
        self, ledger: Ledger, fact: ProblemFact, *, event_id: str, traceparent: str | None = None
    ) -> int | None:
        """Take in a problem that came by HTTP (Alertmanager); returns its incident's id, None when it was over already."""
        incident_id, notices = await self._problem(ledger, fact, event_id=event_id, traceparent=traceparent)
        await ledger.add(notices)
        return incident_id

    async def settled(
        self, ledger: Ledger, fingerprint: str, *, actor: str, summary: str, at: datetime, event_id: str
    ) -> int | None:
        """Take in that a problem is over; returns its incident's id, or None when none was open."""
        incident_id, notices = await self._settled(
            ledger, fingerprint, actor=actor, summary=summary, at=at, event_id=event_id, traceparent=None
        )
        await ledger.add(notices)
        return incident_id

    async def _other(self, ledger: Ledger, envelope: Envelope) -> list[NewNotice]:
        trace = envelope.traceparent
        if envelope.type == WorkflowStoppedV1.TYPE:
            return await self._workflow(ledger, parse(envelope, WorkflowStoppedV1), envelope)
        if envelope.type == WorkflowCrashedV1.TYPE:
            return await self._workflow(ledger, parse(envelope, WorkflowCrashedV1), envelope)
        if envelope.type == ProblemRaisedV1.TYPE:
            fact = facts.problem_fact(parse(envelope, ProblemRaisedV1))
            return (await self._problem(ledger, fact, event_id=envelope.id, traceparent=trace))[1]
        if envelope.type == ProblemResolvedV1.TYPE:
            over = parse(envelope, ProblemResolvedV1)
            return (
                await self._settled(
                    ledger,
                    over.fingerprint,
                    actor=over.service,
                    summary=over.summary,
                    at=over.occurred_at,
                    event_id=envelope.id,
                    traceparent=trace,
                )
            )[1]
        if envelope.type == RefundRejectedV1.TYPE:
            fact = facts.rejection_fact(parse(envelope, RefundRejectedV1))
            return (await self._problem(ledger, fact, event_id=envelope.id, traceparent=trace))[1]
        return []

    def _order_notice(self, fact: OrderFact, envelope: Envelope) -> NewNotice:
        order = fact.order
        chosen: tuple[Chosen, ...] = ()
        if fact.tell:
            chosen = self._routes.choose(
                Traits(
                    environment=self._environment,
                    kind=fact.kind,
                    source=order.source,
                    store_id=order.store_id,
                    zone=order.zone,
                )
            )
        return NewNotice(
            id=new_id(),
            subject=f"order:{order.number}",
            transition=f"{fact.kind}:{order.version}",
            sequence=order.version,
            kind=fact.kind,
            severity="info",
            event_id=envelope.id,
            occurred_at=envelope.time,
            order_number=order.number,
            document=render_order(fact, self._words) if chosen else None,
            reason=None if chosen else (_NO_ROUTE if fact.tell else _NOT_TOLD),
            traceparent=envelope.traceparent,
            chosen=chosen,
        )

    async def _behind_their_past(self, ledger: Ledger, notices: list[NewNotice]) -> list[NewNotice]:
        """Hold back what follows a version that has not been seen: another replica may be taking that in right now.

        Versions may skip, so the hold is short and only once.
        """
        here = {(notice.order_number, notice.sequence) for notice in notices if notice.kind.startswith(_ORDER)}
        gaps = {
            (notice.order_number, notice.sequence - 1)
            for notice in notices
            if notice.chosen and notice.order_number and notice.kind.startswith(_ORDER) and notice.kind != _CREATED
        } - here
        if not gaps:
            return notices
        unseen = gaps - await ledger.versions_seen([(str(number), version) for number, version in sorted(gaps)])
        return [
            replace(notice, hold_for=_HOLD_SECONDS)
            if notice.kind.startswith(_ORDER)
            and notice.kind != _CREATED
            and (notice.order_number, notice.sequence - 1) in unseen
            else notice
            for notice in notices
        ]

    async def _workflow(
        self, ledger: Ledger, event: WorkflowStoppedV1 | WorkflowCrashedV1, envelope: Envelope
    ) -> list[NewNotice]:
        """Every stop and every crash is told (M8); together they are one incident a workflow."""
        fact = facts.workflow_fact(event, self._words)
        report = await ledger.report(fact, environment=self._environment)
        if report is None:
            return []
        return [
            self._incident_notice(
                fact,
                report.incident_id,
                rendered="opened",
                transition=f"{fact.kind}:{envelope.id}",
                sequence=report.occurrences,
                event_id=envelope.id,
                traceparent=envelope.traceparent,
            )
        ]

    async def _problem(
        self, ledger: Ledger, fact: ProblemFact, *, event_id: str, traceparent: str | None
    ) -> tuple[int | None, list[NewNotice]]:
        report = await ledger.report(fact, environment=self._environment)
        if report is None:
            return None, []
        told = worth_telling(report, fact.severity)
        if told is None:
            return report.incident_id, []
        notice = self._incident_notice(
            fact,
            report.incident_id,
            rendered=told,
            transition=told,
            sequence=report.occurrences,
            event_id=event_id,
            traceparent=traceparent,
        )
        return report.incident_id, [notice]

    async def _settled(
        self,
        ledger: Ledger,
        fingerprint: str,
        *,
        actor: str,
        summary: str,
        at: datetime,
        event_id: str,
        traceparent: str | None,
    ) -> tuple[int | None, list[NewNotice]]:
        settled = await ledger.settle(fingerprint, actor=actor, summary=summary, at=at)
        if settled is None:
            return None, []
        incident_id, fact = settled
        return incident_id, [self.resolved_notice(incident_id, fact, event_id=event_id, traceparent=traceparent)]

    def resolved_notice(
        self, incident_id: int, fact: ProblemFact, *, event_id: str, traceparent: str | None
    ) -> NewNotice:
        """Return the notice that a problem is over; it goes wherever the problem itself was told."""
        return self._incident_notice(
            fact,
            incident_id,
            rendered="resolved",
            transition="resolved",
            sequence=2**31,
            event_id=event_id,
            traceparent=traceparent,
        )

    def told_notice(
        self,
        incident_id: int,
        fact: ProblemFact,
        *,
        sentence: str,
        act: str,
        needs_somebody: bool,
        transition: str,
        sequence: int,
        event_id: str,
        at: datetime,
    ) -> NewNotice:
        """Return the notice of what happened to an incident since (taken, reminded, …), for every place that was told of the problem.

        With buttons while it still ``needs_somebody``.
        """
        notice = self._incident_notice(
            fact,
            incident_id,
            rendered="resolved",
            transition=transition,
            sequence=sequence,
            event_id=event_id,
            traceparent=None,
        )
        if notice.document is None:
            return replace(notice, occurred_at=at)
        buttons = incident_buttons(incident_id, recipe=recipe_of(fact), words=self._words) if needs_somebody else ()
        document = render_told(
            fact, sentence=sentence, act=act, environment=self._environment, words=self._words, buttons=buttons
        )
        return replace(notice, document=document, occurred_at=at)

    def _incident_notice(
        self,
        fact: ProblemFact,
        incident_id: int,
        *,
        rendered: str,
        transition: str,
        sequence: int,
        event_id: str,
        traceparent: str | None,
    ) -> NewNotice:
        chosen = self._routes.choose(
            Traits(
                environment=self._environment,
                kind=fact.kind,
                severity=fact.severity,
                source=fact.source,
                store_id=fact.store_id,
                zone=fact.zone,
            )
        )
        document: Document | None = None
        if chosen:
            document = render_problem(fact, transition=rendered, environment=self._environment, words=self._words)
            if rendered != "resolved" and fact.severity != "info":
                document = replace(
                    document, buttons=incident_buttons(incident_id, recipe=recipe_of(fact), words=self._words)
                )
        return NewNotice(
            id=new_id(),
            subject=f"incident:{incident_id}",
            transition=transition,
            sequence=sequence,
            kind=fact.kind,
            severity=fact.severity,
            event_id=event_id,
            occurred_at=fact.occurred_at,
            order_number=fact.order_number,
            incident_id=incident_id,
            document=document,
            reason=None if chosen else _NO_ROUTE,
            traceparent=traceparent,
            chosen=chosen,
        )
