"""``python -m refunds serve | migrate | openapi | check-refunds``."""

from __future__ import annotations

from common.service import service_cli
from refunds.app import NAME, build, openapi
from refunds.reconciliation.check_refunds import check_refunds
from refunds.settings import RefundsSettings

main = service_cli(
    service=NAME,
    settings=RefundsSettings,
    build=build,
    schema=NAME,
    openapi=openapi,
    checks={"check-refunds": check_refunds},
)

if __name__ == "__main__":
    main(None)
