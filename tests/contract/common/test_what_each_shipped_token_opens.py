"""What each token of the files that are shipped may do, in all five services, by its role and its scopes: no more than its owner does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.http.auth import TokenBook, satisfying
from common.http.scopes import GROUPS
from console.client.operations import operations as of_people
from suite_local.catalogue import GATEWAY, ORCHESTRATOR
from suite_local.paths import RunDirectory
from suite_local.plan import secret_files
from suite_local.shipped import DEPLOY, compose_file, example_values
from tests.contract.common.operations import Operation, operations
from tests.contract.surface.observed import SERVICES, stored

Tokens = list[dict[str, Any]]
MACHINES = {
    "orchestrator": {"tips GET /tips/v1/need-hold-tips", "tips POST /tips/v1/set-tips-sum"},
    "refunds": {"orchestrator GET /orders/v1/refunds/{business_key}"},
    "alertmanager": {"notifier POST /alerts/v1/alertmanager", "notifier POST /alerts/v1/sentry"},
    "shadow": {f"tips GET /admin/v1/{name}" for name in ("audit", "explain", "queues")},
    "machine": {
        "orchestrator GET /orders/v1/orders",
        "orchestrator GET /orders/v1/orders/{number}",
        *(
            f"orchestrator POST /orders/v1/orders/{{number}}/{name}"
            for name in (
                *("close-with-cash", "courier-not-accepted", "feedback-changed"),
                *("mark-paid-in-cash", "move-back-to-cash"),
            )
        ),
    },
    **{site: {"webhook-gateway POST /api/v1/orders/"} for site in ("website", "website_manager")},
}
"""What those who are no people open; gateway, tips, notifier and console call with a token of their own nobody."""
HERE = MACHINES | {
    "internal": {
        *MACHINES["machine"],
        *MACHINES["orchestrator"],
        *MACHINES["refunds"],
        *MACHINES["alertmanager"],
        "refunds GET /refunds/v1/refunds/{id}",
        "refunds POST /refunds/v1/refunds",
    }
}
"""On one machine one token plays every system outside."""


def in_compose(_folder: Path) -> Tokens:
    configs = compose_file(example_values())["configs"]
    suite, gateway = (json.loads(configs[name]["content"])["tokens"] for name in ("tokens", "gateway-tokens"))
    assert [each for each in gateway if each["role"] not in {"website", "website_manager"}] == suite
    return list(gateway)


def in_kubernetes(_folder: Path) -> Tokens:
    examples = DEPLOY / "k8s/secrets.example"
    suite, notifier, gateway = (
        json.loads((examples / name / "tokens.json").read_text())["tokens"]
        for name in ("suite-files", "notifier-files", "webhook-gateway-files")
    )
    assert suite == notifier == [each for each in gateway if each["role"] not in {"website", "website_manager"}]
    return list(gateway)


def on_one_machine(folder: Path) -> Tokens:
    run = RunDirectory(folder)
    run.create()
    files = {path.name: json.loads(text)["tokens"] for path, text in secret_files(run).items() if "tokens" in path.name}
    assert files["tokens.json"] == [
        each for each in files["gateway-tokens.json"] if each["role"] not in {"website", "website_manager"}
    ]
    return list(files["gateway-tokens.json"])


def opened(entry: dict[str, Any]) -> set[str]:
    """Every operation that asks for a token's role or scope and lets this one in."""
    book = TokenBook()
    assert "token" not in entry  # whoever reads the file can call as nobody
    known = {**{key: value for key, value in entry.items() if key != "sha256"}, "token": "of-this-test"}
    book.read(json.dumps({"tokens": [known]}).encode())
    who = book.authenticate("of-this-test")
    assert who is not None
    return {
        f"{service} {each.line}"
        for service, each in asking()
        if who.role in each.roles and each.scope and who.within(each.scope)
    }


def asking() -> list[tuple[str, Operation]]:
    """Every operation of the five services that asks for a scope."""
    return [
        (package.replace("_", "-"), each)
        for package in SERVICES
        for each in operations(stored(package)["openapi"])
        if each.scope is not None
    ]


@pytest.mark.parametrize(
    ("made", "machines"),
    [
        (in_compose, MACHINES),
        (in_kubernetes, MACHINES),
        (on_one_machine, {name: lines for name, lines in HERE.items() if name not in {"machine", "alertmanager"}}),
    ],
)
def test_a_machines_token_opens_what_it_does_and_a_persons_all_that_her_role_may(
    made: Callable[[Path], Tokens], machines: dict[str, set[str]], tmp_path: Path
) -> None:
    found = {entry["name"]: entry for entry in made(tmp_path)}
    people = {"oleg": "operator", "anna": "admin", "vera": "viewer"}
    assert {name: opened(entry) for name, entry in found.items() if name not in people} == machines
    for name, role in people.items():
        assert found[name]["role"] == role
        may = {f"{service} {each.line}" for service, each in asking() if role in each.roles}
        assert opened(found[name]) == may
        # What the console and ordersctl offer her goes with this token alone: they have none of their own.
        offered = {
            f"{service} {method} {path}"
            for (service, method, path), each in of_people().items()
            if role in satisfying((each.role,)) and each.role != "internal"
        }
        assert offered <= opened(found[name])


def test_every_scope_names_a_group_that_its_service_has_and_every_group_is_asked_for() -> None:
    asked = {(service, str(each.scope).split(":")[1]) for service, each in asking()}
    assert asked == {(service, group) for service, groups in GROUPS.items() for group in groups}
    assert {str(each.scope).split(":")[0] for service, each in asking() if service == GATEWAY.name} == {GATEWAY.name}
    assert ORCHESTRATOR.name in GROUPS
