"""``python -m notifier serve | migrate | openapi``."""

from __future__ import annotations

from common.postgres import migrate
from common.service import required, service_cli
from notifier.api import openapi
from notifier.app import build
from notifier.settings import NotifierSettings


async def _migrate(settings: NotifierSettings) -> None:
    await migrate(required(settings.postgres_dsn, NotifierSettings, "postgres_dsn"), "notifier")


main = service_cli(service="notifier", settings=NotifierSettings, build=build, migrate=_migrate, openapi=openapi)

if __name__ == "__main__":
    main(None)
