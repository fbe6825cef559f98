"""``python -m orchestrator serve | migrate | openapi | check-orders``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.postgres import migrate
from common.service import required, service_cli
from orchestrator.api import NAME, VERSION, openapi
from orchestrator.app import build
from orchestrator.orders.check_command import check_orders
from orchestrator.settings import OrchestratorSettings


async def migrate_database(settings: OrchestratorSettings) -> None:
    """Bring the orders database to this release's schema."""
    await migrate(required(settings.postgres_dsn, OrchestratorSettings, "postgres_dsn"), NAME)


_service = service_cli(
    service=NAME,
    version=VERSION,
    settings=OrchestratorSettings,
    build=build,
    migrate=migrate_database,
    openapi=openapi,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. ``check-orders`` has options of its own and needs none of the service's settings."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["check-orders"]:
        sys.exit(check_orders(words[1:]))
    _service(words)


if __name__ == "__main__":
    main()
