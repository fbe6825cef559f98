"""``python -m webhook_gateway serve | migrate | openapi | check-ledger``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.service import service_cli
from webhook_gateway.app import VERSION, build, migrate_database
from webhook_gateway.deliveries.ledger_command import check_ledger
from webhook_gateway.settings import Settings

_service = service_cli(
    service="webhook-gateway", version=VERSION, settings=Settings, build=build, migrate=migrate_database
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. ``check-ledger`` has options of its own and needs none of the service's settings."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["check-ledger"]:
        sys.exit(check_ledger(words[1:]))
    _service(words)


if __name__ == "__main__":
    main()
