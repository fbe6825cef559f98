"""What imports what between the modules of a service, for rules that import-linter has no contract for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


class Service:
    """The package of a service. Modules are named from the package on: ``deliveries.store``."""

    def __init__(self, package: Path) -> None:
        self.name = package.name
        self._package = package
        self._modules = {
            ".".join(path.relative_to(package).with_suffix("").parts): path for path in sorted(package.rglob("*.py"))
        }

    @property
    def imports(self) -> Iterator[tuple[str, str]]:
        """Every import of one of its modules by another, as (importer, imported)."""
        for importer, path in self._modules.items():
            for imported in sorted(set(_imported(ast.parse(path.read_text()), self.name))):
                module = self._module(imported)
                if module is not None and module != importer:
                    yield importer, module

    def _module(self, dotted: str) -> str | None:
        """The module that a dotted name lies in: ``deliveries.store.Deliveries`` lies in ``deliveries.store``."""
        while dotted and dotted not in self._modules:
            dotted = dotted.rpartition(".")[0]
        return dotted or None


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}."))


def is_routes(module: str) -> bool:
    """Whether it is a feature's HTTP: ``deliveries.routes``, ``engine.bulk_routes``."""
    return "." in module and _last(module).endswith("routes")


def is_store(module: str) -> bool:
    """Whether it is a feature's SQL: ``deliveries.store``, ``duty.roster_store``."""
    return "." in module and _last(module).endswith("store")


def feature_of(module: str) -> str:
    """The folder that a module lies in."""
    return module.partition(".")[0]


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def routes_reached_from_below(service: Service) -> list[str]:
    """Imports of routes by anything but ``app``, ``api`` and other routes: stores and providers know nothing of HTTP."""
    return [
        f"{service.name}.{importer} imports {imported}"
        for importer, imported in service.imports
        if is_routes(imported) and _last(importer) not in ("app", "api") and not is_routes(importer)
    ]


def stores_of_others_reached_from_routes(service: Service) -> list[str]:
    """Imports of a store by routes of another feature."""
    return [
        f"{service.name}.{importer} imports {imported}"
        for importer, imported in service.imports
        if is_routes(importer) and is_store(imported) and feature_of(importer) != feature_of(imported)
    ]
