"""Every setting of every service is named, with a line that says what it is, where operators look for it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from common.service import load_settings
from suite_local.catalogue import GATEWAY, WITH_CONSOLE, Service
from suite_local.shipped import kubernetes_environment
from tests.support.service_settings import settings_of

NOT_THERE = {"TIPS_AMQP_URL"}  # tips speaks with no broker
POD = "REPLICA"  # on Kubernetes the Pod's own name


@pytest.fixture(scope="module")
def tuning(repository: Path) -> dict[str, str]:
    """`deploy/tuning.env.example` as it is when nothing is commented out; each line explained by the one before."""
    lines = (repository / "deploy" / "tuning.env.example").read_text().splitlines()
    found: dict[str, str] = {}
    for explanation, line in itertools.pairwise(lines):
        if named := re.fullmatch(r"#([A-Z][A-Z0-9_]+)=(.*)", line):
            assert re.match(r"# \w", explanation), line
            assert named[1] not in found, line
            found[named[1]] = named[2]
    return found


@pytest.mark.parametrize("service", WITH_CONSOLE, ids=lambda service: service.name)
def test_every_setting_is_named_in_the_examples_of_both_environments(
    service: Service, compose: dict[str, Any], tuning: dict[str, str], repository: Path
) -> None:
    known = {f"{service.prefix}{field.upper()}" for field in settings_of(service).model_fields} - NOT_THERE
    of_service = {name for name in tuning if name.startswith(service.prefix)}
    container = "webhook-gateway-1" if service == GATEWAY else service.name
    told = set(compose["services"][container]["environment"])
    told |= set(compose["services"].get(f"migrate-{service.name}", {}).get("environment", ()))
    assert (known - told - of_service, of_service - known) == (set(), set())
    assert told & of_service == set()  # compose's own would win over the file
    folder = repository / "deploy" / "k8s"
    files = [folder / "settings" / "settings.yaml", *(folder / "secrets.example").glob("*.env")]
    named = {name for file in files for name in re.findall(r"\b[A-Z][A-Z0-9_]+\b", file.read_text())}
    assert known - named - of_service == {f"{service.prefix}{POD}"}


@pytest.mark.parametrize("service", WITH_CONSOLE, ids=lambda service: service.name)
def test_the_values_that_are_named_are_those_that_hold_without_them(
    service: Service, tuning: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    for told in ({}, tuning):
        with monkeypatch.context() as environment:
            for name, value in {**told, **kubernetes_environment(service.name)}.items():
                environment.setenv(name, value)
            loaded.append(load_settings(settings_of(service)))
    assert loaded[0] == loaded[1]


def test_every_service_and_migration_is_given_the_file_where_there_is_one(
    compose: dict[str, Any], repository: Path
) -> None:
    optional = [{"path": "tuning.env", "required": False}]
    for name, definition in compose["services"].items():
        if re.fullmatch(rf"(migrate-)?({'|'.join(each.name for each in WITH_CONSOLE)})(-\d)?", name):
            assert definition["env_file"] == optional, name
    manifests = "".join(file.read_text() for file in (repository / "deploy" / "k8s").rglob("*.yaml"))
    of_services = re.findall(r"configMapRef: \{ name: ((?!edge)[\w-]+)-settings \}", manifests)
    assert manifests.count("configMapRef: { name: suite-tuning, optional: true }") == len(of_services)
    assert set(of_services) == {service.name for service in WITH_CONSOLE}
