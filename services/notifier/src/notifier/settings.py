"""Settings of the notifier: from the environment only, prefix ``NOTIFIER_``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from common.service import ServiceSettings

_TELEGRAM_TOKEN = re.compile(r"[0-9]+:\S+")
DEFAULT_ROUTES = Path(__file__).with_name("default_routes.json")


class NotifierSettings(ServiceSettings):
    """What the notifier can be told. Durations are seconds.

    A channel without a token (mail: without a host) is off: what is routed there waits in the log, and ``/readyz`` does not mind.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, env_prefix="NOTIFIER_")

    port: int = Field(default=8085, ge=0, le=65535)
    routes_file: Path = Field(default=DEFAULT_ROUTES, description="the package's own default_routes.json unless given")
    language: Literal["ru", "en"] = "ru"

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

    call_deadline: float = Field(default=5.0, gt=0, le=30, description="of one call to a provider")
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
    heartbeat_url: str | None = Field(
        default=None, description="asked for (GET) with each heartbeat: a watcher outside"
    )
    concurrency: int = Field(default=8, ge=1, le=64, description="messages at a time, a channel")
    keep_days: float = Field(default=90.0, gt=0, description="how long what was told can be looked up, in days")
    pool_size: int = Field(default=12, ge=4, le=100)

    @field_validator("telegram_token")
    @classmethod
    def _a_bots_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and _TELEGRAM_TOKEN.fullmatch(value.get_secret_value()) is None:
            raise ValueError("is not a bot's token (digits, a colon, a key)")
        return value
