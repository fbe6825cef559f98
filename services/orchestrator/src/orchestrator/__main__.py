"""``python -m orchestrator serve | migrate | openapi | check-orders``."""

from __future__ import annotations

from common.postgres import migrate
from common.service import required, service_cli
from orchestrator.api import NAME, VERSION, openapi
from orchestrator.app import build
from orchestrator.orders.check_command import check_orders
from orchestrator.settings import OrchestratorSettings


async def migrate_database(settings: OrchestratorSettings) -> None:
    """Bring the orders database to this release's schema."""
    await migrate(required(settings.postgres_dsn, OrchestratorSettings, "postgres_dsn"), NAME)


main = service_cli(
    service=NAME,
    version=VERSION,
    settings=OrchestratorSettings,
    build=build,
    migrate=migrate_database,
    openapi=openapi,
    checks={"check-orders": check_orders},
)


if __name__ == "__main__":
    main()
