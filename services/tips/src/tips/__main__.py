"""``python -m tips serve | openapi``."""

from __future__ import annotations

from common.service import service_cli
from tips.app import NAME, build, openapi
from tips.settings import TipsSettings

main = service_cli(service=NAME, settings=TipsSettings, build=build, openapi=openapi)

if __name__ == "__main__":
    main(None)
