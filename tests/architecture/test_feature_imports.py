"""Routes stand above everything else in a feature, and reach no other feature's tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.feature_imports import (
    Service,
    routes_reached_from_below,
    stores_of_others_reached_from_routes,
)

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("services/*/src/*/__main__.py"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_only_app_and_api_import_routes(package: Path) -> None:
    assert routes_reached_from_below(Service(package)) == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_routes_import_no_other_features_store(package: Path) -> None:
    assert stores_of_others_reached_from_routes(Service(package)) == []


@pytest.fixture
def seeded(tmp_path: Path) -> Service:
    """A service in which both rules are broken once, in the two ways that an import can be written."""
    package = tmp_path / "shop"
    for name, text in {
        "api.py": "from shop.orders.routes import order_routes",
        "orders/routes.py": "from shop.orders.store import Orders\nfrom shop.tips import store\nimport shop.tips.rules",
        "orders/store.py": "import shop.orders.routes",
        "tips/store.py": "",
        "tips/rules.py": "",
    }.items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Service(package)


def test_a_store_that_imports_routes_is_found(seeded: Service) -> None:
    assert routes_reached_from_below(seeded) == ["shop.orders.store imports orders.routes"]


def test_routes_that_import_another_features_store_are_found(seeded: Service) -> None:
    assert stores_of_others_reached_from_routes(seeded) == ["shop.orders.routes imports tips.store"]
