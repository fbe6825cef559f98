"""deploy/k8s/settings/network.yaml: of all that could connect with each other just those do that the settings, scrapes and Ingresses name.

No cluster is here. What a plugin does with the rules is written down as the API describes it: who is chosen by any policy of a direction
may do only what one of them says, both ends must let a connection through, and a selector of Pods alone means the policy's own namespace.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from suite_local.catalogue import GATEWAY, WITH_CONSOLE
from suite_local.shipped import kubernetes_environment
from tests.support.kubernetes import Manifest, manifests_of, pods

OWN, INGRESS, PROMETHEUS, DNS, OTHER = "order-suite", "ingress-nginx", "monitoring", "kube-system", "another-team"
PORTS = {service.name: service.port for service in WITH_CONSOLE}
EDGE = 8080
USUAL = {"https": 443, "postgresql": 5432, "amqps": 5671}
ADDRESS = re.compile(r"[a-z]+://[^\s,\"]+|[a-z0-9.-]+\.svc\.cluster\.local:\d+")
NAME, PART = "app.kubernetes.io/name", "app.kubernetes.io/part-of"
TRIED = [
    *itertools.product(range(EDGE, EDGE + 8), ("TCP",)),
    *itertools.product((22, 25, 53, 80, 443, 587, 5432, 5671, 5672, 6443, 9090, 10250, 15672), ("TCP",)),
    *itertools.product((53, 443, PORTS[GATEWAY.name]), ("UDP",)),
]


@dataclass(frozen=True)
class Place:
    """Who can connect or be connected with: a Pod in a namespace, or a machine outside, which has an address only."""

    namespace: str | None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    address: str = "203.0.113.7"


PLACES = {
    **{name: Place(OWN, {NAME: name, PART: OWN}) for name in PORTS},
    "migration": Place(OWN, {"app.kubernetes.io/component": "migration", PART: OWN}),
    "a stray Pod of ours": Place(OWN),
    "Prometheus": Place(PROMETHEUS, {NAME: "prometheus"}),
    "the Ingress controller": Place(INGRESS, {NAME: "ingress-nginx"}),
    "DNS": Place(DNS, {"k8s-app": "kube-dns"}),
    "a node's cache of DNS": Place(None, address="169.254.20.10"),
    "a Pod of others": Place(OTHER, {NAME: "shop"}),
    "one of others that says it is the console": Place(OTHER, {NAME: "console", PART: OWN}),
    "a machine outside": Place(None),
    "the cloud's metadata": Place(None, address="169.254.169.254"),
}
Connection = tuple[str, str, int, str]


@pytest.fixture(scope="module")
def policies(repository: Path) -> list[dict[str, Any]]:
    """What every policy says."""
    text = (repository / "deploy" / "k8s" / "settings" / "network.yaml").read_text()
    return [each["spec"] for each in yaml.safe_load_all(text)]


@pytest.fixture(scope="module")
def manifests(repository: Path) -> dict[tuple[str, str], Manifest]:
    """Everything that is applied."""
    return manifests_of(repository)


def chosen(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a selector chooses what has these labels; an empty one chooses everything."""
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In"
        if labels.get(each["key"]) not in each["values"]:
            return False
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def is_meant(peers: Sequence[Mapping[str, Any]] | None, other: Place) -> bool:
    """Tell whether a rule's peers have somebody among them; a rule without peers means everybody."""
    everybody: Mapping[str, Any] = {}
    for peer in peers or [everybody]:
        assert peer.keys() <= {"namespaceSelector", "podSelector", "ipBlock"}
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            assert block.keys() == {"cidr"}
            if other.namespace is None and ip_address(other.address) in ip_network(block["cidr"]):
                return True
        elif not peer:
            return True
        elif other.namespace is not None:
            of = {"kubernetes.io/metadata.name": other.namespace}
            spaces = peer.get("namespaceSelector")
            here = other.namespace == OWN if spaces is None else chosen(spaces, of)
            if here and chosen(peer.get("podSelector", {}), other.labels):
                return True
    return False


