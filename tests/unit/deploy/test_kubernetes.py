"""deploy/k8s: held against the Kubernetes API's own models, the Dockerfile, and what the services can really be told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import SecretStr, ValidationError

from common.http import TokenBook
from common.http.auth import fingerprint
from common.messaging.accounts import RIGHTS
from common.service import load_settings
from notifier.people.file import read_people
from notifier.routing.file import read_routes
from suite_local.catalogue import CONSOLE, GATEWAY, NOTIFIER, SERVICES, WITH_CONSOLE, Service
from tests.support.kubernetes import Manifest, fits, manifests_of, pods, workload
from tests.support.service_settings import settings_of
from webhook_gateway.hooks.sources import load_sources
from webhook_gateway.website.sites import load_sites

MIGRATED = [service for service in SERVICES if service.database is not None]
PUBLIC = {("/", "edge")}  # the edge decides, as in compose
PAGES = {("/", "console"), ("/on-call", "notifier"), ("/on-call.ics", "notifier")}
CLOSED = re.compile(r"location ~ \^/\(([^)]+)\)\(/\|\$\) \{\s+return 404;")
"""What nginx before the console keeps from people."""


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    """Where the manifests are."""
    return repository / "deploy" / "k8s"


@pytest.fixture(scope="module")
def manifests(repository: Path) -> dict[tuple[str, str], Manifest]:
    """Everything that the kustomizations apply, by kind and name."""
    return manifests_of(repository)


def secrets_of(service: Service, folder: Path) -> dict[str, str]:
    """The example of the service's Secret of variables."""
    lines = (folder / "secrets.example" / f"{service.name}-secrets.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_every_manifest_is_what_the_kubernetes_api_knows(manifests: dict[tuple[str, str], Manifest]) -> None:
    for manifest in manifests.values():
        fits(manifest)


@pytest.mark.parametrize("spec", [{"maxUnavailble": 1}, {"selector": "tips"}, {"selector": {"matchLabel": {}}}])
def test_a_field_that_is_misspelt_or_of_another_type_is_found(
    spec: Manifest, manifests: dict[tuple[str, str], Manifest]
) -> None:
    with pytest.raises(ValidationError):
        fits({**manifests["PodDisruptionBudget", "tips"], "spec": spec})


def test_every_file_is_applied_and_every_image_has_a_release(folder: Path) -> None:
    for part in ("settings", "migrations", "services"):
        kustomization = yaml.safe_load((folder / part / "kustomization.yaml").read_text())
        files = {path.name for path in (folder / part).glob("*.yaml")} - {"kustomization.yaml"}
        assert files == {name for name in kustomization["resources"] if name.endswith(".yaml")}
        named = set(re.findall(r"image: (\S+)", "".join((folder / part / name).read_text() for name in files)))
        assert named == {image["name"] for image in kustomization.get("images", [])}
        assert all(image["newTag"] != "latest" for image in kustomization.get("images", []))


@pytest.mark.parametrize("service", WITH_CONSOLE, ids=lambda service: service.name)
def test_a_service_starts_with_what_its_config_map_and_its_secret_say(
    service: Service, manifests: dict[tuple[str, str], Manifest], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = manifests["ConfigMap", f"{service.name}-settings"]["data"]
    secret = secrets_of(service, folder)
    settings = settings_of(service)
    assert {*told, *secret} <= {f"{service.prefix}{field.upper()}" for field in settings.model_fields}
    assert told.keys() & secret.keys() == set()
    for variable, value in {**told, **secret}.items():
        monkeypatch.setenv(variable, value)
    loaded = load_settings(settings)
    assert (loaded.host, loaded.port) == ("0.0.0.0", service.port)  # noqa: S104 - compared, not bound
    hidden = {
        f"{service.prefix}{field.upper()}"
        for field in settings.model_fields
        if isinstance(getattr(loaded, field), SecretStr)
    }
    assert hidden <= secret.keys()


@pytest.mark.parametrize("service", WITH_CONSOLE, ids=lambda service: service.name)
def test_a_service_listens_where_its_image_and_its_service_say_and_is_asked_there(
    service: Service, manifests: dict[tuple[str, str], Manifest]
) -> None:
    manifest = workload(service, manifests)
    spec = manifest["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert (container["image"], container["ports"]) == (
        f"order-suite/{service.name}",
        [{"name": "http", "containerPort": service.port}],
    )
    assert {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        "startupProbe": {"path": "/livez", "port": "http"},
        "livenessProbe": {"path": "/livez", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }
    assert manifests["Service", service.name]["spec"]["ports"] == [
        {"name": "http", "port": service.port, "targetPort": "http"}
    ]
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    for selector in (
        manifest["spec"]["selector"]["matchLabels"],
        manifests["Service", service.name]["spec"]["selector"],
        manifests["PodDisruptionBudget", service.name]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
        assert selector == {"app.kubernetes.io/name": service.name}
    assert manifest["spec"]["replicas"] > manifests["PodDisruptionBudget", service.name]["spec"]["maxUnavailable"]
    [_, pause] = container["lifecycle"]["preStop"]["exec"]["command"]
    assert spec["terminationGracePeriodSeconds"] >= int(pause) + 10  # a service drains for so long


def test_every_pod_is_bounded_unprivileged_and_told_nothing_by_service_links(
    manifests: dict[tuple[str, str], Manifest], repository: Path
) -> None:
    [user] = re.findall(r"(?m)^USER (\d+):\1$", (repository / "deploy/docker/Dockerfile").read_text())
    found = pods(manifests)
    assert set(found) == {
        *(service.name for service in WITH_CONSOLE),
        *(f"migrate-{service.name}" for service in MIGRATED),
    }
    for name, spec in found.items():
        assert (spec["enableServiceLinks"], spec["automountServiceAccountToken"]) == (False, False), name
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": int(user),
            "runAsGroup": int(user),
            "fsGroup": int(user),
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name
        containers = [*spec["containers"], *spec.get("initContainers", ())]
        for container in containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert set(container["resources"]["limits"]) == {"memory"}, name
            assert "env" not in container  # everything by reference, to a ConfigMap or a Secret
        mounted = {mount["name"] for container in containers for mount in container["volumeMounts"]}
        claims = {"spool"} if name == "webhook-gateway" else set()
        assert mounted == {volume["name"] for volume in spec["volumes"]} | claims, name


@pytest.mark.parametrize("service", MIGRATED, ids=lambda service: service.name)
def test_each_database_has_a_migration_that_is_told_what_its_service_is(
    service: Service, manifests: dict[tuple[str, str], Manifest]
) -> None:
    [job] = pods(manifests)[f"migrate-{service.name}"]["containers"]
    [container] = pods(manifests)[service.name]["containers"]
    assert (job["args"], job["image"]) == (["migrate"], container["image"])
    owner = {"secretRef": {"name": f"{service.name}-migration-secrets", "optional": True}}
    assert job["envFrom"] == [*container["envFrom"], owner]


def test_no_secret_is_in_a_manifest_and_every_one_that_is_named_has_an_example(
    manifests: dict[tuple[str, str], Manifest], folder: Path
) -> None:
    assert [key for key in manifests if key[0] == "Secret"] == []
    specs = pods(manifests).values()
    of_variables = {
        each["secretRef"]["name"]
        for spec in specs
        for container in spec["containers"]
        for each in container["envFrom"]
        if "secretRef" in each
    }
    of_files = {volume["secret"]["secretName"] for spec in specs for volume in spec["volumes"] if "secret" in volume}
    examples = folder / "secrets.example"
    assert of_variables == {path.stem for path in examples.glob("*.env")}
    assert of_files == {path.name for path in examples.iterdir() if path.is_dir()}
    TokenBook.load(examples / "suite-files" / "tokens.json")
    TokenBook.load(examples / "notifier-files" / "tokens.json")
    people = read_people((examples / "notifier-files" / "people.json").read_bytes(), name="people").people.values()
    read_routes((examples / "notifier-files" / "routes.json").read_bytes(), name="routes")
    known = json.loads((examples / "suite-files" / "tokens.json").read_text())["tokens"]
    assert {fingerprint(person.token or "") for person in people} <= {each["sha256"] for each in known}
    TokenBook.load(examples / "webhook-gateway-files" / "tokens.json")
    assert set(load_sources(examples / "webhook-gateway-files" / "sources.json")) == {"sbermarket"}
    sites = load_sites(examples / "webhook-gateway-files" / "websites.json", currency="EUR")
    assert sites.of_server("203.0.113.80").currency == "RUB"
    owners = {each["sha256"]: each["name"] for each in known}
    for name, owner in (("orchestrator", "orchestrator"), ("refunds", "refunds"), ("viewer", "shadow")):
        assert owners[fingerprint((examples / "suite-files" / f"{name}-token").read_text())] == owner


def test_a_pod_is_given_the_files_that_its_settings_name_and_no_others(
    manifests: dict[tuple[str, str], Manifest], folder: Path
) -> None:
    for service in SERVICES:
        [secret] = [
            volume["secret"] for volume in pods(manifests)[service.name]["volumes"] if volume["name"] == "files"
        ]
        there = {path.name for path in (folder / "secrets.example" / secret["secretName"]).iterdir()}
        given = {each["path"] for each in secret["items"]} if "items" in secret else there
        assert given <= there
        kept = {f"/run/suite/{name}" for name in given}
        told = manifests["ConfigMap", f"{service.name}-settings"]["data"]
        # No more than that: a token that another service sends is none of this one's business.
        assert {value for value in told.values() if value.startswith("/run/suite/")} == kept, service.name


def test_a_gateways_spool_outlives_it_and_no_autoscaler_takes_one_away(
    manifests: dict[tuple[str, str], Manifest],
) -> None:
    gateway = manifests["StatefulSet", "webhook-gateway"]["spec"]
    told = manifests["ConfigMap", "webhook-gateway-settings"]["data"]
    [container] = gateway["template"]["spec"]["containers"]
    assert {"name": "spool", "mountPath": told["WEBHOOK_GATEWAY_SPOOL_DIR"]} in container["volumeMounts"]
    assert gateway["persistentVolumeClaimRetentionPolicy"] == {"whenScaled": "Retain", "whenDeleted": "Retain"}
    assert ("Service", gateway["serviceName"]) in manifests
    [claim] = gateway["volumeClaimTemplates"]
    size = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 1024**3
    assert int(told["WEBHOOK_GATEWAY_SPOOL_LIMIT_BYTES"]) * 2 <= size
    scaler = manifests["HorizontalPodAutoscaler", "webhook-gateway"]["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "webhook-gateway"}
    assert scaler["minReplicas"] == gateway["replicas"]
    assert scaler["behavior"]["scaleDown"] == {"selectPolicy": "Disabled"}


def test_the_edge_beside_a_gateway_notes_refusals_where_that_reads(
    manifests: dict[tuple[str, str], Manifest], compose: dict[str, Any], repository: Path
) -> None:
    spec = pods(manifests)["webhook-gateway"]
    [container] = spec["containers"]
    [nginx] = spec["initContainers"]
    told = manifests["ConfigMap", "edge-settings"]["data"]
    beside = compose["services"]["nginx"]
    assert (nginx["restartPolicy"], nginx["args"]) == ("Always", beside["command"])  # a sidecar, not a step
    assert set(told) == set(beside["environment"])
    for name in ("EDGE_LOG_DIR", "EDGE_LISTEN", "NGINX_ENVSUBST_FILTER"):
        assert told[name] == beside["environment"][name]
    log = {"name": "spool", "mountPath": told["EDGE_LOG_DIR"], "subPath": "edge-log"}
    assert log in nginx["volumeMounts"]
    assert log in container["volumeMounts"]
    gateway = manifests["ConfigMap", "webhook-gateway-settings"]["data"]
    assert gateway["WEBHOOK_GATEWAY_EDGE_LOG_DIR"] == told["EDGE_LOG_DIR"]
    assert manifests["Service", "edge"]["spec"]["ports"][0]["targetPort"] == nginx["ports"][0]["name"]
    kept = (repository / "deploy" / "k8s" / "README.md").read_text()
    folder = repository / "deploy" / "nginx"
    for file in (folder / "nginx.conf", *(folder / "templates").iterdir()):
        assert f"--from-file={file.relative_to(repository)}" in kept


def test_a_service_speaks_with_the_broker_by_its_own_account(folder: Path) -> None:
    examples = (folder / "secrets.example").glob("*-secrets.env")
    lines = [line for file in examples for line in file.read_text().splitlines() if "_AMQP_URL=" in line]
    named = [line.split("_AMQP_URL=") for line in lines]
    accounts = {name.lower().replace("_", "-"): urlsplit(address).username for name, address in named}
    assert accounts == {service: service for service in RIGHTS}


def test_services_are_told_addresses_that_there_are(manifests: dict[tuple[str, str], Manifest]) -> None:
    addresses = {f"http://{service.name}:{service.port}" for service in SERVICES}
    told = {
        value
        for (kind, _), manifest in manifests.items()
        if kind == "ConfigMap"
        for value in manifest["data"].values()
        if value.startswith("http:")
    }
    assert told
    assert told <= addresses


def test_the_outside_reaches_the_public_addresses_and_nothing_else(manifests: dict[tuple[str, str], Manifest]) -> None:
    [rule] = manifests["Ingress", "order-suite"]["spec"]["rules"]
    shown = {(path["path"], path["backend"]["service"]["name"]) for path in rule["http"]["paths"]}
    assert shown == PUBLIC
    assert {path["backend"]["service"]["port"]["name"] for path in rule["http"]["paths"]} == {"http"}


def test_people_of_the_inner_network_reach_the_console_where_messages_link_to(
    manifests: dict[tuple[str, str], Manifest], folder: Path, repository: Path
) -> None:
    spec = manifests["Ingress", "order-suite-console"]["spec"]
    [rule] = spec["rules"]
    [names] = CLOSED.findall((repository / "deploy/nginx/console/console.conf.template").read_text())
    closed = {f"/{name}" for name in names.replace("\\", "").split("|")}
    assert "/metrics" in closed
    shown = {(path["path"], path["backend"]["service"]["name"]) for path in rule["http"]["paths"]}
    assert shown == PAGES | {(path, "edge") for path in closed}
    assert {path["pathType"] for path in rule["http"]["paths"] if path["path"] in closed} == {"Prefix"}
    public = f"https://{rule['host']}"
    assert [each["hosts"] for each in spec["tls"]] == [[rule["host"]]]
    assert {
        secrets_of(CONSOLE, folder)["CONSOLE_PUBLIC_URL"],
        secrets_of(NOTIFIER, folder)["NOTIFIER_CONSOLE_URL"],
        secrets_of(GATEWAY, folder)["WEBHOOK_GATEWAY_PUBLIC_URL"],
    } == {public}
