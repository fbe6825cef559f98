"""Settings of the notifier: from the environment only, prefix ``NOTIFIER_``."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from common.moments import BUSINESS_ZONE, zone_named
from common.service import OwnerSettings, RetentionSettings, ServiceSettings
from notifier.duty.escalation import Policy, Step
from notifier.incidents.model import Severity
from notifier.inputs.lenient import ENVIRONMENTS, SEVERITIES, Vocabulary, spelled
from notifier.tickets.model import NO_CALL

_TELEGRAM_TOKEN = re.compile(r"[0-9]+:\S+")
DEFAULT_ROUTES = Path(__file__).with_name("default_routes.json")


class EscalationStep(BaseModel):
    """One step of the chain: `after` seconds from the step before, remind or call the person on duty, the backup, or the owners."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: float = Field(ge=0)
    act: Literal["remind", "call"]
    whom: Literal["on_duty", "backup", "owners"]


CHAIN = (
    EscalationStep(after=300, act="remind", whom="on_duty"),
    EscalationStep(after=300, act="call", whom="on_duty"),
    EscalationStep(after=300, act="call", whom="backup"),
    EscalationStep(after=600, act="call", whom="owners"),
)


class NotifierSettings(RetentionSettings, OwnerSettings, ServiceSettings):
    """The notifier's settings. Durations are seconds.

    A channel without a token (mail: without a host) is off: what is routed there waits in the log, and ``/readyz`` does not mind.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, env_prefix="NOTIFIER_")

    port: int = Field(default=8085, ge=0, le=65535)
    routes_file: Path = Field(default=DEFAULT_ROUTES, description="the package's own default_routes.json unless given")
    language: Literal["ru", "en"] = "ru"
    time_zone: str = Field(BUSINESS_ZONE, description="of the times that messages and tickets tell")
    console_url: str | None = Field(
        default=None,
        description="where links of messages open (the console, or this service); without it notices link to no page",
    )

    severities: dict[str, Severity] = Field(
        default_factory=dict, description="more words of other systems for critical, warning and info"
    )
    environments: dict[str, str] = Field(
        default_factory=dict, description="more names of environments, each with ours: production, testing or another"
    )
    sentry_secret: SecretStr | None = Field(default=None, description="the client secret of Sentry's integration")
    sentry_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+/\S*$",
        description="Sentry's list of issues as people open it: messages about errors link to what is reported of them",
    )

    telegram_token: SecretStr | None = None
    telegram_api_url: str = "https://api.telegram.org"
    slack_token: SecretStr | None = None
    slack_api_url: str = "https://slack.com/api/"
    smtp_host: str | None = None
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: bool = Field(default=False, description="STARTTLS is demanded")
    mail_from: str = "Order suite <notifier@localhost.localdomain>"

    people_file: Path | None = Field(
        default=None, description="who the on-call people are: accounts, phones, own tokens"
    )
    telegram_webhook_url: str | None = Field(default=None, description="our /telegram/webhook as Telegram reaches it")
    telegram_webhook_secret: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    orchestrator_url: str | None = Field(default=None, description="where workflows are retried")
    refunds_url: str | None = Field(default=None, description="where refunds are restarted")
    call_provider: Literal["webhook", "twilio"] = Field(default="webhook", description="who phones people")
    call_url: str | None = Field(
        default=None, description="the call webhook, or Twilio's API; without one nobody is phoned"
    )
    call_token: SecretStr | None = Field(default=None, description="the webhook's token, or the account's at Twilio")
    call_account: str | None = Field(default=None, description="the account at Twilio (AC…)")
    call_from: str | None = Field(
        default=None, pattern=r"^\+[1-9]\d{1,14}$", description="the number Twilio calls from"
    )
    call_callback_url: str | None = Field(
        default=None, description="our /notifications/v1/twilio as Twilio reaches it: how calls go on"
    )
    call_pause: float = Field(default=120.0, ge=0, description="a person is not phoned again sooner than this")
    escalation: tuple[EscalationStep, ...] = CHAIN
    escalation_rounds: int = Field(default=3, ge=1, le=100)
    escalation_pause: float = Field(default=1800.0, ge=0, description="between two rounds of the chain")
    ack_lasts: float = Field(default=3600.0, gt=0, description="afterwards an acknowledged incident opens again")
    no_call_wordings: tuple[str, ...] = Field(default=NO_CALL, description="what counts as `no need to call`")
    handover_patience: float = Field(default=900.0, gt=0, description="how long a handover waits to be confirmed")
    roster_preflight: float = Field(default=18 * 3600.0, ge=0, description="how long before a shift a gap is a problem")
    team_queues: dict[str, str] = Field(
        default_factory=dict,
        description="by service, the queue of the team that owns it; other tickets go to TRAVELORDERSUP",
    )
    tracker: Literal["built-in", "yandex"] = "built-in"
    tracker_url: str = "https://api.tracker.yandex.net"
    tracker_token: SecretStr | None = None
    tracker_scheme: Literal["OAuth", "Bearer"] = "OAuth"
    tracker_org_id: str | None = None
    tracker_org_header: Literal["X-Org-ID", "X-Cloud-Org-ID"] = "X-Org-ID"
    tracker_page: str = Field(
        default="https://tracker.yandex.ru/{}",
        description="where people read a ticket of the outside tracker; {} is its key",
    )
    development_queue: str = Field(
        default="TRAVELBACK", pattern=r"^[A-Z][A-Z0-9]{1,14}$", description="where development tickets are made"
    )
    tracker_poll: float = Field(default=10.0, gt=0, description="how often an open ticket is read there")

    call_deadline: float = Field(default=5.0, gt=0, le=30, description="of one call to a provider")
    batch_lines: bool = Field(
        default=False,
        description="publish lines of timelines together as one message; on when every orchestrator is of a release that reads that, "
        "off before one is rolled back",
    )
    give_up_after: float = Field(default=6 * 3600.0, gt=0, description="how long an unsent notice is tried")
    combine_above: int = Field(default=3, ge=1, description="so many may wait before notices share a message")
    storm_above: int = Field(
        default=20, ge=1, description="so many problems may wait in a chat before a digest tells of them"
    )
    storm_quiet: float = Field(default=60.0, gt=0, description="a storm is over when nothing came for so long")
    failover_after: float = Field(
        default=30.0, gt=0, description="a critical notice not sent by then is told elsewhere too"
    )
    heartbeat_every: float = Field(
        default=60.0, ge=0, description="the dead-man's switch: a message into a hidden chat; 0 is off"
    )
    heartbeat_patience: float = Field(
        default=120.0, gt=0, description="what is later than that withholds the heartbeat"
    )
    watchdog_patience: float | None = Field(
        default=None,
        gt=0,
        description="how long Alertmanager's alert Watchdog, which always fires, may stay away; unset: it is an alert like any other",
    )
    heartbeat_url: str | None = Field(
        default=None, description="asked for (GET) with each heartbeat: a watcher outside"
    )
    concurrency: int = Field(default=8, ge=1, le=64, description="messages at a time, a channel")
    keep_days: float = Field(default=90.0, gt=0, description="how long what was told can be looked up, in days")
    ticket_days: float = Field(
        default=730.0, gt=0, description="how long closed tickets, ended silences and past shifts are kept, in days"
    )
    pool_size: int = Field(default=16, ge=4, le=100)

    @property
    def policy(self) -> Policy:
        """The escalation chain."""
        return Policy(
            steps=tuple(
                Step(after=timedelta(seconds=step.after), act=step.act, whom=step.whom) for step in self.escalation
            ),
            rounds=self.escalation_rounds,
            pause=timedelta(seconds=self.escalation_pause),
            ack_lasts=timedelta(seconds=self.ack_lasts),
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """What other systems call severities and environments."""
        return Vocabulary(
            severities={**SEVERITIES, **{spelled(word): known for word, known in self.severities.items()}},
            environments={
                **ENVIRONMENTS,
                **{word.strip().casefold(): known for word, known in self.environments.items()},
            },
        )

    @property
    def outside_tracker(self) -> bool:
        """Whether tickets lie in an outside tracker."""
        return self.tracker != "built-in"

    @field_validator("time_zone")
    @classmethod
    def _a_zone(cls, value: str) -> str:
        zone_named(value)
        return value

    @field_validator("telegram_token")
    @classmethod
    def _a_bots_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and _TELEGRAM_TOKEN.fullmatch(value.get_secret_value()) is None:
            raise ValueError("is not a bot's token (digits, a colon, a key)")
        return value

    @model_validator(mode="after")
    def _a_whole_call_provider(self) -> NotifierSettings:
        given = (self.call_url, self.call_token, self.call_account, self.call_from)
        if self.call_provider == "twilio" and None in given:
            raise ValueError("call_provider twilio needs call_url, call_token, call_account and call_from")
        return self

    @model_validator(mode="after")
    def _a_whole_tracker(self) -> NotifierSettings:
        if self.tracker == "yandex" and (self.tracker_token is None or not self.tracker_org_id):
            raise ValueError("tracker yandex needs tracker_token and tracker_org_id")
        return self