def is_port(ports: Sequence[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    """Tell whether a rule lets a port through; a rule without ports means all of them."""
    return not ports or any(
        each.get("protocol", "TCP") == protocol and each["port"] <= port <= each.get("endPort", each["port"])
        for each in ports
    )


def lets(policies: list[dict[str, Any]], way: str, place: Place, other: Place, port: int, protocol: str) -> bool:
    """Tell whether one end lets a connection through: who is in no namespace of ours has no policy here."""
    if place.namespace != OWN:
        return True
    own = [each for each in policies if way in each["policyTypes"] and chosen(each["podSelector"], place.labels)]
    rules = [rule for each in own for rule in each.get(way.lower(), ())]
    peers = "to" if way == "Egress" else "from"
    return not own or any(
        is_meant(rule.get(peers), other) and is_port(rule.get("ports"), port, protocol) for rule in rules
    )


def goes(policies: list[dict[str, Any]]) -> Iterator[Connection]:
    """Give every connection that both ends let through, of all that are tried with us at one end."""
    for (one, source), (other, target) in itertools.permutations(PLACES.items(), 2):
        if OWN not in {source.namespace, target.namespace}:
            continue
        for port, protocol in TRIED:
            if lets(policies, "Egress", source, target, port, protocol) and lets(
                policies, "Ingress", target, source, port, protocol
            ):
                yield one, other, port, protocol


def called(name: str) -> set[tuple[str | None, int]]:
    """Return what a container's settings name: Pods of ours, and everybody else by port."""
    told, found = kubernetes_environment(name), set[tuple[str | None, int]]()
    for value in told.values():
        for address in ADDRESS.findall(value):
            parts = urlsplit(address if "://" in address else f"//{address}")
            host = (parts.hostname or "").removesuffix(".order-suite.svc.cluster.local")
            target = host.removesuffix("-replicas")
            port = parts.port or USUAL[parts.scheme]
            found.add((target, port) if target in PORTS else (None, port))
    prefix = next((service.prefix for service in WITH_CONSOLE if service.name == name), "EDGE_")
    if f"{prefix}SMTP_HOST" in told:
        found.add((None, int(told[f"{prefix}SMTP_PORT"])))
    return found


def needed(manifests: dict[tuple[str, str], Manifest]) -> set[Connection]:
    """Return every connection that the suite is made of: calls, DNS, scrapes, and what Ingresses send here."""
    found: set[Connection] = set()
    inside = {name for name, place in PLACES.items() if place.namespace == OWN}
    wanted = {
        name: called(name) | {(None, 443)} for name in PORTS
    }  # any service can be told a provider of identity, and Sentry
    wanted[GATEWAY.name] |= called("edge")  # its nginx
    wanted["migration"] = {(None, 5432)}
    for name, targets in wanted.items():
        for target, port in targets:
            there = [target] if target is not None else PLACES.keys() - inside
            found |= {(name, each, port, "TCP") for each in there if each != name}
    for name in inside:
        found |= {(name, dns, 53, how) for dns in ("DNS", "a node's cache of DNS") for how in ("TCP", "UDP")}
    for (kind, name), manifest in manifests.items():
        if kind in {"StatefulSet", "Deployment"}:
            notes = manifest["spec"]["template"]["metadata"]["annotations"]
            found.add(("Prometheus", name, int(notes["prometheus.io/port"]), "TCP"))
        if kind == "Ingress":
            for path in manifest["spec"]["rules"][0]["http"]["paths"]:
                service = manifests["Service", path["backend"]["service"]["name"]]["spec"]
                [port] = [each["port"] for each in service["ports"]]
                found.add(("the Ingress controller", service["selector"][NAME], port, "TCP"))
    return found


def test_just_what_the_suite_needs_is_let_through_and_nothing_else(
    policies: list[dict[str, Any]], manifests: dict[tuple[str, str], Manifest]
) -> None:
    wanted, found = needed(manifests), set(goes(policies))
    assert {connection[3] for connection in wanted} == {"TCP", "UDP"}
    assert found - wanted == set()
    assert wanted - found == set()


@pytest.mark.parametrize("name", PORTS)
def test_every_gateway_reaches_another_one_and_no_other_service_itself(
    policies: list[dict[str, Any]], name: str
) -> None:
    one, port = PLACES[name], PORTS[name]
    both = all(lets(policies, way, one, one, port, "TCP") for way in ("Egress", "Ingress"))
    assert both == (name == GATEWAY.name)


def test_nobody_speaks_with_anybody_unless_it_is_said(policies: list[dict[str, Any]]) -> None:
    [every] = [policy for policy in policies if policy["podSelector"] == {}]
    assert every["policyTypes"] == ["Ingress", "Egress"]
    stray = PLACES["a stray Pod of ours"]
    for other, (port, protocol) in itertools.product(PLACES.values(), TRIED):
        assert not lets(policies, "Ingress", stray, other, port, protocol)
        assert lets(policies, "Egress", stray, other, port, protocol) == (
            port == 53 and (other.namespace == DNS or other.address == "169.254.20.10")
        )


def test_policies_choose_pods_by_the_labels_that_they_really_have(manifests: dict[tuple[str, str], Manifest]) -> None:
    for (kind, name), manifest in manifests.items():
        if kind in {"StatefulSet", "Deployment", "Job"}:
            labels = manifest["spec"]["template"]["metadata"]["labels"]
            assert PLACES["migration" if kind == "Job" else name].labels.items() <= labels.items(), name
    assert len(pods(manifests)) == len(PORTS) + 4


def test_no_policy_could_be_left_out(
    policies: list[dict[str, Any]], manifests: dict[tuple[str, str], Manifest]
) -> None:
    wanted = needed(manifests)
    for number in range(len(policies)):
        without = policies[:number] + policies[number + 1 :]
        assert set(goes(without)) != wanted, policies[number]
