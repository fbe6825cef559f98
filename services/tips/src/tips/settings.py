"""Settings of tips, from the environment (``TIPS_…``)."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import SettingsConfigDict

from common.service import ServiceSettings
from tips.rules.constants import LocalRules, RuleBook, TipsRules

Seconds = Annotated[float, Field(ge=0, le=365 * 24 * 3600)]
Percent = Annotated[Decimal, Field(ge=0, le=100, allow_inf_nan=False)]
Minor = Annotated[int, Field(ge=0, le=10**15)]


class PlaceRules(BaseModel):
    """What differs from the defaults for orders of a zone, a tariff, or a tariff in a zone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str | None = Field(None, min_length=1)
    tariff: str | None = Field(None, min_length=1)
    cashless_methods: frozenset[str] | None = None
    maximum: dict[str, Minor] | None = None
    default_maximum: Minor | None = None
    maximum_share: Percent | None = None
    negative_rating: int | None = Field(None, ge=0)
    hold_after: Seconds | None = None
    hold_until: Seconds | None = None

    @property
    def local(self) -> LocalRules:
        """The same for the rule book: only what was named, ``null`` included."""
        named = {name: getattr(self, name) for name in self.model_fields_set - {"zone", "tariff"}}
        for name in ("hold_after", "hold_until"):
            if name in named:
                named[name] = timedelta(seconds=named[name])
        return LocalRules(self.zone, self.tariff, named)

    @model_validator(mode="after")
    def _only_the_default_maximum_may_be_null(self) -> Self:
        for name in self.model_fields_set - {"zone", "tariff", "default_maximum"}:
            if getattr(self, name) is None:
                raise ValueError(f"{name} may be left out, not null")
        return self


class TipsSettings(ServiceSettings):
    """``postgres_dsn`` is the orders database, with the role ``tips``. Sums are minor units, times seconds unless said otherwise.

    Every constant of the rules has a default here; what each means stands at ``tips.rules.constants.TipsRules``. ``places`` says what
    differs where, as JSON: ``[{"zone": "moscow", "tariff": "express", "negative_rating": 2}]``. The caller's old code shares these
    settings, not this code.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix="TIPS_", extra="ignore", env_ignore_empty=True)

    port: int = Field(8083, ge=0, le=65535)
    feedback_url: AnyHttpUrl

    request_deadline: float = Field(2.0, gt=0, le=60, description="of a whole request; its caller may wait less")
    requests_at_once: int = Field(64, ge=1, le=10_000)
    requests_waiting: int = Field(128, ge=0, le=10_000)
    request_patience: float = Field(0.05, ge=0, le=10, description="wait for a place, then 503")
    database_deadline: float = Field(0.5, gt=0, le=30)
    database_connections: int = Field(8, ge=1, le=100)
    database_wait: float = Field(0.2, gt=0, le=30, description="wait for a connection, then 503")
    feedback_deadline: float = Field(0.5, gt=0, le=30)
    feedback_connections: int = Field(48, ge=1, le=1000, description="calls at once; fewer than requests_at_once")
    write_attempts: int = Field(5, ge=1, le=20)
    refunds_every: float = Field(10.0, gt=0, le=3600, description="how often refunded tips are counted")

    cashless_methods: frozenset[str] = frozenset(
        {"card", "online", "sbp", "apple_pay", "google_pay", "yandex_pay", "sber_pay", "account"}
    )
    maximum: dict[str, Minor] = Field(default_factory=lambda: {"RUB": 500_000})
    default_maximum: Minor | None = None
    maximum_share: Percent = Decimal(100)
    negative_rating: int = Field(3, ge=0)
    hold_after: Seconds = 30 * 60
    hold_until: Seconds = 24 * 3600
    places: tuple[PlaceRules, ...] = ()

    zones: frozenset[str] = Field(frozenset({"moscow", "spb"}), description="metric labels; others are `other`")
    tariffs: frozenset[str] = Field(frozenset({"express", "planned"}), description="metric labels; others are `other`")
    currencies: frozenset[str] = Field(frozenset({"RUB"}), description="metric labels; others are `other`")

    @model_validator(mode="after")
    def _the_rules_fit_together(self) -> Self:
        _ = self.book
        return self

    @property
    def book(self) -> RuleBook:
        """The constants of the rules, by zone and tariff."""
        default = TipsRules(
            cashless_methods=self.cashless_methods,
            maximum=self.maximum,
            default_maximum=self.default_maximum,
            maximum_share=self.maximum_share,
            negative_rating=self.negative_rating,
            hold_after=timedelta(seconds=self.hold_after),
            hold_until=timedelta(seconds=self.hold_until),
        )
        return RuleBook(default, [place.local for place in self.places])
