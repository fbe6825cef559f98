"""``python -m refunds serve | migrate | openapi | check-refunds``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.postgres import migrate
from common.service import required, service_cli
from refunds.app import NAME, VERSION, build, openapi
from refunds.reconciliation.check_refunds import check_refunds
from refunds.settings import RefundsSettings


async def _migrate(settings: RefundsSettings) -> None:
    await migrate(required(settings.postgres_dsn, RefundsSettings, "postgres_dsn"), NAME)


_service = service_cli(
    service=NAME, version=VERSION, settings=RefundsSettings, build=build, migrate=_migrate, openapi=openapi
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. ``check-refunds`` has options of its own and needs none of the service's settings."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["check-refunds"]:
        sys.exit(check_refunds(words[1:]))
    _service(words)


if __name__ == "__main__":
    main()
