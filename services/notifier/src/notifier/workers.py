"""The part of the composition root that is about people: buttons, calls, tickets, recipes, the roster. A straight line too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from common.errors import ConfigurationError
from common.postgres import Database
from common.service import Lifecycle
from notifier.buttons.answers import SlackAnswers, TelegramAnswers
from notifier.buttons.handle import HandleButtonAction
from notifier.buttons.store import ButtonActionStore
from notifier.buttons.workers import AnswerButtonActions, CarryOutButtonActions
from notifier.channels.telegram import TelegramSender, bot_id, telegram_limits
from notifier.duty.call_store import CallStore
from notifier.duty.call_webhook import CallWebhook
from notifier.duty.escalation import Policy, Step
from notifier.duty.fire_timers import FireTimers
from notifier.duty.keep_roster import KeepRoster
from notifier.duty.place_calls import PlaceCalls
from notifier.duty.roster_store import Handovers
from notifier.duty.timer_store import TimerStore
from notifier.incidents.act import ActOnIncident
from notifier.incidents.problems import Problems
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.file import read_people
from notifier.people.model import Directory
from notifier.recipes.http import HttpRecipes
from notifier.recipes.run import RunRecipes
from notifier.recipes.store import RecipeStore
from notifier.routing.model import Destination, Routes
from notifier.settings import NotifierSettings
from notifier.silences.store import silence
from notifier.tickets.acknowledge_from_comment import AcknowledgeFromComment
from notifier.tickets.follow_up import FollowUp
from notifier.tickets.follow_up_store import FollowUpStore
from notifier.tickets.sync_tracker import SyncTracker
from notifier.tickets.tracker_store import TrackerStore
from notifier.tickets.yandex import YandexTracker
from notifier.worker import Worker, every

_WEBHOOK_SECONDS = 60.0
_ROSTER_SECONDS = 5.0
_GAUGES_SECONDS = 5.0
_FORGET_SECONDS = 3600.0
_PRESSES_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """What routes and workers share."""

    directory: Directory
    policy: Policy
    act: ActOnIncident
    acknowledge: AcknowledgeFromComment
    actions: ButtonActionStore
    outside: bool


def people_of(settings: NotifierSettings, *, directory: Directory, problems: Problems, database: Database) -> People:
    """Return what the people's part is made of; opens nothing."""
    policy = Policy(
        steps=tuple(
            Step(after=timedelta(seconds=step.after), act=step.act, whom=step.whom) for step in settings.escalation
        ),
        rounds=settings.escalation_rounds,
        pause=timedelta(seconds=settings.escalation_pause),
        ack_lasts=timedelta(seconds=settings.ack_lasts),
    )
    act = ActOnIncident(problems=problems, ack_lasts=policy.ack_lasts)
    return People(
        directory=directory,
        policy=policy,
        act=act,
        acknowledge=AcknowledgeFromComment(act=act, directory=directory, wordings=settings.no_call_wordings),
        actions=ButtonActionStore(database, silencer=silence),
        outside=settings.tracker != "built-in",
    )


def load_people(settings: NotifierSettings) -> Directory:
    """Read the directory of people; without a file nobody is known. Raises ``ConfigurationError`` with one line."""
    path = settings.people_file
    if path is None:
        return Directory()
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the people file {path} cannot be read: {error.strerror}") from None
    return read_people(text, name=str(path))


