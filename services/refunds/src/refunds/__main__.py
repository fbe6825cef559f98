"""``python -m refunds serve | migrate | openapi | check-refunds``."""

from __future__ import annotations

from common.postgres import migrate
from common.service import required, service_cli
from refunds.app import NAME, VERSION, build, openapi
from refunds.reconciliation.check_refunds import check_refunds
from refunds.settings import RefundsSettings


async def _migrate(settings: RefundsSettings) -> None:
    await migrate(required(settings.postgres_dsn, RefundsSettings, "postgres_dsn"), NAME)


main = service_cli(
    service=NAME,
    version=VERSION,
    settings=RefundsSettings,
    build=build,
    migrate=_migrate,
    openapi=openapi,
    checks={"check-refunds": check_refunds},
)

if __name__ == "__main__":
    main(None)
