"""Settings of refunds, from the environment (``REFUNDS_…``)."""

from datetime import timedelta

from pydantic import AnyHttpUrl, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from common.service import ServiceSettings
from refunds.domain.patience import Patience


class RefundsSettings(ServiceSettings):
    """Times are seconds. What the waiting times mean stands at ``refunds.domain.patience.Patience``.

    ``key_retention`` is how long Trust recognises an idempotency key. ``lease`` must be longer than one refund's calls can take
    together, which is four times ``gateway_deadline``.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix="REFUNDS_", extra="ignore", env_ignore_empty=True)

    port: int = Field(default=8084, ge=0, le=65535)
    database_connections: int = Field(default=12, ge=2, le=100)
    trust_url: AnyHttpUrl
    trust_service_token: SecretStr
    gateway_deadline: float = Field(default=10.0, gt=0, le=60)
    gateway_connections: int = Field(default=32, ge=1, le=1000)
    key_retention: float = Field(default=7 * 86400.0, gt=0)
    concurrency: int = Field(default=16, ge=1, le=1000)
    poll: float = Field(default=0.5, gt=0, le=60)
    lease: float = Field(default=60.0, gt=0)
    retry_base: float = Field(default=1.0, gt=0)
    retry_cap: float = Field(default=300.0, gt=0)
    poll_base: float = Field(default=1.0, gt=0)
    poll_cap: float = Field(default=300.0, gt=0)
    unknown_ladder: tuple[float, ...] = Field(default=(5.0, 30.0, 300.0, 3600.0, 86400.0), min_length=1)
    give_up_after: float = Field(default=3 * 86400.0, gt=0)
    declines: int = Field(default=3, ge=1)

    @property
    def patience(self) -> Patience:
        """The waiting times."""
        return Patience(
            retry_base=self.retry_base,
            retry_cap=self.retry_cap,
            poll_base=self.poll_base,
            poll_cap=self.poll_cap,
            unknown=self.unknown_ladder,
            give_up_after=self.give_up_after,
            declines=self.declines,
        )

    @property
    def retention(self) -> timedelta:
        """``key_retention`` as a length of time."""
        return timedelta(seconds=self.key_retention)
