"""compose.yaml: checked against the published schema, and against what the services can really be told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.http import TokenBook
from common.http.auth import fingerprint
from common.messaging.accounts import main
from common.service import load_settings
from notifier.people.file import read_people
from notifier.routing.file import read_routes
from sandbox.settings import ENV_PREFIX
from sandbox.settings import Settings as SandboxSettings
from suite_local.catalogue import SERVICES, WITH_CONSOLE, Service
from tests.support.service_settings import settings_of
from webhook_gateway.hooks.sources import load_sources
from webhook_gateway.website.sites import load_sites

JOBS = {
    *("provision", "broker-accounts"),
    *("migrate-webhook-gateway", "migrate-orchestrator", "migrate-refunds", "migrate-notifier"),
}
COMPLETED = {"condition": "service_completed_successfully"}


def _containers_of(service: Service, compose: dict[str, Any]) -> list[str]:
    return [name for name in compose["services"] if re.fullmatch(rf"(migrate-)?{service.name}(-\d)?", name)]


def test_compose_file_is_valid_by_the_compose_specification(repository: Path) -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"),
            str(repository / "deploy" / "compose.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("service", WITH_CONSOLE, ids=lambda service: service.name)
def test_every_container_is_given_only_settings_that_its_service_knows(
    service: Service, compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(service)
    known = {f"{service.prefix}{field.upper()}" for field in settings.model_fields}
    containers = _containers_of(service, compose)
    assert containers
    for name in containers:
        told = compose["services"][name]["environment"]
        assert set(told) <= known, name
        with monkeypatch.context() as environment:
            for variable, value in told.items():
                environment.setenv(variable, value)
            loaded = load_settings(settings)
        assert (loaded.host, loaded.port) == ("0.0.0.0", service.port)  # noqa: S104 - compared, not bound


def test_sandbox_is_told_what_it_knows_and_accepts_what_the_services_send(compose: dict[str, Any]) -> None:
    services = compose["services"]
    told = services["sandbox"]["environment"]
    assert set(told) <= {f"{ENV_PREFIX}{field.upper()}" for field in SandboxSettings.model_fields}
    assert (
        told["SANDBOX_TELEGRAM_TOKENS"],
        told["SANDBOX_SLACK_TOKENS"],
        told["SANDBOX_TRUST_SERVICE_TOKEN"],
        told["SANDBOX_MARKETPLACE_TOKEN"],
    ) == (
        services["notifier"]["environment"]["NOTIFIER_TELEGRAM_TOKEN"],
        services["notifier"]["environment"]["NOTIFIER_SLACK_TOKEN"],
        services["refunds"]["environment"]["REFUNDS_TRUST_SERVICE_TOKEN"],
        json.loads(compose["configs"]["sources"]["content"])["sbermarket"]["auth"]["tokens"][0],
    )


def test_files_made_of_the_development_values_are_read_by_the_services_own_readers(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("tokens", "gateway-tokens", "people", "routes", "sources", "websites"):
        (tmp_path / name).write_text(compose["configs"][name]["content"])
    TokenBook.load(tmp_path / "tokens")
    TokenBook.load(tmp_path / "gateway-tokens")
    assert set(load_sources(tmp_path / "sources")) == {"sbermarket"}
    people = read_people((tmp_path / "people").read_bytes(), name="people").people.values()
    read_routes((tmp_path / "routes").read_bytes(), name="routes")
    # A person's own token is known to every service, in the person's name and role.
    for file in ("tokens", "gateway-tokens"):
        entries = json.loads((tmp_path / file).read_text())["tokens"]
        known = {(entry["name"], entry["sha256"], entry["role"]) for entry in entries}
        assert {(person.id, fingerprint(person.token or ""), person.role) for person in people} <= known
        for config, caller, role in (
            ("orchestrator-token", "orchestrator", "internal"),
            ("refunds-token", "refunds", "internal"),
            ("alertmanager-token", "alertmanager", "internal"),
            ("viewer-token", "shadow", "viewer"),
        ):
            assert (caller, fingerprint(compose["configs"][config]["content"]), role) in known
    assert load_sites(tmp_path / "websites", currency="EUR").named("website").currency == "RUB"


def test_every_service_has_its_image_and_the_other_containers_pinned_ones(
    compose: dict[str, Any], repository: Path
) -> None:
    built = {
        definition["image"]: (definition["build"]["args"], definition["build"]["target"])
        for definition in compose["services"].values()
        if "build" in definition
    }
    python = {"PYTHON_IMAGE": "python:3.12-slim"}
    assert built == {
        **{
            f"order-suite/{service.name}:dev": (
                {"SERVICE": service.name, "PORT": str(service.port), **python},
                "service",
            )
            for service in WITH_CONSOLE
        },
        "order-suite/sandbox:dev": (
            {"SERVICE": "sandbox", "PORT": "8090", "PACKAGES": "deploy/sandbox", **python},
            "sandbox",
        ),
    }
    others = {definition["image"] for definition in compose["services"].values()} - set(built)
    assert [image for image in others if not re.search(r":v?\d", image)] == []
    for definition in compose["services"].values():
        if "build" in definition:
            assert (repository / definition["build"]["dockerfile"]).is_file()


def test_every_container_has_a_check_a_restart_policy_limits_and_bounded_logs(compose: dict[str, Any]) -> None:
    for name, definition in compose["services"].items():
        limits = definition["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory"}, name
        assert definition["logging"]["options"]["max-size"], name
        assert definition["security_opt"] == ["no-new-privileges:true"], name
        if name in JOBS:
            assert (definition["restart"], definition["healthcheck"]) == ("on-failure:5", {"disable": True}), name
        else:
            assert definition["restart"] == "unless-stopped", name
            assert definition["healthcheck"]["test"][0] == "CMD", name


def test_gateways_and_tips_come_first_when_processor_time_is_short(compose: dict[str, Any]) -> None:
    shares = {
        service.name: {
            compose["services"][name]["cpu_shares"] for name in _containers_of(service, compose) if name not in JOBS
        }
        for service in WITH_CONSOLE
    }
    assert shares == {name: {1024} if name in {"webhook-gateway", "tips"} else {512} for name in shares}


def test_own_containers_have_time_to_drain_and_no_capabilities(compose: dict[str, Any]) -> None:
    for service in WITH_CONSOLE:
        for name in _containers_of(service, compose):
            definition = compose["services"][name]
            assert definition["cap_drop"] == ["ALL"], name
            if name not in JOBS:
                assert definition["stop_grace_period"] == "12s", name  # the contract's 10 s, and then some


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for definition in compose["services"].values() for port in definition.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_three_gateways_each_keep_their_own_spool_and_nginx_knows_them_all(compose: dict[str, Any]) -> None:
    services = compose["services"]
    gateways = [f"webhook-gateway-{number}" for number in (1, 2, 3)]
    assert {name: services[name]["volumes"] for name in gateways} == {
        name: [f"spool-{number}:/var/lib/suite/spool", "edge-log:/var/log/suite-edge"]
        for number, name in enumerate(gateways, start=1)
    }
    assert {services[name]["environment"]["WEBHOOK_GATEWAY_SPOOL_DIR"] for name in gateways} == {"/var/lib/suite/spool"}
    assert [services["nginx"]["environment"][f"GATEWAY_{number}"] for number in (1, 2, 3)] == [
        f"{name}:8081 resolve" for name in gateways
    ]


def test_nginx_writes_its_log_where_every_gateway_reads_it_and_may_delete_it(
    compose: dict[str, Any], repository: Path
) -> None:
    services = compose["services"]
    told = services["nginx"]["environment"]
    folder = told["EDGE_LOG_DIR"]
    assert f"edge-log:{folder}" in services["nginx"]["volumes"]
    for number in (1, 2, 3):
        gateway = services[f"webhook-gateway-{number}"]
        assert gateway["environment"]["WEBHOOK_GATEWAY_EDGE_LOG_DIR"] == folder
    # A new volume has the rights of the first image that mounts it: a gateway's, on which nginx waits.
    assert f"-m 1777 -o suite -g suite {folder}" in (repository / "deploy/docker/Dockerfile").read_text()
    assert {"webhook-gateway-1", "webhook-gateway-2", "webhook-gateway-3"} <= set(services["nginx"]["depends_on"])


@pytest.mark.parametrize(
    ("container", "file"),
    [("nginx", "templates/gateways.conf.template"), ("console-edge", "console/console.conf.template")],
)
def test_every_variable_of_an_edges_template_is_told(
    container: str, file: str, compose: dict[str, Any], repository: Path
) -> None:
    template = (repository / "deploy/nginx" / file).read_text()
    assert f"./nginx/{Path(file).parent}:/etc/nginx/templates:ro" in compose["services"][container]["volumes"]
    told = compose["services"][container]["environment"]
    assert set(re.findall(r"\$\{([A-Z0-9_]+)\}", template)) == set(told) - {"NGINX_ENVSUBST_FILTER"}


def test_a_gateways_own_deadlines_fit_into_what_nginx_gives_a_replica(
    compose: dict[str, Any], repository: Path
) -> None:
    template = (repository / "deploy/nginx/templates/gateways.conf.template").read_text()
    (read_timeout, *_) = re.findall(r"proxy_read_timeout (\d+)s;", template)
    told = compose["services"]["webhook-gateway-1"]["environment"]
    own = float(told["WEBHOOK_GATEWAY_CONFIRM_DEADLINE"]) + float(told["WEBHOOK_GATEWAY_SPOOL_DEADLINE"])
    assert own < float(read_timeout)


def test_whatever_hangs_the_edge_answers_before_the_marketplace_gives_up(repository: Path) -> None:
    template = (repository / "deploy/nginx/templates/gateways.conf.template").read_text()

    def seconds(name: str) -> float:
        number, unit = re.findall(rf"(?m)^    {name} (\d+)(ms|s);", template)[0]  # of all locations
        return float(number) / (1000 if unit == "ms" else 1)

    for location in re.findall(r"(?m)^    location ~\* .*?^    }", template, re.DOTALL):  # the intake's
        assert "_timeout" not in location
    a_try = seconds("proxy_connect_timeout") + max(seconds("proxy_send_timeout"), seconds("proxy_read_timeout"))
    assert a_try < seconds("proxy_next_upstream_timeout")  # else no second one begins
    assert seconds("proxy_next_upstream_timeout") + a_try < 5


def test_databases_are_provisioned_then_migrated_then_used(compose: dict[str, Any]) -> None:
    services = compose["services"]
    migrations = {name: services[name]["depends_on"] for name in JOBS if name.startswith("migrate-")}
    assert migrations == {key: {"provision": COMPLETED} for key in migrations}
    assert {name: services[name]["command"] for name in migrations} == {key: ["migrate"] for key in migrations}
    for service in SERVICES:
        # tips works on the orders database; what it may see there is made by the orchestrator's migrations
        job = f"migrate-{service.name}" if service.database is not None else "migrate-orchestrator"
        for name in set(_containers_of(service, compose)) - JOBS:
            assert services[name]["depends_on"][job] == COMPLETED, name


def test_every_role_and_database_of_the_services_addresses_is_provisioned(
    compose: dict[str, Any], repository: Path
) -> None:
    script = (repository / "deploy/docker/postgres/provision.sql").read_text()
    passwords = compose["services"]["provision"]["environment"]
    for service in SERVICES:
        database = service.database or "orders"
        told = [compose["services"][name]["environment"] for name in _containers_of(service, compose)]
        accounts = [(f"{service.prefix}POSTGRES_DSN", service.role, told)]
        if service.owner is not None:
            migrating = compose["services"][f"migrate-{service.name}"]["environment"]
            accounts.append((f"{service.prefix}MIGRATION_DSN", service.owner, [migrating]))
            assert f"('{database}', '{service.owner}')" in script
        for variable, role, environments in accounts:
            password = passwords[f"{role.upper()}_DATABASE_PASSWORD"]
            address = f"postgresql://{role}:{password}@postgres:5432/{database}?sslmode=disable"
            assert {environment[variable] for environment in environments} == {address}
            assert f"ALTER ROLE {role} PASSWORD :'{role}_password';" in script


def test_the_owners_account_is_told_to_migration_jobs_alone(compose: dict[str, Any]) -> None:
    told = {
        name
        for name, definition in compose["services"].items()
        if any(variable.endswith("MIGRATION_DSN") for variable in definition.get("environment", {}))
    }
    assert told == {name for name in JOBS if name.startswith("migrate-")}


def test_each_service_has_an_account_at_the_broker_before_it_starts(
    compose: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    job = compose["services"]["broker-accounts"]
    assert job["entrypoint"] == ["python", "-m", "common.messaging.accounts"]
    told = dict(job["environment"])
    assert told.pop("BROKER_API") == "http://suite:development-rabbitmq@rabbitmq:15672"
    assert main(told) == 0
    made = {user["name"]: user["password"] for user in json.loads(capsys.readouterr().out)["users"]}
    used: dict[str, set[str]] = {}
    for service in SERVICES:
        for name in set(_containers_of(service, compose)) - JOBS:
            container = compose["services"][name]
            if address := container["environment"].get(f"{service.prefix}AMQP_URL"):
                used.setdefault(service.name, set()).add(address)
                assert container["depends_on"]["broker-accounts"] == COMPLETED, name
    assert used == {name: {f"amqp://{name}:{password}@rabbitmq:5672/suite"} for name, password in made.items()}
    knowing = {name for name, each in compose["services"].items() if "development-rabbitmq" in str(each)}
    assert knowing == {"rabbitmq", "broker-accounts"}


def test_mounted_files_exist_and_sandbox_is_optional(compose: dict[str, Any], repository: Path) -> None:
    mounted = {
        volume.split(":")[0]
        for definition in compose["services"].values()
        for volume in definition.get("volumes", [])
        if volume.startswith(".")
    }
    missing = {path for path in mounted if not (repository / "deploy" / path).exists()}
    assert missing == {"./files.example/tls"}  # of the profile `tls`: nobody's certificate is an example
    assert {name for name, definition in compose["services"].items() if "profiles" in definition} == {
        *("sandbox", "console-edge")
    }


def test_no_secret_stands_in_the_file_and_every_variable_has_a_development_value(
    repository: Path, development_values: dict[str, str]
) -> None:
    text = (repository / "deploy" / "compose.yaml").read_text()
    used = set(re.findall(r"\$\{(\w+)", text))
    required = set(re.findall(r"\$\{(\w+):\?", text))
    assert required <= set(development_values) - {"COMPOSE_PROFILES"}
    assert set(development_values) - {"COMPOSE_PROFILES"} <= used
    secrets = [name for name in used if re.search(r"PASSWORD|TOKEN", name)]
    defaults = {name for name in secrets if re.search(rf"\$\{{{name}:-[^}}]", text)}
    assert defaults == set()


def test_every_group_of_keys_in_the_examples_begins_with_its_explanation(repository: Path) -> None:
    examples = [repository / "deploy/.env.example", *(repository / "deploy/k8s/secrets.example").glob("*.env")]
    for example in examples:
        groups = re.split(r"\n\s*\n", example.read_text().strip())
        assert [group.splitlines()[0] for group in groups if not group.startswith("#")] == [], example.name
