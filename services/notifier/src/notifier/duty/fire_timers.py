"""Fire the timers of escalation that are due: remind, have somebody phoned, or open again what was acknowledged for too long."""

from __future__ import annotations

from common.service import apart, kept_apart
from notifier.duty.escalation import Firing, Policy, fire, people_of, people_to_call
from notifier.duty.model import digest_of_number
from notifier.duty.timer_store import DueTimer, TimerStore
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.model import Directory

_AT_A_TIME = 100


class FireTimers:
    """Each due time fires once, whichever replica is first: the incident is locked while its timer is decided on.

    State is read under that lock, so what was acknowledged or resolved before fires nothing. While a silence covers it nobody is reminded
    or phoned; when that is over, the chain goes on where it was.
    """

    def __init__(
        self, *, timers: TimerStore, policy: Policy, directory: Directory, words: Words, metrics: PeopleMetrics
    ) -> None:
        self._timers = timers
        self._policy = policy
        self._directory = directory
        self._words = words
        self._metrics = metrics

    async def __call__(self) -> bool:
        """Start and fire what is due; returns whether there may be more."""
        first = self._policy.steps[0].after if self._policy.steps else None
        started = await self._timers.start(first_after=first)
        due = await self._timers.due(limit=_AT_A_TIME, but=kept_apart())
        fired = 0
        for incident_id in due:
            with apart(f"incident {incident_id}"):
                async with self._timers.open(incident_id) as timer:
                    if timer is not None:
                        await self._fire(timer)
                        fired += 1
        return started > 0 or fired == _AT_A_TIME

    async def _fire(self, timer: DueTimer) -> None:
        incident = timer.incident
        firing = fire(
            incident.state,
            critical=incident.fact.severity == "critical",
            step=timer.step,
            round_=timer.round,
            ack_until=incident.ack_until,
            policy=self._policy,
            now=timer.now,
        )
        if firing.act is not None and timer.silenced is not None:
            await timer.hold(timer.silenced)
            self._metrics.steps.labels("held").inc()
            return
        if firing.reopen:
            await timer.reopen()
            holder = self._directory.name_of(incident.holder or "")
            await timer.note("ack_expired", self._words["ack.expired"].format(who=holder))
            self._metrics.steps.labels("reopen").inc()
        due = firing.due
        if firing.act is not None and not await self._carry_out(timer, firing) and due is not None:
            due = timer.now  # nobody to turn to: the next step at once
        await timer.set(step=firing.step, round_=firing.round, due=due)

    async def _carry_out(self, timer: DueTimer, firing: Firing) -> bool:
        """Remind or call, by the roster of this moment; returns False when there is nobody, True when all were called in this round."""
        fact = timer.incident.fact
        whom = firing.whom or "on_duty"
        duty = await timer.duty()
        people = people_of(whom, duty, self._directory, source=fact.source, service=fact.service)
        if firing.act == "remind":
            shown = [person.shown for person in map(self._directory.person, people) if person is not None]
            await timer.note("reminded", ", ".join(shown) or self._words["phone.nobody"])
            self._metrics.steps.labels("remind").inc()
            return True
        people_now = self._directory.people.values()
        numbers = {each.id: digest_of_number(each.id, each.phone) for each in people_now if each.phone is not None}
        called = await timer.called(numbers=numbers)
        to_call = people_to_call(
            timer.step, self._policy, duty, self._directory, called=called, source=fact.source, service=fact.service
        )
        if not people and not to_call:
            if (firing.step, firing.round) > (0, 0) and firing.due is not None:
                await timer.note("nobody", self._words[f"nobody.{whom}"])
            self._metrics.steps.labels("nobody").inc()
            return False
        for person in to_call:
            await timer.call(person, occasion=f"{timer.round}.{timer.step}@{timer.due_at.isoformat()}")
        if to_call:
            self._metrics.steps.labels("call").inc()
        return True
