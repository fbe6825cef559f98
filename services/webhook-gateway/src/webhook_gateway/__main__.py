"""``python -m webhook_gateway serve | migrate | check-ledger``."""

from __future__ import annotations

from common.service import service_cli
from webhook_gateway.app import PACKAGE, build
from webhook_gateway.deliveries.ledger_command import check_ledger
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.settings import Settings

main = service_cli(
    service=SERVICE, settings=Settings, build=build, schema=PACKAGE, checks={"check-ledger": check_ledger}
)

if __name__ == "__main__":
    main()
