"""Habits of the tree that no linter checks."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.version import VERSION
from tests.architecture.figures import GENERATED

ROOT = Path(__file__).parents[2]
SERVICES = ("webhook-gateway", "orchestrator", "tips", "refunds", "notifier")
LONGEST = 400
TAG = re.compile(r"newTag: \"(.*)\"")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
ANCHOR_LINK = re.compile(r"\]\(([^)#\s:]*\.md)?#([^)\s]+)\)")
PATH = re.compile(
    r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|sql|json|yaml|toml|txt|svg)|(?:[\w.-]+/)+|(?:deploy|docs|libs|tests)/[\w./-]+)`"
)
ANCHOR_NAMED = re.compile(r"\b((?:docs|deploy|services|tests|libs)/[\w./-]+\.md)#([\w-]+)")


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
        if (lines := path.read_text().count("\n")) > LONGEST and ROOT / GENERATED not in path.parents
    }
    assert long == {}


@pytest.mark.parametrize("service", [*SERVICES, "console"])
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
    assert {"CONTRIBUTING.md", "docs/runbooks/README.md", "deploy/compose.yaml"} <= set(links[ROOT / "README.md"])


def test_every_anchor_that_is_linked_exists() -> None:
    """Links of documents, and what code, SQL and settings name as ``docs/requirements.md#repeats``."""
    linked = [
        (path, (path.parent / target if target else path), anchor)
        for path in tracked("*.md")
        for target, anchor in ANCHOR_LINK.findall(path.read_text())
    ]
    linked += [(path, ROOT / target, anchor) for path in tracked() for target, anchor in _named(path)]
    broken = [
        f"{path.relative_to(ROOT)}: {target.resolve().relative_to(ROOT)}#{anchor}"
        for path, target, anchor in linked
        if not target.is_file() or anchor not in anchors(target.read_text())
    ]
    assert broken == []
    assert any(target.name == "requirements.md" for _, target, _ in linked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "# Customer, address, window\n## Operators' corrections\n",
            {"customer-address-window", "operators-corrections"},
        ),
        ("## `make up` and [a link](x.md)\n\n```sh\n# no heading\n```\n", {"make-up-and-a-link"}),
        ("## Twice\n## Twice\n## Дежурство\n", {"twice", "twice-1", "дежурство"}),
        ('<a id="mine"></a>\n# One two\n', {"mine", "one-two"}),
    ],
)
def test_anchors_are_those_that_github_makes_of_headings(text: str, expected: set[str]) -> None:
    assert anchors(text) == expected


def test_both_readmes_give_the_same_commands() -> None:
    english, russian = (_commands((ROOT / name).read_text()) for name in ("README.md", "README.ru.md"))
    assert english == russian
    assert "make up" in english


def test_every_runbook_stands_in_the_index() -> None:
    folder = ROOT / "docs/runbooks"
    listed = set(LINK.findall((folder / "README.md").read_text()))
    assert {page.name for page in folder.glob("*.md")} - {"README.md"} <= listed


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_path_that_is_named_exists(document: str) -> None:
    """A name without a folder belongs to the folder that is named before it: in its row, else above its table."""
    named = list(_paths(ROOT / document))
    assert [written for written, path in named if not path.exists()] == []
    assert len(named) > 60


def test_every_neighbour_to_copy_is_found() -> None:
    """In the table of changes: what is to be searched for stands in the folder of its row."""
    rows = [row.split("|") for row in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if row.count("|") == 5]
    searched = [
        (folder, word)
        for _, _, named, _, words, _ in rows
        for folder in _row(named).values()
        for word in re.findall(r"`([^`]+)`", words)
    ]
    lacking = [
        f"{folder.relative_to(ROOT)}: {word}"
        for folder, word in searched
        if not any(word in path.read_text() for path in folder.rglob("*.*") if path.suffix in {".py", ".sql", ".toml"})
    ]
    assert lacking == []
    assert len(searched) > 25


@pytest.mark.parametrize(("walk", "files"), [("A hook", (10, 14)), ("An event", (20, 28)), ("A problem", (17, 21))])
def test_each_walk_has_as_many_files_as_its_heading_says(walk: str, files: tuple[int, int]) -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    section = re.search(rf"^### {walk}, .*?: (\d+) / (\d+) files\n(.*?)^##", text, re.MULTILINE | re.DOTALL)
    assert section
    rows = [(row.split("|")[1].strip(), row) for row in section[3].splitlines() if row.startswith("| ")]
    usual = {path for step, row in rows if not step.startswith(("values", "besides", "instead")) for path in _row(row)}
    values = {path for step, row in rows if step.startswith("values") for path in _row(row)}
    assert (len(usual), len(usual | values)) == files == (int(section[1]), int(section[2]))


def _paths(document: Path) -> Iterator[tuple[str, Path]]:
    """Yield what a document names as a path, and where that is; not patterns (``<verb>.py``), nor names that no folder stands before."""
    above = ROOT
    for line in re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL).splitlines():
        if line.startswith("#"):
            above = ROOT
        if line.startswith("|"):
            yield from _row(line, above=above).items()
            continue
        if folder := re.match(r"`([\w./-]+/)`:", line):
            above = _place(folder[1])
        for written in PATH.findall(line):
            if "/" in written.rstrip("/"):
                yield written, _place(written)
            elif above != ROOT:
                yield written, above / written


def _row(line: str, *, above: Path = ROOT) -> dict[str, Path]:
    """Return the paths of a table's row by their names from the root."""
    found, folder = {}, above
    for written in PATH.findall(line):
        place = _place(written) if "/" in written.rstrip("/") else folder / written
        if written.endswith("/") and folder == ROOT:
            place = _place(written)
        if folder != ROOT or "/" in written:
            found[str(place.relative_to(ROOT))] = place
        if "/" in written and (folder == above or "/" in written.rstrip("/")):
            folder = place if written.endswith("/") else place.parent
    return found


def _place(written: str) -> Path:
    """Return where a path is: from the root, in a service's package or in the library."""
    first, _, rest = written.partition("/")
    if first == "common":
        return ROOT / "libs/common/src/common" / rest
    if first.replace("_", "-") in SERVICES:
        return ROOT / "services" / first.replace("_", "-") / "src" / first / rest
    return ROOT / written


def _commands(text: str) -> str:
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return re.sub(r" +#.*", "", "".join(blocks))


def anchors(text: str) -> set[str]:
    """Return the anchors of a document: what GitHub makes of its headings, and those that are given by hand."""
    found = set(re.findall(r'<a id="([^"]+)"', text))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6} (.+)$", prose, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        base = slug = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        number = 0
        while slug in found:
            number += 1
            slug = f"{base}-{number}"
        found.add(slug)
    return found


def _named(path: Path) -> list[tuple[str, str]]:
    try:
        return ANCHOR_NAMED.findall(path.read_text())
    except UnicodeDecodeError:
        return []
