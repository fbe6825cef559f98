"""Problems as they are reported and ended: one incident each, told where the routes say, unless something keeps it from being told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.ids import new_id
from notifier.application.ports import Ledger, NewNotice
from notifier.domain.buttons import Button
from notifier.domain.document import Document
from notifier.domain.incident_notices import render_problem, render_told
from notifier.domain.incidents import ProblemFact, worth_telling
from notifier.domain.muting import Inhibition, why_muted
from notifier.domain.presses import incident_buttons
from notifier.domain.recipes import recipe_of
from notifier.domain.routes import Chosen, Person, Routes, Traits, fits
from notifier.domain.wording import Words

NO_ROUTE = "no route matches"
_NEVER_TOLD = "nobody was told of the problem"
_LAST = 2**31  # the end of a problem comes after everything else that is told of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A problem, reported by an event. ``always``: each report is told (M8), not only news."""

    fact: ProblemFact
    event_id: str
    traceparent: str | None = None
    always: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """The end of a problem, reported by an event."""

    fingerprint: str
    actor: str
    summary: str
    at: datetime
    event_id: str
    traceparent: str | None = None


class Problems:
    """Takes reports in. The same event has the same effect however often it comes."""

    def __init__(
        self, *, routes: Routes, words: Words, environment: str, inhibitions: tuple[Inhibition, ...] = ()
    ) -> None:
        self._routes = routes
        self._words = words
        self._environment = environment
        self._inhibitions = inhibitions

    async def report(self, ledger: Ledger, reports: Sequence[Report]) -> list[tuple[int | None, NewNotice | None]]:
        """Take reports in, in their order; returns the incident of each (None: over already) and what is to be kept of it."""
        made = await ledger.report([(report.fact, report.fact.environment or self._environment) for report in reports])
        told: list[tuple[Report, int, str, str, int]] = []
        for report, reported in zip(reports, made, strict=True):
            if reported is None:
                continue
            transition = "opened" if report.always else worth_telling(reported, report.fact.severity)
            if transition is not None:
                key = f"{report.fact.kind}:{report.event_id}" if report.always else transition
                told.append((report, reported.incident_id, transition, key, reported.occurrences))
        muted = await self._why_muted(ledger, [each[0].fact for each in told])
        notices: dict[int, NewNotice] = {}
        changes: dict[int, str | None] = {}
        for (report, incident_id, rendered, key, sequence), why in zip(told, muted, strict=True):
            changes[incident_id] = why
            notices[id(report)] = self.notice(
                report.fact,
                incident_id,
                rendered=rendered,
                transition=key,
                sequence=sequence,
                event_id=report.event_id,
                traceparent=report.traceparent,
                muted=why,
            )
        await ledger.mute(changes)
        return [
            (None if reported is None else reported.incident_id, notices.get(id(report)))
            for report, reported in zip(reports, made, strict=True)
        ]

    async def settle(self, ledger: Ledger, over: Over) -> tuple[int | None, NewNotice | None]:
        """Take an end in; returns its incident's id (None when none was open) and what is told of it."""
        settled = await ledger.settle(over.fingerprint, actor=over.actor, summary=over.summary, at=over.at)
        if settled is None:
            return None, None
        await ledger.refresh([settled.incident_id])
        return settled.incident_id, self.resolved(
            settled.incident_id,
            settled.fact,
            event_id=over.event_id,
            traceparent=over.traceparent,
            muted=settled.muted,
        )

    def resolved(
        self, incident_id: int, fact: ProblemFact, *, event_id: str, traceparent: str | None, muted: str | None = None
    ) -> NewNotice:
        """Return the notice that a problem is over; it goes wherever the problem itself was told."""
        return self.notice(
            fact,
            incident_id,
            rendered="resolved",
            transition="resolved",
            sequence=_LAST,
            event_id=event_id,
            traceparent=traceparent,
            muted=None if muted is None else f"{_NEVER_TOLD} ({muted})",
        )

    async def unmute(self, ledger: Ledger, *, limit: int) -> int:
        """Tell of problems that are not over although what kept them from being told is; returns how many."""
        waiting = await ledger.muted(limit)
        still = await self._why_muted(ledger, [settled.fact for settled in waiting])
        notices: list[NewNotice] = []
        changes: dict[int, str | None] = {}
        for settled, why in zip(waiting, still, strict=True):
            if why == settled.muted:
                continue
            changes[settled.incident_id] = why
            if why is None:
                event_id = new_id()
                notices.append(
                    self.notice(
                        settled.fact,
                        settled.incident_id,
                        rendered="opened",
                        transition=f"unmuted:{event_id}",
                        sequence=settled.occurrences,
                        event_id=event_id,
                        traceparent=None,
                        muted=None,
                    )
                )
        await ledger.mute(changes)
        await ledger.add(notices)
        return len(notices)

    async def _why_muted(self, ledger: Ledger, facts: Sequence[ProblemFact]) -> list[str | None]:
        """Return for each problem why nobody is told of it."""
        if not facts:
            return []
        silences, now = await ledger.silences()
        traits = [self.traits(fact) for fact in facts]
        reasons: list[str | None] = []
        for each in traits:
            rules = [rule for rule in self._inhibitions if fits(rule.target, each)]
            standing = await ledger.standing(rules, each) if rules else ()
            reasons.append(why_muted(each, now=now, silences=silences, inhibitions=rules, standing=standing))
        return reasons

    def traits(self, fact: ProblemFact) -> Traits:
        """Return what routes see of a problem."""
        return Traits(
            environment=fact.environment or self._environment,
            kind=fact.kind,
            severity=fact.severity,
            source=fact.source,
            store_id=fact.store_id,
            zone=fact.zone,
            service=fact.service,
            alert=fact.alert,
            order_number=fact.order_number,
            fingerprint=fact.fingerprint,
        )

    def notice(
        self,
        fact: ProblemFact,
        incident_id: int,
        *,
        rendered: str,
        transition: str,
        sequence: int,
        event_id: str,
        traceparent: str | None,
        muted: str | None,
    ) -> NewNotice:
        """Return a notice about a problem, rendered as one that was ``opened``, ``escalated`` or ``resolved``."""
        traits = self.traits(fact)
        chosen: tuple[Chosen, ...] = () if muted is not None else self._routes.choose(traits)
        document: Document | None = None
        if chosen:
            document = render_problem(
                fact,
                transition=rendered,
                environment=traits.environment,
                words=self._words,
                people=self._people(fact),
            )
            if rendered != "resolved" and fact.severity != "info":
                document = replace(document, buttons=self._buttons(incident_id, fact))
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
            reason=None if chosen else muted or NO_ROUTE,
            traceparent=traceparent,
            chosen=chosen,
            group=f"{fact.kind}:{fact.alert or ''}:{fact.service}:{traits.environment}",
            traits=traits,
        )

    def told(
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
        """Return the notice of what happened to an incident since (reminded, recipe done, …), for wherever its problem is told.

        With buttons while it still ``needs_somebody``.
        """
        notice = self.notice(
            fact,
            incident_id,
            rendered="resolved",
            transition=transition,
            sequence=sequence,
            event_id=event_id,
            traceparent=None,
            muted=None,
        )
        if notice.document is None:
            return replace(notice, occurred_at=at)
        document = render_told(
            fact,
            sentence=sentence,
            act=act,
            environment=self.traits(fact).environment,
            words=self._words,
            buttons=self._buttons(incident_id, fact) if needs_somebody else (),
        )
        return replace(notice, document=document, occurred_at=at)

    def _buttons(self, incident_id: int, fact: ProblemFact) -> tuple[Button, ...]:
        return incident_buttons(incident_id, recipe=recipe_of(fact), words=self._words)

    def _people(self, fact: ProblemFact) -> tuple[Person, ...]:
        return tuple(self._routes.people.get(name) or Person(name=name) for name in fact.responsible)
