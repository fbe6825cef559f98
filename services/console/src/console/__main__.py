"""``python -m console serve``: the console in a browser."""

from __future__ import annotations

from common.service import service_cli
from console.web.app import NAME, build
from console.web.settings import ConsoleSettings

main = service_cli(service=NAME, settings=ConsoleSettings, build=build)

if __name__ == "__main__":
    main(None)
