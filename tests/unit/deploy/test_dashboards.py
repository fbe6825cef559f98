"""The first row of every dashboard is what an owner looks at: figures that change colour, and lead to the console and to what to do."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from console.client.things import EVERYWHERE, THINGS, thing_of
from console.web.lists.filtering import chosen
from console.web.screens import NAVIGATION, list_path

FOLDER = Path(__file__).parents[3] / "deploy" / "grafana"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
CHOSEN = 'and on (job, instance) service_info{environment=~"$environment",replica=~"$replica"}'
LARGEST = 256 * 1024
"""Bytes of what kubectl keeps in an annotation of what it applies."""


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One dashboard."""
    read: dict[str, Any] = json.loads(request.param.read_text())
    return read


def first_row(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["gridPos"]["y"] == 0]


def test_the_first_row_is_figures_with_thresholds_and_fills_the_width(dashboard: dict[str, Any]) -> None:
    row = first_row(dashboard)
    assert len(row) >= 6
    taken = sorted(
        x for panel in row for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
    )
    assert taken == list(range(24))
    for panel in row:
        assert (panel["type"], bool(panel["title"]), bool(panel["description"])) == ("stat", True, True)
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        values = [step["value"] for step in steps]
        assert (values[0], values[1:]) == (None, sorted(set(values[1:]))), panel["title"]
        assert len({step["color"] for step in steps}) > 1, panel["title"]
        assert panel["options"]["colorMode"] in ("background", "value"), panel["title"]
    below = [panel["gridPos"] for panel in dashboard["panels"] if panel not in row]
    assert min(place["y"] for place in below) == row[0]["gridPos"]["h"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_each_figure_leads_to_a_page_of_the_console_and_to_a_runbook(dashboard: dict[str, Any]) -> None:
    for panel in first_row(dashboard):
        page, runbook = (link["url"].removeprefix("${console:raw}") for link in panel["links"])
        assert (FOLDER.parents[1] / "docs" / f"{runbook.replace('/runbook/', 'runbooks/')}.md").is_file(), runbook
        leads_to_a_list_or_screen(page)
    assert [link["url"] for link in dashboard["links"] if link["type"] == "link"] == ["${console:raw}/"]


def test_figures_of_events_and_parked_orders_lead_to_lists_of_just_these() -> None:
    dashboard = json.loads((FOLDER / "dashboards" / "orchestrator.json").read_text())
    pages = {panel["title"]: panel["links"][0]["url"].removeprefix("${console:raw}") for panel in first_row(dashboard)}
    assert (pages["Failed events"], pages["Parked orders"]) == ("/list/event?state=failed", "/list/parked")


def leads_to_a_list_or_screen(page: str) -> None:
    """Fail unless the console has the page, and every filter in its address."""
    parts = urlsplit(page)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    lists = {list_path(noun): noun for noun in (*THINGS, *EVERYWHERE)}
    assert parts.path in {*lists, *(screen.path for screen in NAVIGATION)}, page
    if query:
        service = query.pop("service", None)
        assert chosen(thing_of(lists[parts.path], service), query, zone="UTC") == query, page


def test_a_person_chooses_environment_and_replica_and_the_first_row_follows(dashboard: dict[str, Any]) -> None:
    variables = {each["name"]: each["query"] for each in dashboard["templating"]["list"]}
    assert re.fullmatch(r"label_values\(service_info\{job=~\".+\"\}, environment\)", variables["environment"])
    assert 'environment=~"$environment"' in variables["replica"]
    assert variables["console"] == "label_values(console_info, url)"
    for panel in first_row(dashboard):
        for target in panel["targets"]:
            told = CHOSEN in target["expr"] or 'service_info{job="' in target["expr"] or "tips:" in target["expr"]
            assert told, panel["title"]


def test_what_another_environment_has_is_left_out(tmp_path: Path) -> None:
    dashboard = json.loads((FOLDER / "dashboards" / "orchestrator.json").read_text())
    [panel] = [each for each in first_row(dashboard) if each["title"] == "Crashed workflows"]
    expression = panel["targets"][0]["expr"].replace("$environment", "production|live").replace("$replica", ".*")
    series = [
        (f'{name}{{job="orchestrator",instance="{instance}"{more}}}', value)
        for instance, environment, crashed in (("a", "production", 3), ("b", "testing", 70), ("c", "live", 5))
        for name, more, value in (
            ("service_info", f',environment="{environment}",replica="{instance}",version="1"', 1),
            ("workflow_troubled", ',state="crashed"', crashed),
        )
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{value}x5"} for name, value in series],
        "promql_expr_test": [
            {"expr": expression, "eval_time": "3m", "exp_samples": [{"labels": "{}", "value": 5}]},
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_deployments_and_incidents_are_drawn_into_every_graph(dashboard: dict[str, Any]) -> None:
    drawn = {each["name"]: each for each in dashboard["annotations"]["list"] if each["enable"]}
    assert "service_info" in drawn["Deployments"]["expr"]
    assert 'ALERTS{alertstate="firing"' in drawn["Incidents"]["expr"]
    services = re.findall(r'service=~"([^"]+)"', drawn["Incidents"]["expr"])[0].split("|")
    rules = "".join(path.read_text() for path in (FOLDER.parent / "prometheus" / "rules").glob("*.yml"))
    assert [name for name in services if f"service: {name}" not in rules] == []


def test_every_dashboard_reaches_kubernetes_as_one_config_map_that_kubectl_takes() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    made = {each["name"]: each["files"] for each in kustomization["configMapGenerator"]}
    assert made == {f"dashboard-{path.stem}": [f"dashboards/{path.name}"] for path in DASHBOARDS}
    assert max(len(json.dumps(path.read_text())) for path in DASHBOARDS) < LARGEST
    assert kustomization["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
