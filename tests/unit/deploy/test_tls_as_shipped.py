"""compose.tls.yaml, deploy/k8s/tls and the watchers' files: everybody is called by https and believed by name, and nothing else differs."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.service import load_settings
from suite_local import shipped
from suite_local.catalogue import GATEWAY, SERVICES, WITH_CONSOLE, Service
from tests.support.kubernetes import Manifest, fits, manifests_of, pods, workload
from tests.support.service_settings import settings_of

CONTAINERS = [
    *((service, service.name) for service in WITH_CONSOLE if service is not GATEWAY),
    *((GATEWAY, f"{GATEWAY.name}-{number}") for number in (1, 2, 3)),
]
CALLED = re.compile(r"http://(?:" + "|".join(service.name for service in WITH_CONSOLE) + r"):\d+")
"""One of ours, in plain text."""
CA = "/run/suite/ca/ca.crt"


@pytest.fixture(scope="module")
def over_tls(development_values: dict[str, str]) -> dict[str, Any]:
    """Both files, as Compose sees them."""
    return shipped.compose_file(development_values, over_tls=True)


@pytest.fixture(scope="module")
def plain(repository: Path) -> dict[tuple[str, str], Manifest]:
    """What the kustomizations apply."""
    return manifests_of(repository)


@pytest.fixture(scope="module")
def patched(repository: Path, plain: dict[tuple[str, str], Manifest]) -> dict[tuple[str, str], Manifest]:
    """The same with the component."""
    component = yaml.safe_load((repository / "deploy/k8s/tls/kustomization.yaml").read_text())
    assert (component["kind"], component.keys()) == ("Component", {"apiVersion", "kind", "patches"})
    made = copy.deepcopy(plain)
    for patch in component["patches"]:
        wanted = patch["target"]
        chosen = [key for key in made if key[0] == wanted["kind"] and key[1] == wanted.get("name", key[1])]
        assert chosen, wanted
        for key in chosen:
            for operation in yaml.safe_load(patch["patch"]):
                carry_out(made[key], **operation)
    return made


def carry_out(document: Any, *, op: str, path: str, value: Any) -> None:
    """Change a document as RFC 6902 has it: what is replaced is there, what is added to a mapping is not."""
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    for part in way:
        document = document[int(part)] if isinstance(document, list) else document[part]
    if isinstance(document, list):
        assert (op, last) == ("add", "-")
        document.append(copy.deepcopy(value))
    else:
        assert op == ("replace" if last in document else "add"), path
        document[last] = copy.deepcopy(value)


def test_the_second_compose_file_is_valid_by_the_compose_specification(repository: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run(
        [*command, str(repository / "deploy" / "compose.tls.yaml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(("service", "container"), CONTAINERS, ids=[name for _, name in CONTAINERS])
def test_a_container_shows_its_own_certificate_and_calls_everybody_over_tls(
    service: Service, container: str, over_tls: dict[str, Any], compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = over_tls["services"][container]["environment"]
    assert [value for value in told.values() if CALLED.search(value)] == []
    before = compose["services"][container]["environment"]
    changed = {name: value for name, value in told.items() if before.get(name) != value}
    calls = {name: value.replace("http:", "https:") for name, value in before.items() if CALLED.search(value)}
    assert changed == {
        f"{service.prefix}TLS_CERT_FILE": "/run/suite/tls/tls.crt",
        f"{service.prefix}TLS_KEY_FILE": "/run/suite/tls/tls.key",
        f"{service.prefix}CA_FILE": CA,
        **calls,
    }
    mounted = over_tls["services"][container]["volumes"]
    assert [each for each in mounted if each.split(":")[1].startswith("/run/suite")] == [
        f"./files.example/ca:{Path(CA).parent}:ro",
        f"./files.example/certificates/{service.name}:/run/suite/tls:ro",  # no other one's key
    ]
    assert [each for each in compose["services"][container].get("volumes", []) if each not in mounted] == []
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert str(load_settings(settings_of(service)).tls_cert_file) == "/run/suite/tls/tls.crt"


def test_who_calls_the_services_from_beside_them_is_told_so_and_nothing_else_is(
    over_tls: dict[str, Any], compose: dict[str, Any]
) -> None:
    changed = {name for name, each in over_tls["services"].items() if each != compose["services"].get(name)}
    callers = {"nginx", "console-edge", "prometheus", "alertmanager"}
    assert changed == callers | {container for _, container in CONTAINERS}
    for name in callers:
        assert f"./files.example/ca:{Path(CA).parent}:ro" in over_tls["services"][name]["volumes"], name
    for name in ("nginx", "console-edge"):
        told = over_tls["services"][name]["environment"]
        assert (told["EDGE_SCHEME"], told["EDGE_CA_FILE"]) == ("https", CA)
    for name in ("prometheus", "alertmanager"):
        before, after = (each["services"][name]["command"] for each in (compose, over_tls))
        assert after == [argument.replace(f"{name}.yml", f"{name}.tls.yml") for argument in before]


@pytest.mark.parametrize(
    ("file", "upstreams"),
    [
        ("templates/gateways.conf.template", {"webhook-gateway", "notifier", "refunds"}),
        ("console/console.conf.template", {"console"}),
    ],
)
def test_nginx_verifies_whom_it_calls_by_the_names_of_the_services(
    file: str, upstreams: set[str], repository: Path
) -> None:
    template = (repository / "deploy/nginx" / file).read_text()
    passed = re.findall(r"proxy_pass (\S+);", template)
    assert {address.removeprefix("${EDGE_SCHEME}://") for address in passed} == upstreams
    assert set(re.findall(r"(?m)^upstream (\S+) \{", template)) == upstreams
    assert re.findall(r"proxy_ssl_(verify|trusted_certificate|server_name) (\S+);", template) == [
        ("verify", "on"),
        ("trusted_certificate", "${EDGE_CA_FILE}"),
        ("server_name", "on"),
    ]
    assert "proxy_ssl_name" not in template  # it is the group's name


def test_prometheus_scrapes_the_same_over_tls_as_without(repository: Path) -> None:
    folder = repository / "deploy" / "prometheus"
    before, after = (yaml.safe_load((folder / f"prometheus{kind}.yml").read_text()) for kind in ("", ".tls"))
    for job in before["scrape_configs"]:
        name = job["job_name"]
        if name in {service.name for service in WITH_CONSOLE}:
            job |= {"scheme": "https", "tls_config": {"ca_file": CA}}
            if name == GATEWAY.name:
                job["tls_config"] |= {"server_name": name}
    assert after == before


def test_alertmanager_sends_the_same_over_tls_as_without(repository: Path) -> None:
    folder = repository / "deploy" / "prometheus"
    before, after = (yaml.safe_load((folder / f"alertmanager{kind}.yml").read_text()) for kind in ("", ".tls"))
    [webhook] = before["receivers"][0]["webhook_configs"]
    webhook["url"] = webhook["url"].replace("http:", "https:")
    webhook["http_config"]["tls_config"] = {"ca_file": CA}
    assert after == before


def test_the_component_makes_manifests_that_the_kubernetes_api_knows(
    plain: dict[tuple[str, str], Manifest], patched: dict[tuple[str, str], Manifest]
) -> None:
    for manifest in patched.values():
        fits(manifest)
    changed = {key for key in plain if plain[key] != patched[key]}
    assert changed == {
        *((patched_kind(service), service.name) for service in WITH_CONSOLE),
        *(("ConfigMap", f"{service.name}-settings") for service in WITH_CONSOLE),
        *(("ConfigMap", "edge-settings"), ("Ingress", "order-suite-console")),
    }


def patched_kind(service: Service) -> str:
    """What a service runs as."""
    return "StatefulSet" if service is GATEWAY else "Deployment"


@pytest.mark.parametrize("service", WITH_CONSOLE, ids=lambda service: service.name)
def test_a_pod_shows_its_own_certificate_and_is_probed_and_called_over_tls(
    service: Service, patched: dict[tuple[str, str], Manifest]
) -> None:
    told = patched["ConfigMap", f"{service.name}-settings"]["data"]
    spec = pods(patched)[service.name]
    [container] = spec["containers"]
    assert {container[probe]["httpGet"]["scheme"] for probe in container if probe.endswith("Probe")} == {"HTTPS"}
    template = workload(service, patched)["spec"]["template"]
    assert template["metadata"]["annotations"]["prometheus.io/scheme"] == "https"
    assert {"name": "tls", "secret": {"secretName": f"{service.name}-tls"}} in spec["volumes"]
    assert {"name": "tls", "mountPath": "/run/tls", "readOnly": True} in container["volumeMounts"]
    files = {"TLS_CERT": "tls.crt", "TLS_KEY": "tls.key", "CA": "ca.crt"}
    assert {told[f"{service.prefix}{kind}_FILE"] for kind in files} == {f"/run/tls/{name}" for name in files.values()}
    assert [value for value in told.values() if CALLED.search(value)] == []
    assert {value for value in told.values() if value.startswith("https:")} <= {
        f"https://{each.name}:{each.port}" for each in SERVICES
    }


def test_the_edge_beside_a_gateway_has_the_authority_and_no_key(patched: dict[tuple[str, str], Manifest]) -> None:
    told = patched["ConfigMap", "edge-settings"]["data"]
    assert (told["EDGE_SCHEME"], told["EDGE_CA_FILE"]) == ("https", "/run/tls/ca.crt")
    [nginx] = pods(patched)[GATEWAY.name]["initContainers"]
    [mounted] = [each for each in nginx["volumeMounts"] if each["name"] == "tls"]
    assert (mounted["mountPath"], mounted["subPath"]) == (told["EDGE_CA_FILE"], "ca.crt")


def test_the_one_line_that_takes_the_component_in_stands_where_it_is_read(repository: Path) -> None:
    for part in ("services", "migrations"):
        text = (repository / "deploy/k8s" / part / "kustomization.yaml").read_text()
        taken = yaml.safe_load(text.replace("# components: [../tls] #", "components: [../tls] #"))
        assert taken["components"] == ["../tls"], part