def start_people(
    settings: NotifierSettings,
    people: People,
    lifecycle: Lifecycle,
    *,
    database: Database,
    problems: Problems,
    table: Routes,
    words: Words,
    metrics: PeopleMetrics,
    telegram: TelegramSender | None,
    wake: Callable[[], None],
    wakers: list[Callable[[], None]],
) -> None:
    """Start every worker around people. Each may run in any number of replicas."""
    directory, deadline = people.directory, settings.call_deadline

    def work(name: str, worker: Worker) -> None:
        wakers.append(worker.wake)
        lifecycle.supervise(name, worker.run, stop=worker.stop)

    follow_ups = FollowUpStore(database, outside=people.outside)
    follow_up = FollowUp(
        follow_ups=follow_ups,
        problems=problems,
        directory=directory,
        words=words,
        environment=settings.environment,
    )
    work("follow-up", Worker(follow_up, name="follow-up", after=wake))

    timers = TimerStore(database)
    fire = FireTimers(timers=timers, policy=people.policy, directory=directory, words=words, watch=metrics)
    work("timers", Worker(fire, name="timers", after=wake))

    if settings.call_url is not None:
        token = settings.call_token
        provider = CallWebhook(url=settings.call_url, token=None if token is None else token.get_secret_value())
        lifecycle.on_stop(provider.close, name="call-webhook")
        calls = PlaceCalls(
            calls=CallStore(database),
            provider=provider,
            directory=directory,
            words=words,
            watch=metrics,
            deadline=deadline,
            pause=timedelta(seconds=settings.call_pause),
        )
        work("calls", Worker(calls, name="calls", after=wake))

    handle = HandleButtonAction(
        act=people.act,
        directory=directory,
        words=words,
        environment=settings.environment,
        destination_at=partial(place_of, table),
    )
    carry_out = CarryOutButtonActions(
        actions=people.actions, handle=handle, failure_text=words["press.failed"], watch=metrics
    )
    work("presses", Worker(carry_out, name="presses", after=wake))
    slack = SlackAnswers(deadline=deadline)
    lifecycle.on_stop(slack.close, name="slack-answers")
    answer: dict[str, Callable[[Any], Any]] = {"slack": slack.answer}
    if telegram is not None and settings.telegram_token is not None:
        bot = bot_id(settings.telegram_token.get_secret_value())
        answers = TelegramAnswers(
            bots=telegram, database=database, limit=telegram_limits(bot=bot, chat="0")[0], deadline=deadline
        )
        answer["telegram"] = answers.answer
        url, secret = settings.telegram_webhook_url, settings.telegram_webhook_secret
        if url is not None and secret is not None:
            register = partial(answers.register, url=url, secret=secret.get_secret_value())
            lifecycle.supervise("telegram-webhook", lambda: every(_WEBHOOK_SECONDS, register, name="telegram-webhook"))
    work("press-answers", Worker(AnswerButtonActions(actions=people.actions, answer=answer), name="press-answers"))

    recipes = HttpRecipes(orchestrator_url=settings.orchestrator_url, refunds_url=settings.refunds_url)
    lifecycle.on_stop(recipes.close, name="recipes")
    run_recipes = RunRecipes(
        book=RecipeStore(database, problems=problems),
        runner=recipes,
        directory=directory,
        words=words,
        watch=metrics,
        deadline=deadline,
    )
    work("recipes", Worker(run_recipes, name="recipes", after=wake))

    keep_roster = KeepRoster(
        rosters=Handovers(database),
        problems=problems,
        routes=table,
        directory=directory,
        words=words,
        environment=settings.environment,
        watch=metrics,
        patience=timedelta(seconds=settings.handover_patience),
        preflight=timedelta(seconds=settings.roster_preflight),
    )
    work("roster", Worker(keep_roster, name="roster", idle=_ROSTER_SECONDS, after=wake))
    if people.outside:
        start_tracker(settings, people, lifecycle, database=database, metrics=metrics, work=work, wake=wake)

    async def show() -> None:
        """Set the gauges."""
        metrics.overdue.set(await timers.overdue())
        oldest, waiting = await follow_ups.backlog()
        metrics.unfollowed.set(oldest)
        metrics.untracked.set(waiting)

    lifecycle.supervise("people-gauges", lambda: every(_GAUGES_SECONDS, show, name="people-gauges"))

    async def forget() -> None:
        """Delete presses that were answered long ago."""
        await people.actions.forget(older_than=_PRESSES_KEPT)

    lifecycle.supervise("presses-kept", lambda: every(_FORGET_SECONDS, forget, name="presses-kept"))


def start_tracker(
    settings: NotifierSettings,
    people: People,
    lifecycle: Lifecycle,
    *,
    database: Database,
    metrics: PeopleMetrics,
    work: Callable[[str, Worker], None],
    wake: Callable[[], None],
) -> None:
    """Start what brings tickets to the outside tracker and reads what people write there."""
    token, organisation = settings.tracker_token, settings.tracker_org_id
    if token is None or organisation is None:
        raise ConfigurationError("the tracker needs a token and an organisation")
    tracker = YandexTracker(
        url=settings.tracker_url,
        token=token.get_secret_value(),
        scheme=settings.tracker_scheme,
        organisation=organisation,
        organisation_header=settings.tracker_org_header,
        deadline=settings.call_deadline,
    )
    lifecycle.on_stop(tracker.close, name="tracker")
    sync = SyncTracker(
        store=TrackerStore(database),
        tracker=tracker,
        acknowledge=people.acknowledge,
        directory=people.directory,
        watch=metrics,
        every=timedelta(seconds=settings.tracker_poll),
    )
    work("tracker-tickets", Worker(sync.create, name="tracker-tickets", after=wake))
    work("tracker-comments", Worker(sync.send, name="tracker-comments"))
    work("tracker-reading", Worker(sync.read, name="tracker-reading", after=wake))


def place_of(table: Routes, channel: str, address: str) -> Destination:
    """Return the destination of a chat where something was pressed: the one of the routes file, whose lane and limits it shares."""
    known = (place for place in table.destinations.values() if (place.channel, place.address) == (channel, address))
    found = next(known, None)
    if found is not None:
        return found
    return Destination(name="pressed", channel="slack" if channel == "slack" else "telegram", address=address)
