"""Habits of the tree that no linter checks."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from common.version import VERSION

ROOT = Path(__file__).parents[2]
SERVICES = ("webhook-gateway", "orchestrator", "tips", "refunds", "notifier")
LONGEST = 400
TAG = re.compile(r"newTag: \"(.*)\"")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def tracked(*patterns: str) -> list[Path]:
    """Return the files that git knows, or the files on disk in a tree without git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def test_no_source_file_is_too_long_to_read() -> None:
    """A file past 400 lines wants to be two."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py")
        if (lines := path.read_text().count("\n")) > LONGEST
    }
    assert long == {}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_ships_what_operators_need(service: str) -> None:
    """README, dashboard, alert rules with a test, and a runbook page for each alert."""
    readme = ROOT / "services" / service / "README.md"
    rules = ROOT / "deploy/prometheus/rules" / f"{service}.yml"
    alerts = re.findall(r"^\s*- alert: (\S+)", rules.read_text(), re.MULTILINE)
    pages = re.findall(r"runbook_url: .*?(docs/runbooks/[\w.-]+\.md)", rules.read_text())
    missing = [
        str(path.relative_to(ROOT))
        for path in (
            readme,
            ROOT / "deploy/grafana/dashboards" / f"{service}.json",
            ROOT / "deploy/prometheus/tests" / f"{service}.test.yml",
            *(ROOT / page for page in pages),
        )
        if not path.is_file()
    ]
    assert missing == []
    assert alerts
    assert len(pages) == len(alerts)


def test_all_packages_and_images_have_one_version() -> None:
    """``common.version`` holds it; what is released has it too."""
    for project in tracked("*/*/pyproject.toml"):
        settings = tomllib.loads(project.read_text())
        source = project.parent / settings["tool"]["hatch"]["version"]["path"]
        assert settings["project"]["dynamic"] == ["version"]
        assert source.resolve() == ROOT / "libs/common/src/common/version.py"
    tags = {tag for path in tracked("deploy/k8s/**/kustomization.yaml") for tag in TAG.findall(path.read_text())}
    assert tags == {VERSION}


def test_nothing_opens_connects_or_reads_the_environment_at_import() -> None:
    """Module level holds definitions: no call to open, connect, getenv, and no reading of os.environ."""
    found = []
    for path in tracked("libs/**/*.py", "services/**/*.py"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If):
                continue
            text = ast.unparse(statement)
            if re.search(r"\b(open|connect|create_pool|getenv)\(|os\.environ", text):
                found.append(f"{path.relative_to(ROOT)}: {text[:80]}")
    assert found == []


def test_every_ignore_says_why() -> None:
    """A reason stands beside every lint or type ignore."""
    bare = []
    for path in tracked("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            match = re.search(r"#\s*(?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])(?P<rest>.*)$", line)
            if match and not re.search(r"[a-z]{3,}", match.group("rest")):
                bare.append(f"{path.relative_to(ROOT)}:{number}")
    assert bare == []


def test_every_link_of_a_document_leads_somewhere() -> None:
    links = {path: LINK.findall(path.read_text()) for path in tracked("*.md")}
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path, targets in links.items()
        for target in targets
        if not target.startswith(("http://", "https://", "mailto:")) and not (path.parent / target).exists()
    ]
    assert broken == []
    assert {"CONTRIBUTING.md", "docs/runbooks", "deploy/compose.yaml"} <= set(links[ROOT / "README.md"])
