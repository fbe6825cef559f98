"""Prometheus, Alertmanager, Grafana and the collector: checked by promtool, and against the metrics that the services really have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from common.telemetry.logged_errors import LOGGED_ERRORS
from common.telemetry.service_info import ServiceInfo
from console.web.metrics import ConsoleMetrics
from suite_local.catalogue import SERVICES, WITH_CONSOLE

_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
    "info": ("_info",),
}
_FOREIGN = re.compile(r"up|ALERTS|(scrape|process|python|rabbitmq|erlang|alertmanager|prometheus|otelcol)_\w+")
"""Series that others make."""
_WORDS = frozenset(
    "by without on ignoring group_left group_right offset bool and or unless inf nan start end".split()  # noqa: SIM905 - PromQL's words read best as a sentence
)


def _promtool() -> str:
    found = shutil.which("promtool")
    assert found is not None, "promtool is not installed (Debian: package prometheus)"
    return found


def _run(*arguments: str, directory: Path) -> None:
    done = subprocess.run([_promtool(), *arguments], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prometheus(repository: Path) -> Path:
    """The folder of Prometheus' files."""
    return repository / "deploy" / "prometheus"


@pytest.fixture(scope="module")
def rules(prometheus: Path) -> list[Path]:
    """Every file of rules."""
    return sorted((prometheus / "rules").glob("*.yml"))


