"""Settings of tips, from the environment (``TIPS_…``)."""

from datetime import timedelta

from pydantic import AnyHttpUrl, Field
from pydantic_settings import SettingsConfigDict

from common.service import ServiceSettings
from tips.domain.rules import TipsRules


class TipsSettings(ServiceSettings):
    """``postgres_dsn`` is the orders database, with the role ``tips``. Sums are minor units, times seconds unless said otherwise.

    Every constant of the rules has a default; what each means stands at ``tips.domain.rules.TipsRules``. The caller's old code shares
    these settings, not this code (DECISIONS "Money").
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix="TIPS_", extra="ignore", env_ignore_empty=True)

    port: int = Field(default=8083, ge=0, le=65535)
    feedback_url: AnyHttpUrl
    database_deadline: float = Field(default=1.0, gt=0, le=30)
    database_connections: int = Field(default=8, ge=1, le=100)
    feedback_deadline: float = Field(default=0.7, gt=0, le=30)
    feedback_connections: int = Field(default=64, ge=1, le=1000)
    write_attempts: int = Field(default=5, ge=1, le=20)
    cashless_methods: frozenset[str] = frozenset(
        {"card", "online", "sbp", "apple_pay", "google_pay", "yandex_pay", "sber_pay", "account"}
    )
    maximum: dict[str, int] = Field(default_factory=lambda: {"RUB": 500_000})
    default_maximum: int | None = Field(default=None, ge=0)
    negative_rating: int = Field(default=3, ge=0)
    hold_after: float = Field(default=30 * 60, ge=0)
    hold_until: float = Field(default=24 * 3600, gt=0)
    zones: frozenset[str] = Field(default=frozenset({"moscow", "spb"}), description="metric labels; others are `other`")
    tariffs: frozenset[str] = Field(
        default=frozenset({"express", "planned"}), description="metric labels; others are `other`"
    )
    currencies: frozenset[str] = Field(default=frozenset({"RUB"}), description="metric labels; others are `other`")

    @property
    def rules(self) -> TipsRules:
        """The constants of the rules."""
        return TipsRules(
            maximum=self.maximum,
            default_maximum=self.default_maximum,
            negative_rating=self.negative_rating,
            hold_after=timedelta(seconds=self.hold_after),
            hold_until=timedelta(seconds=self.hold_until),
        )
