"""Keep the roster: announce each handover once, send back what nobody confirmed, and find gaps before they are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from common.ids import derived_id, new_id
from common.service import in_halves, kept_apart
from notifier.delivery.model import NewNotice
from notifier.duty.model import Handover
from notifier.duty.roster import Plan, Shift, gaps, running
from notifier.duty.roster_store import NO_PLAN, Handovers, HandoverStore
from notifier.incidents.model import ProblemFact
from notifier.incidents.problems import Problems, Report, Resolution
from notifier.messages.document import Button
from notifier.messages.incident_notices import data_of, render_handover
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.model import Directory
from notifier.routing.model import Destination, Labels, Routes

_AHEAD = timedelta(weeks=4)
_BEHIND = timedelta(days=8)
_MOST_GAPS = 3
_KIND = "problem.roster"
_HANDOVER = "roster.handover"
_FINGERPRINTS = "roster:"


@dataclass(frozen=True, slots=True)
class KeptRoster:
    """What was done: whether the running shift was announced, how many handovers went back, and the gaps of the next weeks."""

    announced: bool
    unconfirmed: int
    gaps: int


class KeepRoster:
    """Announcing, sending back and raising are each unique in the database, so any number of replicas may do it at any time.

    A shift, a handover or a problem that fails by a fault stops none of the others.
    """

    def __init__(
        self,
        *,
        rosters: Handovers,
        problems: Problems,
        routes: Routes,
        directory: Directory,
        words: Words,
        environment: str,
        metrics: PeopleMetrics,
        patience: timedelta,
        preflight: timedelta,
    ) -> None:
        self._rosters = rosters
        self._problems = problems
        self._routes = routes
        self._directory = directory
        self._words = words
        self._environment = environment
        self._metrics = metrics
        self._patience = patience
        self._preflight = preflight

    async def __call__(self) -> bool:
        """Do what is due now; returns whether anybody was notified."""
        async with self._rosters.transaction() as rosters:
            kept = None if rosters is None else await self.keep(rosters)
        if kept is None:
            return False
        self.count(kept)
        return kept.announced or kept.unconfirmed > 0

    def count(self, kept: KeptRoster) -> None:
        """Count what was done, once it is committed."""
        self._metrics.handovers.labels("announced").inc(kept.announced)
        self._metrics.handovers.labels("unconfirmed").inc(kept.unconfirmed)
        self._metrics.gaps.set(kept.gaps)

    async def keep(self, rosters: HandoverStore) -> KeptRoster:
        """Do what is due now in a transaction that has the roster: of a person who has just changed it, too."""
        plan, now = await rosters.plan(), await rosters.now()
        found = await rosters.shifts(since=now - _BEHIND, until=now + _AHEAD)
        if plan is None and all(shift.on_duty is None for shift in found):
            found = ()  # no roster yet: that nobody is on it is said elsewhere; what was said of former shifts ends
        plan = plan or NO_PLAN
        here = rosters.connection
        announced = await in_halves(
            list(filter(None, [running(found, now)])),
            partial(self._announce, rosters, plan, found, now),
            name=lambda shift: f"shift {shift.starts_at.isoformat()}",
            within=here,
            but=kept_apart(),
        )
        unconfirmed = await in_halves(
            await rosters.unconfirmed(),
            partial(self._give_back, rosters, found, now),
            name=lambda each: f"handover {each[0].id}",
            within=here,
            but=kept_apart(),
        )
        return KeptRoster(any(announced), sum(unconfirmed), await self._check(rosters, plan, found, now))

    def announced_to(self) -> Sequence[Destination]:
        """Return where handovers are announced as the routes are now."""
        return [chosen.destination for chosen in self._routes.choose(self._labels("warning"))]

    def _labels(self, severity: str) -> Labels:
        return Labels(environment=self._environment, kind=_HANDOVER, severity=severity)

    async def _announce(
        self, rosters: HandoverStore, plan: Plan, found: Sequence[Shift], now: datetime, part: Sequence[Shift]
    ) -> bool:
        [current] = part
        if current.on_duty is None:
            return False
        before = [shift.on_duty for shift in found if shift.ends_at <= current.starts_at and shift.on_duty is not None]
        previous = before[-1] if before else None
        handover = await rosters.announced(current, previous=previous, due=now + self._patience)
        if handover is None:
            return False
        await rosters.notifications.add([self._announcement(handover, current, previous, plan, found, now)])
        return True

    def _announcement(
        self, handover: int, shift: Shift, previous: str | None, plan: Plan, found: Sequence[Shift], now: datetime
    ) -> NewNotice:
        """Address the previous person, name who is on duty until when, the backup, who is next, and the gaps ahead."""
        words, person = self._words, self._shown(shift.on_duty)
        title = words["handover.first"].format(person=person)
        if previous is not None and previous != shift.on_duty:
            title = words["handover.title"].format(previous=self._shown(previous), person=person)
        lines = [words["handover.until"].format(until=_local(shift.ends_at, plan))]
        if shift.backup is not None:
            lines.append(words["handover.backup"].format(person=self._directory.name_of(shift.backup)))
        following = next((each for each in found if each.starts_at >= shift.ends_at and each.on_duty is not None), None)
        if following is not None:
            name = self._directory.name_of(str(following.on_duty))
            lines.append(words["handover.next"].format(person=name, since=_local(following.starts_at, plan)))
        lines.extend(
            words["handover.gap"].format(since=_local(gap.starts_at, plan), until=_local(gap.ends_at, plan))
            for gap in gaps([each for each in found if each.starts_at >= shift.ends_at])[:_MOST_GAPS]
        )
        lines.append(words["handover.confirm"].format(person=person))
        return self._notice(
            handover, transition="announced", sequence=0, severity="warning", title=title, lines=lines, now=now
        )

    async def _give_back(
        self, rosters: HandoverStore, found: Sequence[Shift], now: datetime, part: Sequence[tuple[Handover, bool]]
    ) -> int:
        kept = {(shift.starts_at, shift.on_duty) for shift in found if shift.ends_at > now}
        notified = 0
        for handover, due in part:
            if (handover.starts_at, handover.person) not in kept:
                await rosters.end(handover)  # the roster was changed, or the shift is over: nothing is to be confirmed
                continue
            if not due:
                continue
            notified += 1
            await rosters.give_back(handover, occasion="unconfirmed")
            person = self._shown(handover.person)
            title = self._words["handover.unconfirmed_alone"].format(person=person)
            if handover.previous is not None and handover.previous != handover.person:
                title = self._words["handover.unconfirmed"].format(
                    person=person, previous=self._shown(handover.previous)
                )
            notice = self._notice(
                handover.id, transition="unconfirmed", sequence=1, severity="critical", title=title, lines=(), now=now
            )
            await rosters.notifications.add([notice])
        return notified

    async def _check(self, rosters: HandoverStore, plan: Plan, found: Sequence[Shift], now: datetime) -> int:
        """Preflight: a gap, or somebody who cannot be phoned, is a problem some time before the shift begins; returns how many gaps.

        It ends when it is mended, however the shifts lie then, and when its shift is over.
        """
        ahead = [shift for shift in found if shift.ends_at > now]
        near = {
            f"{_FINGERPRINTS}{plan.zone}:{shift.ends_at.isoformat()}": shift
            for shift in ahead
            if shift.starts_at - now <= self._preflight
        }
        known = await rosters.open_problems(kind=_KIND, prefix=_FINGERPRINTS)

        async def check(part: Sequence[str]) -> None:
            wrong = {each: self._what_is_wrong(near[each], plan) for each in part if each in near}
            changed = [each for each in part if wrong.get(each) != known.get(each)]
            over = [_mended(each, now) for each in changed if each in known]
            new = [self._problem(each, now, summary) for each in changed if (summary := wrong.get(each)) is not None]
            if changed:
                await self._problems.ingest(rosters.notifications, [*over, *new])

        all_of_them = list(dict.fromkeys((*known, *near)))
        await in_halves(all_of_them, check, name="problem {}".format, within=rosters.connection, but=kept_apart())
        return len(gaps(ahead))

    def _problem(self, fingerprint: str, now: datetime, summary: str) -> Report:
        fact = ProblemFact(
            kind=_KIND,
            severity="critical",
            fingerprint=fingerprint,
            summary=summary,
            service="notifier",
            occurred_at=now,
            what_to_do=self._words["roster.do"],
        )
        return Report(fact=fact, event_id=derived_id("notifier.roster-gap", fingerprint, now.isoformat()))

    def _what_is_wrong(self, shift: Shift, plan: Plan) -> str | None:
        if shift.on_duty is None:
            since, until = _local(shift.starts_at, plan), _local(shift.ends_at, plan)
            return self._words["roster.gap"].format(since=since, until=until)
        person = self._directory.person(shift.on_duty)
        if person is None or person.phone is None:
            return self._words["roster.unreachable"].format(person=self._directory.name_of(shift.on_duty))
        return None

    def _notice(
        self,
        handover: int,
        *,
        transition: str,
        sequence: int,
        severity: str,
        title: str,
        lines: Sequence[str],
        now: datetime,
    ) -> NewNotice:
        confirm = Button(label=self._words["button.handover"], data=data_of("handover", handover))
        document = render_handover(title, lines, environment=self._environment, buttons=(confirm,))
        chosen = self._routes.choose(self._labels(severity))
        return NewNotice(
            id=new_id(),
            subject=f"handover:{handover}",
            transition=transition,
            sequence=sequence,
            kind=_HANDOVER,
            severity=severity,
            event_id=derived_id("notifier.handover", str(handover), transition),
            occurred_at=now,
            document=document if chosen else None,
            reason=None if chosen else "no route matches",
            chosen=chosen,
        )

    def _shown(self, person_id: str | None) -> str:
        person = self._directory.person(person_id)
        return (person_id or "") if person is None else person.shown


def _mended(fingerprint: str, now: datetime) -> Resolution:
    return Resolution(
        fingerprint=fingerprint,
        actor="notifier",
        summary="roster",
        at=now,
        event_id=derived_id("notifier.roster-mended", fingerprint, now.isoformat()),
    )


def _local(moment: datetime, plan: Plan) -> str:
    return moment.astimezone(ZoneInfo(plan.zone)).strftime("%d.%m %H:%M")
