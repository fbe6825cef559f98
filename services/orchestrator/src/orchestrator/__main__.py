"""``python -m orchestrator serve | migrate | openapi``."""

from __future__ import annotations

from common.postgres import migrate
from common.service import required, service_cli
from orchestrator.app import NAME, VERSION, build, openapi
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
)

if __name__ == "__main__":
    main(None)