@pytest.fixture(scope="module")
def dashboards(repository: Path) -> dict[str, dict[str, Any]]:
    """Every dashboard by its file's name."""
    folder = repository / "deploy" / "grafana" / "dashboards"
    return {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


@pytest.fixture(scope="module")
def series(repository: Path) -> set[str]:
    """The names of all series that the services make, as the snapshot of their surface has them (its own test keeps it true)."""
    metrics = [
        (name, metric["type"])
        for service in SERVICES
        for name, metric in _surface(repository, service.package)["metrics"].items()
    ]
    info, console = ServiceInfo(), CollectorRegistry()
    info.know(version="", environment="", replica="")
    ConsoleMetrics(console, {"tips": "http://tips:8083"}, public_url="")
    collected = {
        sample.name
        for metric in (*LOGGED_ERRORS.collect(), *info.collect(), *console.collect())
        for sample in metric.samples
    }
    return collected | {name + suffix for name, kind in metrics for suffix in _SUFFIXES.get(kind, ())}


def _surface(repository: Path, package: str) -> dict[str, Any]:
    surface: dict[str, Any] = json.loads(
        (repository / "tests" / "fixtures" / "surface" / f"{package}.json").read_text()
    )
    return surface


def _without_variables(expression: str) -> str:
    """Put values where Grafana's variables stand."""
    expression = re.sub(r"\$\{?__\w+\}?", "5m", expression)
    return re.sub(r"\$\{?\w+(:\w+)?\}?", "x", expression)


def _metrics_in(expression: str) -> set[str]:
    """Return the names of the series that a PromQL expression asks for."""
    bare = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`", " ", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    found = re.findall(r"(?<![\w.:])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])", bare)
    return {name for name in found if name.lower() not in _WORDS and not re.fullmatch(r"[smhdwy]|x", name)}


def _expressions(value: Any) -> Iterator[str]:
    """Yield every Prometheus query of a dashboard."""
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            yield value["expr"]
        for item in value.values():
            yield from _expressions(item)
    elif isinstance(value, list):
        for item in value:
            yield from _expressions(item)


def _unknown(expression: str, known: set[str]) -> set[str]:
    return {name for name in _metrics_in(expression) if name not in known and not _FOREIGN.fullmatch(name)}


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ('sum by (zone) (rate(tips_total{zone="a)b"}[5m])) / 2', {"tips_total"}),
        ("histogram_quantile(0.99, sum(rate(a_bucket[1h])) by (le)) > 1e3", {"a_bucket"}),
        ("max_over_time(a:b[5m:1m]) and on (x) group_left (y) up == 0 offset 5m", {"a:b", "up"}),
    ],
)
def test_names_are_read_from_an_expression(expression: str, metrics: set[str]) -> None:
    assert _metrics_in(expression) - {"5m"} == metrics


def test_prometheus_configuration_and_every_rule_pass_promtool(prometheus: Path, rules: list[Path]) -> None:
    _run("check", "config", "prometheus.yml", directory=prometheus)
    if rules:
        _run("check", "rules", *map(str, rules), directory=prometheus)


def test_every_rules_file_has_a_test_and_promtool_passes_it(prometheus: Path, rules: list[Path]) -> None:
    tests = sorted(
        (prometheus / "tests").glob("*.test.yml")
    )  # <rules>.test.yml, and <rules>.days.test.yml where hours pass
    assert {path.stem for path in rules} == {path.name.partition(".")[0] for path in tests}
    for path in tests:
        _run("test", "rules", path.name, directory=path.parent)


def _in_both_languages(annotations: dict[str, str], text: str, *, where: str) -> None:
    """Fail unless an annotation is there in English and in Russian, with the same values in both."""
    english, russian = (annotations.get(name, "") for name in (text, f"{text}_ru"))
    assert english, where
    assert not re.search("[а-яё]", english, re.IGNORECASE), where
    assert re.search("[а-яё]", russian, re.IGNORECASE), f"{where} has no {text}_ru"
    values = [sorted(re.findall(r"{{.*?}}", each)) for each in (english, russian)]
    assert values[0] == values[1], f"{where}: {text} and {text}_ru tell other values"


def test_every_alert_asks_for_series_that_exist_and_says_what_to_do(
    rules: list[Path], series: set[str], repository: Path
) -> None:
    recorded: set[str] = set()
    alerts: list[tuple[str, dict[str, Any]]] = []
    for path in rules:
        for group in yaml.safe_load(path.read_text())["groups"]:
            recorded.update(rule["record"] for rule in group["rules"] if "record" in rule)
            alerts += [(path.name, rule) for rule in group["rules"]]
    for file, rule in alerts:
        assert _unknown(rule["expr"], series | recorded) == set(), f"{file}: {rule}"
        if "alert" in rule:
            assert rule["labels"].get("severity") in {"critical", "warning", "info"}, f"{file}: {rule['alert']}"
            for text in ("summary", "description"):
                _in_both_languages(rule["annotations"], text, where=f"{file}: {rule['alert']}")
            runbook = rule["annotations"].get("runbook") or rule["annotations"].get("runbook_url") or ""
            if runbook.startswith("docs/"):
                assert (repository / runbook.split("#")[0]).is_file(), f"{file}: {rule['alert']} names {runbook}"


def test_prometheus_scrapes_every_container_of_every_service(prometheus: Path, compose: dict[str, Any]) -> None:
    jobs = {
        job["job_name"]: {target for group in job["static_configs"] for target in group["targets"]}
        for job in yaml.safe_load((prometheus / "prometheus.yml").read_text())["scrape_configs"]
    }
    for service in WITH_CONSOLE:
        containers = {name for name in compose["services"] if re.fullmatch(rf"{service.name}(-\d)?", name)}
        assert jobs[service.name] == {f"{name}:{service.port}" for name in containers}
    assert jobs["rabbitmq"] == jobs["rabbitmq-queues"] == {"rabbitmq:15692"}
    hosts = {target.split(":")[0] for targets in jobs.values() for target in targets} - {"127.0.0.1"}
    assert hosts <= set(compose["services"])


def test_alertmanager_sends_everything_to_the_notifier_as_an_internal_caller(
    prometheus: Path, compose: dict[str, Any]
) -> None:
    configuration = yaml.safe_load((prometheus / "alertmanager.yml").read_text())
    (receiver,) = configuration["receivers"]
    (webhook,) = receiver["webhook_configs"]
    assert configuration["route"]["receiver"] == receiver["name"]
    assert (webhook["url"], webhook["send_resolved"]) == ("http://notifier:8085/alerts/v1/alertmanager", True)
    mounted = {config["target"]: config["source"] for config in compose["services"]["alertmanager"]["configs"]}
    assert mounted[webhook["http_config"]["authorization"]["credentials_file"]] == "alertmanager-token"


def test_every_dashboard_asks_for_series_that_exist(
    dashboards: dict[str, dict[str, Any]], rules: list[Path], series: set[str]
) -> None:
    recorded = {
        rule["record"]
        for path in rules
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    wrong = {
        name: unknown
        for name, dashboard in dashboards.items()
        for expression in _expressions(dashboard)
        if (unknown := _unknown(_without_variables(expression), series | recorded))
    }
    assert wrong == {}


def test_every_query_of_a_dashboard_is_promql(dashboards: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    for name, dashboard in dashboards.items():
        queries = [
            {"record": f"query:{number}", "expr": _without_variables(expression)}
            for number, expression in enumerate(_expressions(dashboard))
        ]
        assert dashboard.get("uid"), f"{name}: without a uid its address changes at every start"
        assert dashboard.get("title"), name
        if queries:
            (tmp_path / f"{name}.yml").write_text(yaml.safe_dump({"groups": [{"name": name, "rules": queries}]}))
            _run("check", "rules", f"{name}.yml", directory=tmp_path)


def test_dashboards_use_the_provisioned_source_and_lie_where_grafana_looks(
    dashboards: dict[str, dict[str, Any]], compose: dict[str, Any], repository: Path
) -> None:
    provisioning = repository / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "suite.yaml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2][::-1] for volume in compose["services"]["grafana"]["volumes"])
    assert mounts[provider["options"]["path"]] == "./grafana/dashboards"
    assert source["url"] == "http://prometheus:9090"
    used = {uid for dashboard in dashboards.values() for uid in re.findall(r'"uid": "([^"]+)"', _sources(dashboard))}
    assert {uid for uid in used if not uid.startswith(("$", "-- "))} <= {source["uid"]}


def _sources(value: Any) -> str:
    """Return the JSON of all `datasource` members below a value."""
    if isinstance(value, dict):
        own = json.dumps(value["datasource"]) if "datasource" in value else ""
        return own + "".join(_sources(item) for item in value.values())
    return "".join(_sources(item) for item in value) if isinstance(value, list) else ""


def test_collector_takes_traces_by_otlp_and_each_way_out_is_a_whole_pipeline(
    compose: dict[str, Any], repository: Path
) -> None:
    folder = repository / "deploy" / "otel"
    base = yaml.safe_load((folder / "collector.yaml").read_text())
    endpoint = compose["services"]["tips"]["environment"]["TIPS_OTLP_ENDPOINT"]
    assert endpoint.endswith(base["receivers"]["otlp"]["protocols"]["http"]["endpoint"].removeprefix("0.0.0.0"))  # noqa: S104 - inside a container
    for way_out in ("debug", "otlp"):
        document = yaml.safe_load((folder / f"{way_out}.yaml").read_text())
        pipeline = document["service"]["pipelines"]["traces"]
        assert set(pipeline["receivers"]) <= set(base["receivers"])
        assert set(pipeline["processors"]) <= set(base["processors"])
        assert set(pipeline["exporters"]) == set(document["exporters"])
