"""``python -m orchestrator serve | migrate | openapi | check-orders``."""

from __future__ import annotations

from common.service import service_cli
from orchestrator.api import NAME, openapi
from orchestrator.app import build
from orchestrator.orders.check_command import check_orders
from orchestrator.settings import OrchestratorSettings

main = service_cli(
    service=NAME,
    settings=OrchestratorSettings,
    build=build,
    schema=NAME,
    openapi=openapi,
    checks={"check-orders": check_orders},
)


if __name__ == "__main__":
    main()
