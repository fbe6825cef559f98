"""Everything that can be set. Values come from `SANDBOX_<NAME>` in the environment and from `--<name>` arguments."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

ENV_PREFIX = "SANDBOX_"


class Settings(BaseModel):
    """The sandbox's settings; durations in seconds. An empty token list accepts any well-formed token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8090, ge=0, le=65535, description="HTTP port; 0 takes a free one")
    smtp_port: int = Field(default=8025, ge=0, le=65535, description="SMTP port; 0 takes a free one")
    public_url: str | None = Field(default=None, description="the sandbox's own address as others reach it")
    seed: int = Field(default=1, description="seed of fault shares")
    journal_limit: int = Field(default=100_000, ge=1, description="entries kept for each system")

    keep_file: Path | None = Field(
        default=None,
        description="file of what payment systems, chats and the tracker still know after a restart; without one they forget it",
    )

    gateway_url: str | None = Field(default=None, description="gateways to send hooks to, separated by commas")
    gateway_path: str = Field(default="/hooks/v1/sbermarket", description="path hooks are sent to")
    marketplace_token: str | None = Field(default=None, description="sent as Client-token with every hook")
    hook_timeout_s: float = Field(default=5.0, gt=0, description="how long the marketplace waits for an answer")
    hook_schedule: tuple[float, ...] = Field(
        default=(1, 2, 4, 8, 16, 32, 64), description="intervals before each repeat of a hook; seven in real life"
    )
    stores: tuple[str, ...] = Field(default=("17", "21", "42"), description="store ids of played orders")

    telegram_tokens: tuple[str, ...] = Field(default=(), description="bot tokens that are accepted")
    telegram_bot_per_second: int = Field(default=30, ge=1, description="calls a bot may make in any second")
    telegram_chat_per_second: float = Field(default=1.0, gt=0, description="calls to one chat a second")
    telegram_chat_burst: int = Field(default=2, ge=1, description="calls to one chat at once")
    telegram_group_per_minute: int = Field(default=20, ge=1, description="calls to one group in any minute")
    telegram_callback_ttl_s: float = Field(default=60.0, gt=0, description="how long a press can be answered")
    telegram_webhook_timeout_s: float = Field(default=10.0, gt=0, description="how long an update waits for its answer")
    telegram_webhook_schedule: tuple[float, ...] = Field(
        default=(0.5, 1, 2), description="intervals before each repeat of an update"
    )

    slack_tokens: tuple[str, ...] = Field(default=(), description="bot tokens that are accepted")
    slack_channel_per_second: float = Field(default=1.0, gt=0, description="posts to one channel a second")
    slack_channel_burst: int = Field(default=2, ge=1, description="posts to one channel at once")
    slack_update_per_minute: int = Field(default=50, ge=1, description="calls of each other method in any minute")
    slack_signing_secret: str | None = Field(default=None, description="key that signs interactions")
    slack_interactions_url: str | None = Field(default=None, description="where presses are sent")

    trust_service_token: str | None = Field(default=None, description="the only X-Service-Token accepted")
    trust_polls: int = Field(default=1, ge=0, description="status requests a started refund stays pending for")
    yookassa_shop_id: str | None = Field(default=None, description="the only shop accepted")
    yookassa_secret_key: str | None = Field(default=None, description="that shop's key")
    yookassa_polls: int = Field(default=0, ge=0, description="status requests a refund stays pending for")
    twilio_account_sid: str | None = Field(default=None, description="the only account accepted")
    twilio_auth_token: str | None = Field(default=None, description="that account's token")
    tracker_token: str | None = Field(default=None, description="the only token accepted")

    @field_validator("hook_schedule", "telegram_webhook_schedule")
    @classmethod
    def _no_negative_interval(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(interval < 0 for interval in value):
            raise ValueError("intervals cannot be negative")
        return value

    @property
    def gateway_urls(self) -> tuple[str, ...]:
        """Addresses of the gateway's replicas; empty when none is configured."""
        return tuple(url.strip().rstrip("/") for url in (self.gateway_url or "").split(",") if url.strip())


def from_sources(arguments: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Arguments stand over the environment. Lists are separated by commas. Raises pydantic's ValidationError."""
    values: dict[str, object] = {}
    for name, info in Settings.model_fields.items():
        text = arguments.get(name)
        if text is None:
            text = environment.get(ENV_PREFIX + name.upper())
        if text is None or text == "":
            continue
        is_list = "tuple" in str(info.annotation)
        values[name] = [part.strip() for part in text.split(",") if part.strip()] if is_list else text
    return Settings.model_validate(values)
