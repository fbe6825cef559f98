"""The document that the outside reads, and the environment that the services read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from common.http.auth import fingerprint
from suite_local.catalogue import GATEWAY, NOTIFIER, SERVICES, TIPS, WITH_CONSOLE
from suite_local.credentials import Credentials
from suite_local.paths import RunDirectory, write_private
from suite_local.plan import Plan, layout, roster, sandbox_environment, secret_files, service_environment
from suite_local.suite_json import with_pids


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan with two gateways on ports of its own."""
    run = RunDirectory(tmp_path)
    run.create()
    names = [
        "webhook-gateway",
        "webhook-gateway-2",
        "orchestrator",
        "tips",
        "refunds",
        "notifier",
        "sandbox",
        "console",
    ]
    return Plan(
        run=run,
        ports={name: 9001 + number for number, name in enumerate(names)},
        smtp_port=9025,
        replicas={service.name: 2 if service is GATEWAY else 1 for service in WITH_CONSOLE},
        postgres_dsn="postgresql://suite:pw@127.0.0.1:5/postgres",
        databases={
            service.name: f"postgresql://{service.role}:pw@127.0.0.1:5/{service.database}"
            for service in SERVICES
            if service.database
        },
        tips_dsn="postgresql://tips:pw@127.0.0.1:5/orders",
        amqp_url="amqp://suite:pw@127.0.0.1:6/suite",
        broker_urls={"refunds": "amqp://refunds:pw@127.0.0.1:6/suite"},
        overrides={"TIPS_LOG_LEVEL": "debug", "HOME": "/somewhere", "SANDBOX_TRUST_POLLS": "3"},
    )


def test_the_document_has_exactly_the_contracts_shape(plan: Plan) -> None:
    pids = {
        "webhook-gateway": 1,
        "webhook-gateway-2": 2,
        "orchestrator": 3,
        "tips": 4,
        "postgres": 7,
        "rabbitmq": 8,
        "epmd": 9,
    }

    document = with_pids(json.loads(json.dumps(layout(plan))), pids)

    tokens = document.pop("tokens")
    assert document == {
        "services": {
            "webhook-gateway": {"url": "http://127.0.0.1:9001", "pids": [1, 2]},
            "orchestrator": {"url": "http://127.0.0.1:9003", "pids": [3]},
            "tips": {"url": "http://127.0.0.1:9004", "pids": [4]},
            "refunds": {"url": "http://127.0.0.1:9005", "pids": []},
            "notifier": {"url": "http://127.0.0.1:9006", "pids": []},
            "console": {"url": "http://127.0.0.1:9008", "pids": []},
        },
        "infrastructure": {
            "postgres": {"dsn": "postgresql://suite:pw@127.0.0.1:5/postgres", "pid": 7},
            "rabbitmq": {"url": "amqp://suite:pw@127.0.0.1:6/suite", "pid": 8},
            "sandbox": {"url": "http://127.0.0.1:9007", "pid": None},
        },
        "databases": {
            "webhook-gateway": "postgresql://webhook_gateway_runtime:pw@127.0.0.1:5/webhook_gateway",
            "orchestrator": "postgresql://orchestrator_runtime:pw@127.0.0.1:5/orders",
            "refunds": "postgresql://refunds_runtime:pw@127.0.0.1:5/refunds",
            "notifier": "postgresql://notifier_runtime:pw@127.0.0.1:5/notifier",
        },
    }
    assert list(tokens) == ["viewer", "operator", "admin", "internal", "marketplace", "website", "website_manager"]
    assert len(set(tokens.values())) == 7


def test_the_document_names_the_zone_that_the_console_was_given(plan: Plan) -> None:
    named = layout(replace(plan, overrides={"CONSOLE_TIME_ZONE": "Asia/Omsk"}))
    assert with_pids(named, {})["time_zone"] == "Asia/Omsk"


def test_the_tokens_of_the_document_are_those_that_the_services_accept(plan: Plan) -> None:
    tokens = layout(plan)["tokens"]

    files = {path.name: json.loads(text) for path, text in secret_files(plan.run).items()}

    known = {entry["role"]: entry["sha256"] for entry in files["gateway-tokens.json"]["tokens"]}
    of_marketplace = files["sources.json"]["sbermarket"]["auth"]["tokens"][0].removeprefix("sha256:")
    assert {**known, "marketplace": of_marketplace} == {name: fingerprint(text) for name, text in tokens.items()}
    callers = {"orchestrator": "internal", "refunds": "internal", "shadow": "viewer"}
    people = {"vera": "viewer", "oleg": "operator", "anna": "admin", "internal": "internal"}
    named = {entry["name"]: entry["role"] for entry in files["tokens.json"]["tokens"]}
    assert named == callers | people


def test_people_with_tokens_are_in_the_people_file_the_roster_and_the_routes(plan: Plan) -> None:
    files = {path.name: json.loads(text) for path, text in secret_files(plan.run).items()}

    people = {person["id"]: (person["role"], fingerprint(person["token"])) for person in files["people.json"]["people"]}
    tokens = {entry["name"]: (entry["role"], entry["sha256"]) for entry in files["tokens.json"]["tokens"]}
    assert {role for role, _ in people.values()} == {"viewer", "operator", "admin"}
    assert people.items() <= tokens.items()
    assert {*roster(date(2026, 11, 25))["rotation"]} <= people.keys()
    assert people.keys() & files["routes.json"]["destinations"].keys()
    assert "invented" not in json.dumps(files["routes.json"])


def test_secrets_survive_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / ".run")
    run.create()
    run.logs.chmod(0o755)  # as an earlier release left it
    run.create()
    write_private(run.suite_json, "{}")

    first = Credentials(run.secrets).get("viewer")

    assert Credentials(run.secrets).get("viewer") == first
    assert [
        oct(path.stat().st_mode & 0o777) for path in (run.secrets, run.logs, run.secrets / "viewer", run.suite_json)
    ] == [
        "0o700",
        "0o700",
        "0o600",
        "0o600",
    ]


def test_tips_uses_its_own_database_role_and_a_variable_of_the_person_wins(plan: Plan) -> None:
    environment = service_environment(plan, TIPS)

    assert environment["TIPS_POSTGRES_DSN"] == "postgresql://tips:pw@127.0.0.1:5/orders"
    assert environment["TIPS_LOG_LEVEL"] == "debug"
    assert "HOME" not in environment


def test_replicas_differ_in_port_name_and_spool(plan: Plan) -> None:
    first, second = (service_environment(plan, GATEWAY, replica=number) for number in (1, 2))

    different = {name.removeprefix("WEBHOOK_GATEWAY_") for name in first if first[name] != second[name]}
    assert different == {"PORT", "REPLICA", "SPOOL_DIR"}


def test_the_sandbox_accepts_exactly_the_credentials_that_the_notifier_has(plan: Plan) -> None:
    sandbox, notifier = sandbox_environment(plan), service_environment(plan, NOTIFIER)

    assert sandbox["SANDBOX_TELEGRAM_TOKENS"] == notifier["NOTIFIER_TELEGRAM_TOKEN"]
    assert sandbox["SANDBOX_SLACK_TOKENS"] == notifier["NOTIFIER_SLACK_TOKEN"]
    assert sandbox["SANDBOX_SLACK_SIGNING_SECRET"] == notifier["NOTIFIER_SLACK_SIGNING_SECRET"]
    assert sandbox["SANDBOX_GATEWAY_URL"] == "http://127.0.0.1:9001,http://127.0.0.1:9002"
    assert sandbox["SANDBOX_TRUST_POLLS"] == "3"
