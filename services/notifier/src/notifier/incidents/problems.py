"""Reports and ends of problems: one incident each, notified where the routes say, unless it is silenced or inhibited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.ids import new_id
from notifier.delivery.model import NewNotice
from notifier.delivery.notifications import Kept, NotificationStore, named_service
from notifier.incidents.defects import live_defects, with_known_defect
from notifier.incidents.doubtful import keep_doubtful
from notifier.incidents.kinds import recipe_of, runbook_of
from notifier.incidents.model import NOBODY_NOTIFIED, Incident, ProblemFact, Reported, should_notify
from notifier.messages.document import Button, Document
from notifier.messages.incident_notices import incident_buttons, render_follow_up, render_problem
from notifier.messages.links import Links, links_of
from notifier.messages.words import Words
from notifier.people.model import Directory, Person
from notifier.routing.model import Chosen, Labels, Routes, fits
from notifier.silences.model import Inhibition, why_muted

NO_ROUTE = "no route matches"
_OF_OTHERS = frozenset({"problem.alert", "problem.sentry"})
_LAST = 2**31  # the end of a problem comes after everything else that is notified of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A problem, reported by an event. ``always``: each report is notified, not only news."""

    fact: ProblemFact
    event_id: str
    traceparent: str | None = None
    always: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The end of a problem, reported by an event; ``sender`` and ``seen_at`` as in a ``ProblemFact``. ``began_at``: when it had begun."""

    fingerprint: str
    actor: str
    summary: str
    at: datetime
    event_id: str
    traceparent: str | None = None
    sender: str | None = None
    seen_at: datetime | None = None
    began_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult:
    """What came of entries: the incident of each (None: over already, or none open), what is to be kept, which incidents are over now."""

    incidents: tuple[int | None, ...]
    notices: tuple[NewNotice, ...]
    over: tuple[int, ...]


class Problems:
    """Takes reports in. The same event has the same effect however often it comes."""

    def __init__(
        self,
        *,
        routes: Routes,
        words: Words,
        environment: str,
        directory: Directory | None = None,
        inhibitions: tuple[Inhibition, ...] = (),
        links: Links | None = None,
    ) -> None:
        self._links = links or Links()
        self._directory = directory or Directory()
        self._routes = routes
        self._words = words
        self._environment = environment
        self._inhibitions = inhibitions

    def inhibit_by(self, inhibitions: tuple[Inhibition, ...]) -> None:
        """Have these inhibitions hold from now on."""
        self._inhibitions = inhibitions

    async def __call__(self, notifications: NotificationStore, entries: Sequence[Report | Resolution]) -> IngestResult:
        """Take reports and ends in, each problem's in their order.

        All problems of the transaction are locked first, so it is called once in each.
        """
        await notifications.lock([fingerprint_of(entry) for entry in entries])
        incidents: list[int | None] = [None] * len(entries)
        notices: list[NewNotice] = []
        # Round by round: the first entry of every problem, then the second. A batch of a storm is one round or two.
        for turn in _rounds(entries):
            reported = await self._report(notifications, entries, turn)
            for index, incident, notice in (*reported, *await self._settle(notifications, entries, turn)):
                incidents[index] = incident
                notices += [] if notice is None else [notice]
        over = [
            incident
            for incident, entry in zip(incidents, entries, strict=True)
            if incident is not None and isinstance(entry, Resolution)
        ]
        return IngestResult(incidents=tuple(incidents), notices=tuple(notices), over=tuple(sorted(set(over))))

    async def _report(
        self, notifications: NotificationStore, entries: Sequence[Report | Resolution], turn: Sequence[int]
    ) -> list[tuple[int, int | None, NewNotice | None]]:
        reports = [(index, entry) for index in turn if isinstance(entry := entries[index], Report)]
        if not reports:
            return []
        defects = await live_defects(notifications.connection)
        if defects:
            links = {each.development_ticket: self._links.ticket(each.development_ticket) for each in defects}
            reports = [
                (
                    index,
                    replace(report, fact=with_known_defect(report.fact, self.labels(report.fact), defects, link=links)),
                )
                for index, report in reports
            ]
        made = await notifications.report(
            [(report.fact, report.fact.environment or self._environment) for _, report in reports]
        )
        doubtful = [report.fact for (_, report), reported in zip(reports, made, strict=True) if reported is None]
        await keep_doubtful(notifications.connection, doubtful)
        to_notify: list[tuple[int, Report, Reported, str]] = []
        for (index, report), reported in zip(reports, made, strict=True):
            transition: str | None = None
            if reported is not None:
                transition = "opened" if report.always else should_notify(reported, report.fact.severity)
            if reported is not None and transition is not None:
                to_notify.append((index, report, reported, transition))
        muted = await self._why_muted(notifications, [report.fact for _, report, _, _ in to_notify])
        notices: dict[int, NewNotice] = {}
        changes: dict[int, str | None] = {}
        for (index, report, reported, rendered), why in zip(to_notify, muted, strict=True):
            if why != reported.muted:
                changes[reported.incident_id] = why
            notices[index] = self.notice(
                report.fact,
                reported.incident_id,
                rendered=rendered,
                transition=f"{report.fact.kind}:{report.event_id}" if report.always else rendered,
                sequence=reported.occurrences,
                event_id=report.event_id,
                traceparent=report.traceparent,
                muted=why,
            )
        await notifications.mute(changes)
        return [
            (index, None if reported is None else reported.incident_id, notices.get(index))
            for (index, _), reported in zip(reports, made, strict=True)
        ]

    async def _settle(
        self, notifications: NotificationStore, entries: Sequence[Report | Resolution], turn: Sequence[int]
    ) -> list[tuple[int, int | None, NewNotice | None]]:
        ends = [(index, entry) for index in turn if isinstance(entry := entries[index], Resolution)]
        if not ends:
            return []
        settled = await notifications.settle(
            [
                (over.fingerprint, over.actor, over.summary, over.at, over.sender, over.seen_at, over.began_at)
                for _, over in ends
            ]
        )
        made: list[tuple[int, int | None, NewNotice | None]] = []
        for (index, over), kept in zip(ends, settled, strict=True):
            if kept is None:
                made.append((index, None, None))
                continue
            notice = self.resolved(
                kept.incident_id, kept, over.at, event_id=over.event_id, traceparent=over.traceparent
            )
            made.append((index, kept.incident_id, notice))
        return made

    def resolved(
        self, incident_id: int, kept: Kept | Incident, at: datetime, *, event_id: str, traceparent: str | None
    ) -> NewNotice:
        """Return the notice that a problem is over since ``at``; it goes wherever the problem itself was notified."""
        notice = self.notice(
            kept.fact,
            incident_id,
            rendered="resolved",
            transition="resolved",
            sequence=_LAST,
            event_id=event_id,
            traceparent=traceparent,
            muted=None if kept.muted is None else f"{NOBODY_NOTIFIED} of the problem ({kept.muted})",
        )
        return replace(notice, occurred_at=at)

    async def ingest(
        self, notifications: NotificationStore, entries: Sequence[Report | Resolution]
    ) -> tuple[int | None, ...]:
        """Take reports and ends in that came alone, their notices too; returns their incidents' ids (None: over already, or none open)."""
        taken = await self(notifications, entries)
        await notifications.add(taken.notices)
        await self.refresh(notifications, taken)
        return taken.incidents

    async def refresh(self, notifications: NotificationStore, taken: IngestResult) -> None:
        """Have messages edited about what is over. Last: in a storm every batch changes the same digests, and others wait for them."""
        if taken.over:
            await notifications.refresh(taken.over)

    async def unmute(self, notifications: NotificationStore, waiting: Sequence[Kept]) -> int:
        """Notify of those of the problems that nothing keeps back any more; returns how many."""
        changes, notices = await self.unmuted(notifications, waiting)
        await notifications.mute(changes)
        await notifications.add(notices)
        return len(notices)

    async def unmuted(
        self, notifications: NotificationStore, waiting: Sequence[Kept]
    ) -> tuple[dict[int, str | None], list[NewNotice]]:
        """Return of what kept problems back why they are now (None: nothing does), where that is another, and the notices of the latter."""
        still = await self._why_muted(notifications, [settled.fact for settled in waiting])
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
        return changes, notices

    async def _why_muted(self, notifications: NotificationStore, facts: Sequence[ProblemFact]) -> list[str | None]:
        """Return for each problem why nobody is notified of it."""
        if not facts:
            return []
        silences, now = await notifications.silences()
        labels = [self.labels(fact) for fact in facts]
        reasons: list[str | None] = []
        for each in labels:
            rules = [rule for rule in self._inhibitions if fits(rule.target, each)]
            open_incidents = await notifications.open_incidents(rules, each) if rules else ()
            reasons.append(
                why_muted(each, now=now, silences=silences, inhibitions=rules, open_incidents=open_incidents)
            )
        return reasons

    def labels(self, fact: ProblemFact) -> Labels:
        """Return what routes see of a problem."""
        return Labels(
            environment=fact.environment or self._environment,
            kind=fact.kind,
            severity=fact.severity,
            source=fact.source,
            store_id=fact.store_id,
            zone=fact.zone,
            service=fact.service,
            named_service=named_service(fact),
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
        """Return a notice about a problem, rendered as one that was ``opened``, became ``graver`` or ``escalated``, or was ``resolved``."""
        labels = self.labels(fact)
        chosen: tuple[Chosen, ...] = () if muted is not None else self._routes.choose(labels)
        document: Document | None = None
        if chosen:
            document = render_problem(
                fact,
                transition=rendered,
                environment=labels.environment,
                words=self._words,
                people=self._people(fact),
                links=links_of(fact, incident_id, links=self._links, words=self._words, runbook=runbook_of(fact)),
                order_link=None if fact.order_number is None else self._links.page("o", fact.order_number),
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
            group=f"{fact.kind}:{fact.alert or ''}:{fact.service}:{labels.environment}",
            labels=labels,
        )

    def follow_up_notice(
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
        muted: str | None,
    ) -> NewNotice:
        """Return the notice of what happened to an incident since (reminded, recipe done, …), for wherever its problem is notified.

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
            muted=muted,
        )
        if notice.document is None:
            return replace(notice, occurred_at=at)
        document = render_follow_up(
            fact,
            sentence=sentence,
            act=act,
            environment=self.labels(fact).environment,
            words=self._words,
            buttons=self._buttons(incident_id, fact) if needs_somebody else (),
            links=links_of(fact, incident_id, links=self._links, words=self._words, runbook=runbook_of(fact)),
        )
        return replace(notice, document=document, occurred_at=at)

    def _buttons(self, incident_id: int, fact: ProblemFact) -> tuple[Button, ...]:
        return incident_buttons(incident_id, recipe=recipe_of(fact), words=self._words)

    def _people(self, fact: ProblemFact) -> tuple[Person, ...]:
        """Return whom to tag: whoever the report names; of other systems' alerts, which name nobody, the owners of the service."""
        tagged = [person for name in fact.responsible for person in self._directory.tagged(name)]
        if not fact.responsible and fact.kind in _OF_OTHERS:
            owners = self._directory.owners_of(source=fact.source, service=fact.service)
            tagged = [person for person in map(self._directory.person, owners) if person is not None]
        return tuple(dict.fromkeys(tagged))


def fingerprint_of(entry: Report | Resolution) -> str:
    """Return whose problem it is."""
    return entry.fact.fingerprint if isinstance(entry, Report) else entry.fingerprint


def _rounds(entries: Sequence[Report | Resolution]) -> list[list[int]]:
    """Return the places of the entries so that a round has each problem once, and a problem's entries keep their order."""
    seen: dict[str, int] = {}
    rounds: list[list[int]] = []
    for index, entry in enumerate(entries):
        turn = seen.get(fingerprint_of(entry), 0)
        seen[fingerprint_of(entry)] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(index)
    return rounds
