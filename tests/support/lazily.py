"""Modules that are imported when something of them is first used."""

import importlib
from typing import Any


class Lazily:
    """Stands for the module of that name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Import the module, and give what is asked of it. What pytest looks for in everything that it finds is not there."""
        if attribute.startswith("_") or attribute == "pytestmark":
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
