"""Settings of the orchestrator, from the environment (``ORCHESTRATOR_…``)."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from common.service import OwnerSettings, RetentionSettings, ServiceSettings
from orchestrator.engine.worker import WorkerLimits
from orchestrator.tips.own_rules import OldTipsRules, RulesByPlace

_CALL_LINGER_S = 0.3


class TipsPlace(BaseModel):
    """Constants of the tips rules that differ for a zone, a tariff, or a tariff in a zone; the same JSON as services/tips takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str | None = None
    tariff: str | None = None
    cashless_methods: frozenset[str] = frozenset()
    maximum: dict[str, int] = Field(default_factory=dict)
    default_maximum: int | None = None
    maximum_share: Decimal = Decimal(100)
    negative_rating: int = 3
    hold_after: timedelta = timedelta(minutes=30)
    hold_until: timedelta = timedelta(hours=24)

    @property
    def changes(self) -> dict[str, Any]:
        """Only what was named."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"zone", "tariff"}}


class OrchestratorSettings(RetentionSettings, OwnerSettings, ServiceSettings):
    """Times are in seconds.

    ``parking_limit`` must be longer than the oldest record that a gateway's spool may hold: only then is an order
    whose ``created`` has not come an incident. ``lease`` must be far longer than a batch takes. Events of finished workflows are kept for
    ``keep_events_days``, marks of what was taken in for ``keep_inbox_days``: longer than anything may be delivered again after.
    ``metric_sources`` are told apart in metrics, all others are ``other``. ``zones_by_store`` and
    ``tariffs_by_shipment`` are JSON objects for marketplaces that name neither zone nor tariff.

    ``call_…``: workers of the workflows that call other services; ``call_lease`` must be far above all deadlines together. The caller's
    own rules of tips need ``feedback_url``; without it nobody decides tips. The service needs ``tips_url`` and ``internal_token_file``; its
    shadow mode ``shadow_token_file`` (role viewer). The constants of the rules are those of services/tips, sums in minor units.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix="ORCHESTRATOR_", extra="ignore", env_ignore_empty=True)

    port: int = Field(default=8082, ge=0, le=65535)
    database_connections: int = Field(default=12, ge=6, le=200)
    workers: int = Field(default=2, ge=1, le=32)
    batch_size: int = Field(default=200, ge=1, le=1000)
    intake_batch_size: int = Field(default=200, ge=1, le=2000)
    lease: float = Field(default=30.0, ge=0.5, le=600)
    poll: float = Field(default=1.0, gt=0, le=60)
    max_attempts: int = Field(default=5, ge=1, le=100)
    retry_base: float = Field(default=1.0, gt=0, le=60)
    retry_cap: float = Field(default=60.0, gt=0, le=3600)
    parking_limit: float = Field(default=26 * 3600.0, gt=0)
    measure_every: float = Field(default=5.0, gt=0, le=300)
    upkeep_every: float = Field(default=1.0, gt=0, le=300)
    keep_events_days: float = Field(default=90.0, ge=1, le=36500)
    keep_customers_days: float = Field(
        default=1095.0, ge=1, le=36500, description="customers in orders, their events, documents and timelines"
    )
    keep_timeline_days: float = Field(
        default=1095.0, ge=1, le=36500, description="the story of an order, from the last that happened to it"
    )
    keep_inbox_days: float = Field(default=45.0, ge=2, le=36500)
    prune_every: float = Field(default=3600.0, gt=0, le=86400)
    metric_sources: tuple[str, ...] = ("sbermarket", "kuper", "website")
    zones_by_store: dict[str, str] = Field(default_factory=dict)
    tariffs_by_shipment: dict[str, str] = Field(default_factory=dict)

    call_workers: int = Field(default=1, ge=1, le=32)
    call_batch_size: int = Field(default=32, ge=1, le=1000)
    call_concurrency: int = Field(default=16, ge=1, le=1000)
    call_lease: float = Field(default=60.0, ge=0.5, le=600)
    deferred_delay: float = Field(default=5.0, gt=0, le=600)
    refund_answer_within: float = Field(default=900.0, gt=0)

    tips_url: AnyHttpUrl | None = None
    internal_token_file: Path | None = None
    shadow_token_file: Path | None = None
    tips_deadline: float = Field(default=1.0, gt=0, le=10)
    tips_breaker_failures: int = Field(default=5, ge=1)
    tips_breaker_pause: float = Field(default=2.0, ge=0, le=300)
    experiment_deadline: float = Field(default=0.2, gt=0, le=10)
    flags_every: float = Field(default=0.5, gt=0, le=0.8, description="the kill switch holds within a second")
    flags_max_age: float = Field(default=5.0, ge=1, le=60)
    feedback_url: AnyHttpUrl | None = None
    feedback_deadline: float = Field(default=0.7, gt=0, le=10)
    tips_cashless_methods: frozenset[str] = frozenset(
        {"card", "online", "sbp", "apple_pay", "google_pay", "yandex_pay", "sber_pay", "account"}
    )
    tips_maximum: dict[str, int] = Field(default_factory=lambda: {"RUB": 500_000})
    tips_default_maximum: int | None = Field(default=None, ge=0)
    tips_maximum_share: Decimal = Field(default=Decimal(100), ge=0, le=100, allow_inf_nan=False)
    tips_negative_rating: int = Field(default=3, ge=0)
    tips_hold_after: float = Field(default=30 * 60, ge=0)
    tips_hold_until: float = Field(default=24 * 3600, gt=0)
    tips_places: tuple[TipsPlace, ...] = ()
    tips_zones: frozenset[str] = Field(frozenset({"moscow", "spb"}), description="metric labels; others are `other`")
    tips_tariffs: frozenset[str] = Field(
        frozenset({"express", "planned"}), description="metric labels; others are `other`"
    )
    tips_currencies: frozenset[str] = Field(frozenset({"RUB"}), description="metric labels; others are `other`")

    @property
    def tips_rules(self) -> RulesByPlace:
        """The constants of the caller's own rules."""
        default = OldTipsRules(
            cashless_methods=self.tips_cashless_methods,
            maximum=self.tips_maximum,
            default_maximum=self.tips_default_maximum,
            maximum_share=self.tips_maximum_share,
            negative_rating=self.tips_negative_rating,
            hold_after=timedelta(seconds=self.tips_hold_after),
            hold_until=timedelta(seconds=self.tips_hold_until),
        )
        return RulesByPlace(default, {(place.zone, place.tariff): place.changes for place in self.tips_places})

    @property
    def call_limits(self) -> WorkerLimits:
        """What bounds a worker of the pool of calls: tips, documents, refunds, for none of which anybody stands and waits."""
        limits = replace(self.worker_limits, batch_size=self.call_batch_size, lease_seconds=self.call_lease)
        return replace(limits, linger_seconds=_CALL_LINGER_S)

    @property
    def worker_limits(self) -> WorkerLimits:
        """What bounds a worker."""
        return WorkerLimits(
            batch_size=self.batch_size,
            lease_seconds=self.lease,
            poll_seconds=self.poll,
            max_attempts=self.max_attempts,
            retry_base=self.retry_base,
            retry_cap=self.retry_cap,
        )
