"""The settings class of a service, or of the console."""

from __future__ import annotations

import importlib

from common.service import ProcessSettings
from suite_local.catalogue import CONSOLE, Service


def settings_of(service: Service) -> type[ProcessSettings]:
    """Return the class that its process reads its environment with."""
    module = importlib.import_module("console.web.settings" if service is CONSOLE else f"{service.package}.settings")
    [found] = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ProcessSettings) and value.__module__ == module.__name__
    ]
    return found
