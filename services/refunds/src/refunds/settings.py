"""Settings of refunds, from the environment (``REFUNDS_…``)."""

from pathlib import Path

from pydantic import AnyHttpUrl, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from common.service import OwnerSettings, RetentionSettings, ServiceSettings
from refunds.payments.model import GatewayRoutes
from refunds.providers.guard import GuardLimits
from refunds.refunds.retry import RetryPolicy

TRUST, YOOKASSA = "trust", "yookassa"


class RefundsSettings(RetentionSettings, OwnerSettings, ServiceSettings):
    """Times are seconds. What the waiting times mean stands at ``refunds.refunds.retry.RetryPolicy``.

    ``key_retention`` is how long Trust recognises an idempotency key, ``yookassa_key_retention`` YooKassa (publicly 24 hours).
    ``lease`` must be longer than one refund's calls can take together, which is four times ``gateway_deadline``.
    YooKassa is there when ``yookassa_shop_id`` and ``yookassa_secret_key`` are set. Which gateway a payment is at: the longest
    beginning of its id in ``gateway_of_payment``, else its order's source in ``gateway_of_source``, else ``gateway``.
    A refund is looked up at ``orchestrator_url``, with the token of ``internal_token_file``, before anything is sent; without the two who
    asks is believed.
    ``reconcile_at`` is the hour (UTC) from which a day is reconciled, looking ``reconcile_days`` back; finished refunds too.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix="REFUNDS_", extra="ignore", env_ignore_empty=True)

    port: int = Field(default=8084, ge=0, le=65535)
    database_connections: int = Field(default=12, ge=2, le=100)
    trust_url: AnyHttpUrl
    trust_service_token: SecretStr
    yookassa_url: AnyHttpUrl = AnyHttpUrl("https://api.yookassa.ru")
    yookassa_shop_id: str | None = None
    yookassa_secret_key: SecretStr | None = None
    orchestrator_url: AnyHttpUrl | None = None
    internal_token_file: Path | None = None
    confirm_callers: bool = Field(
        default=True,
        description="whether refunds that callers ask for over HTTP are looked up there, too; else their tokens are enough",
    )
    gateway: str = TRUST
    gateway_of_payment: dict[str, str] = Field(default_factory=dict)
    gateway_of_source: dict[str, str] = Field(default_factory=dict)
    gateway_deadline: float = Field(default=10.0, gt=0, le=60)
    gateway_connections: int = Field(default=32, ge=1, le=1000)
    key_retention: float = Field(default=7 * 86400.0, gt=0)
    yookassa_key_retention: float = Field(default=86400.0, gt=0)
    breaker_failures: int = Field(default=10, ge=1)
    breaker_pause: float = Field(default=30.0, gt=0)
    retry_tokens: float = Field(default=100.0, gt=0)
    retry_token_ratio: float = Field(default=0.1, gt=0)
    concurrency: int = Field(default=16, ge=1, le=1000)
    poll: float = Field(default=0.5, gt=0, le=60)
    lease: float = Field(default=60.0, gt=0)
    retry_base: float = Field(default=1.0, gt=0)
    retry_cap: float = Field(default=300.0, gt=0)
    poll_base: float = Field(default=1.0, gt=0)
    poll_cap: float = Field(default=300.0, gt=0)
    unknown_ladder: tuple[float, ...] = Field(default=(30.0, 300.0, 3600.0, 21600.0), min_length=1)
    give_up_after: float = Field(default=3 * 86400.0, gt=0)
    declines: int = Field(default=3, ge=1)
    reconcile_at: int = Field(default=3, ge=0, le=23)
    reconcile_days: int = Field(default=30, ge=1, le=365)
    evidence_days: float = Field(
        default=400.0, ge=1, le=36500, description="how long calls of payment systems and settled differences are kept"
    )
    inbox_days: float = Field(default=45.0, ge=2, le=36500, description="how long marks of what was taken in are kept")

    @model_validator(mode="after")
    def _known_gateways(self) -> "RefundsSettings":
        there = {TRUST} | ({YOOKASSA} if self.has_yookassa else set())
        unknown = self.routes.names - there
        if unknown:
            raise ValueError(f"payments are sent to {', '.join(sorted(unknown))}, which is not configured")
        return self

    @model_validator(mode="after")
    def _asks_with_a_token(self) -> "RefundsSettings":
        if (self.orchestrator_url is None) != (self.internal_token_file is None):
            raise ValueError("orchestrator_url and internal_token_file go together")
        return self

    @property
    def has_yookassa(self) -> bool:
        """Whether YooKassa is configured."""
        return self.yookassa_shop_id is not None and self.yookassa_secret_key is not None

    @property
    def routes(self) -> GatewayRoutes:
        """Which gateway a payment is at."""
        return GatewayRoutes(usual=self.gateway, of_payment=self.gateway_of_payment, of_source=self.gateway_of_source)

    @property
    def retries(self) -> RetryPolicy:
        """The waiting times."""
        return RetryPolicy(
            retry_base=self.retry_base,
            retry_cap=self.retry_cap,
            poll_base=self.poll_base,
            poll_cap=self.poll_cap,
            unknown=self.unknown_ladder,
            give_up_after=self.give_up_after,
            declines=self.declines,
        )

    @property
    def guard(self) -> GuardLimits:
        """What keeps a struggling gateway from being hammered."""
        return GuardLimits(
            failures=self.breaker_failures,
            pause=self.breaker_pause,
            tokens=self.retry_tokens,
            ratio=self.retry_token_ratio,
        )
