"""``python -m notifier serve | migrate | openapi``."""

from __future__ import annotations

from common.service import service_cli
from notifier.api import openapi
from notifier.app import build
from notifier.settings import NotifierSettings

main = service_cli(service="notifier", settings=NotifierSettings, build=build, schema="notifier", openapi=openapi)

if __name__ == "__main__":
    main(None)
