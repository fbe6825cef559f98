"""deploy/k8s/settings/network.yaml: each Pod reaches what its settings name and is reached by who calls it, and by nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from suite_local.catalogue import CONSOLE, GATEWAY, NOTIFIER, SERVICES, WITH_CONSOLE
from suite_local.shipped import kubernetes_environment

PORTS = {service.name: service.port for service in WITH_CONSOLE}
PODS = {
    **{name: {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "order-suite"} for name in PORTS},
    "migration": {"app.kubernetes.io/component": "migration", "app.kubernetes.io/part-of": "order-suite"},
}
USUAL = {"https": 443, "postgresql": 5432, "amqps": 5671}
ANYWHERE, INGRESS, PROMETHEUS = "anywhere", "ingress-nginx", "monitoring"
ADDRESS = re.compile(r"[a-z]+://[^\s,\"]+|[a-z0-9.-]+\.svc\.cluster\.local:\d+")
Reach = set[tuple[str, int]]


@pytest.fixture(scope="module")
def policies(repository: Path) -> list[dict[str, Any]]:
    """What every policy says."""
    text = (repository / "deploy" / "k8s" / "settings" / "network.yaml").read_text()
    return [each["spec"] for each in yaml.safe_load_all(text)]


def chosen(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a selector chooses what has these labels."""
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In"
        if labels.get(each["key"]) not in each["values"]:
            return False
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def who(peers: list[dict[str, Any]] | None) -> Iterator[str]:
    """Give the names of who is meant."""
    for peer in [{}] if peers is None else peers:
        if "namespaceSelector" in peer:
            yield from peer["namespaceSelector"]["matchLabels"].values()
        elif "podSelector" in peer:
            yield from (name for name, labels in PODS.items() if chosen(peer["podSelector"], labels))
        else:
            yield peer["ipBlock"]["cidr"] if peer else ANYWHERE


def allowed(policies: list[dict[str, Any]], pod: str, way: str) -> Reach:
    """Return whom a Pod may speak with in one direction, and at which port; a rule without ports would be all of them."""
    found: Reach = set()
    for policy in policies:
        if way.capitalize() in policy["policyTypes"] and chosen(policy["podSelector"], PODS[pod]):
            for rule in policy.get(way, ()):
                for each in rule["ports"]:
                    for port in range(each["port"], each.get("endPort", each["port"]) + 1):
                        found |= {(name, port) for name in who(rule.get("to" if way == "egress" else "from"))}
    return found


def called(name: str) -> Reach:
    """Return what a container's settings name: Pods of ours, and everybody else by port."""
    told, found = kubernetes_environment(name), set()
    for value in told.values():
        for address in ADDRESS.findall(value):
            parts = urlsplit(address if "://" in address else f"//{address}")
            host = (parts.hostname or "").removesuffix(".order-suite.svc.cluster.local")
            target = host.removesuffix("-replicas")
            port = parts.port or USUAL[parts.scheme]
            found.add((target, port) if target in PORTS else (ANYWHERE, port))
    prefix = next((service.prefix for service in WITH_CONSOLE if service.name == name), "EDGE_")
    if f"{prefix}SMTP_HOST" in told:
        found.add((ANYWHERE, int(told[f"{prefix}SMTP_PORT"])))
    return found


def test_nobody_speaks_with_anybody_unless_it_is_said(policies: list[dict[str, Any]]) -> None:
    every = next(policy for policy in policies if policy["podSelector"] == {})
    assert (every["policyTypes"], every.get("ingress")) == (["Ingress", "Egress"], None)
    [dns] = every["egress"]
    assert sorted((each["port"], each["protocol"]) for each in dns["ports"]) == [(53, "TCP"), (53, "UDP")]
    assert set(who(dns["to"])) == {"kube-system", "169.254.20.10/32"}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_reaches_what_its_settings_name_and_nothing_else(policies: list[dict[str, Any]], name: str) -> None:
    found = {(target, port) for target, port in allowed(policies, name, "egress") if port != 53}
    if name == "migration":
        assert found == {(ANYWHERE, 5432)}
        return
    beside = called("edge") if name == GATEWAY.name else set()  # its nginx
    provider_and_sentry = {(ANYWHERE, 443)}  # any service can be told one
    assert found == called(name) | beside | provider_and_sentry


@pytest.mark.parametrize("name", PORTS)
def test_a_pod_is_reached_by_who_calls_it_and_nobody_else(policies: list[dict[str, Any]], name: str) -> None:
    callers = {each.name for each in WITH_CONSOLE if (name, PORTS[name]) in called(each.name)}
    if (name, PORTS[name]) in called("edge"):
        callers.add(GATEWAY.name)
    wanted = {(each, PORTS[name]) for each in callers}
    found = allowed(policies, name, "ingress")
    assert {each for each in found if each[0] in PORTS} == wanted
    assert (PROMETHEUS, PORTS[name]) in found
    of_outside = {port for who_calls, port in found if who_calls == INGRESS and port in {8080, PORTS[name]}}
    assert of_outside == {GATEWAY.name: {8080}, NOTIFIER.name: {8085}, CONSOLE.name: {8086}}.get(name, set())
    assert {who_calls for who_calls, _ in found} <= {*PORTS, PROMETHEUS, INGRESS}


def test_both_ends_of_every_call_are_let_through(policies: list[dict[str, Any]]) -> None:
    out = {
        (caller, *target) for caller in PORTS for target in allowed(policies, caller, "egress") if target[0] in PORTS
    }
    into = {
        (caller, name, port) for name in PORTS for caller, port in allowed(policies, name, "ingress") if caller in PORTS
    }
    assert out == into
    assert {target for _, target, _ in out} == {service.name for service in SERVICES}
