"""Settings of the orchestrator, from the environment (``ORCHESTRATOR_…``)."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from common.service import ServiceSettings
from orchestrator.application.engine import WorkerLimits


class OrchestratorSettings(ServiceSettings):
    """Times are in seconds.

    ``parking_limit`` must be longer than the oldest record that a gateway's spool may hold (DECISIONS "Orders"): only then is an order
    whose ``created`` has not come an incident. ``lease`` must be far longer than a batch takes. Events of finished workflows are kept for
    ``keep_events_days``, marks of what was taken in for ``keep_inbox_days``: longer than anything may be delivered again after.
    ``metric_sources`` are told apart in metrics, all others are ``other``. ``zones_by_store`` and
    ``tariffs_by_shipment`` are JSON objects for marketplaces that name neither zone nor tariff.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix="ORCHESTRATOR_", extra="ignore", env_ignore_empty=True)

    port: int = Field(default=8082, ge=0, le=65535)
    database_connections: int = Field(default=12, ge=6, le=200)
    workers: int = Field(default=2, ge=1, le=32)
    batch_size: int = Field(default=200, ge=1, le=1000)
    intake_batch_size: int = Field(default=200, ge=1, le=2000)
    lease: float = Field(default=30.0, ge=0.5, le=600)
    poll: float = Field(default=0.5, gt=0, le=60)
    max_attempts: int = Field(default=5, ge=1, le=100)
    retry_base: float = Field(default=1.0, gt=0, le=60)
    retry_cap: float = Field(default=60.0, gt=0, le=3600)
    parking_limit: float = Field(default=26 * 3600.0, gt=0)
    measure_every: float = Field(default=5.0, gt=0, le=300)
    upkeep_every: float = Field(default=1.0, gt=0, le=300)
    keep_events_days: float = Field(default=90.0, ge=1, le=36500)
    keep_inbox_days: float = Field(default=45.0, ge=2, le=36500)
    prune_every: float = Field(default=3600.0, gt=0, le=86400)
    metric_sources: tuple[str, ...] = ("sbermarket", "kuper", "website")
    zones_by_store: dict[str, str] = Field(default_factory=dict)
    tariffs_by_shipment: dict[str, str] = Field(default_factory=dict)

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
