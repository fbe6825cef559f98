"""``python -m tests.architecture.figures``: how large and how readable the tree is, beside what it was at the release before the fold.

With the path of another checkout it prints that one's figures as JSON: so ``tests/fixtures/figures_before.json`` was made of the release.
"""

from __future__ import annotations

import ast
import gc
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BEFORE = ROOT / "tests/fixtures/figures_before.json"
PRODUCT = ("services/", "libs/")
GENERATED = "services/console/src/console/client/models/"  # made of the services' OpenAPI: nobody reads or writes them
FORBIDDEN_FOLDERS = {"domain", "application", "adapters", "entrypoints"}
LONGEST_TEST_NAME = 80
_NO_WORDS = (
    "services/console/src/console/web/static/vendor/",
    "requirements.lock",
    "tests/bench/requirements-bench.lock",
    "tests/fixtures/",
    "tests/architecture/figures.py",
    "tests/architecture/test_figures.py",
)
_BENCHMARKS = "tests/bench/"  # P1 to P6 are the benchmarks' own names, defined in their README
# What no reader of the project has: pages, issues and case numbers of those who planned it.
OUTSIDE = re.compile(
    r"\bM[0-9]{1,2}\b|\bCONTRACT\b|\bDECISIONS\b|\bSTYLE\b|\bGOALS\b|\bCASES\b|\bMISSION\b|\bARCHITECTURE\b(?!\.md)"
    r"|\bresearch/|\b[Tt]he seed\b|\bseed'{1,2}s\b|(?<=\s)\(seed\b|\bseed tips-service|\b[Mm]ust show\b|\b[Ii]ssues? #?[0-9]+\b"
)
CASE = re.compile(r"(?<![\w'\"%-])[PRDCE][0-9]{1,2}\b(?!['\"](?!s\b))")


def tracked(root: Path, *patterns: str) -> list[Path]:
    """Return the files that git knows or would take, and that are there."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=True)
    return sorted({root / line for line in listed.stdout.splitlines() if (root / line).is_file()})


class Tree:
    """A checkout, and what can be counted in it. Paths are relative to its root."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        sources = {self._name(path): path.read_text() for path in tracked(root, "*.py")}
        self.sources = {name: text for name, text in sources.items() if not name.startswith(GENERATED)}
        gc.disable()  # looking through so much that stays takes longer than making it
        try:
            self._parsed = {name: list(_statements(ast.parse(text))) for name, text in self.sources.items()}
        finally:
            gc.enable()

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    @property
    def product(self) -> dict[str, str]:
        """Python of services and libraries, by name."""
        return {name: text for name, text in self.sources.items() if name.startswith(PRODUCT)}

    def protocols(self) -> list[str]:
        """Classes of the product that are a ``Protocol`` themselves, each as file and name."""
        return [
            f"{name}: {node.name}"
            for name in self.product
            for node in self._parsed[name]
            if isinstance(node, ast.ClassDef) and any(_is_protocol(base) for base in node.bases)
        ]

    def outside_references(self) -> list[str]:
        """Lines that name what is not in the project."""
        found = []
        for path in tracked(self._root):
            name = self._name(path)
            if name.startswith(_NO_WORDS) or (text := _text(path)) is None:
                continue
            prose = _prose(text, self._parsed[name]) if name in self._parsed else None
            for number, line in enumerate(text.splitlines(), start=1):
                cited = line if prose is None else prose.get(number, "")
                if OUTSIDE.search(line) or (not name.startswith(_BENCHMARKS) and _cites(cited, name)):
                    found.append(f"{name}:{number}: {line.strip()[:120]}")
        return found

    def port_files(self) -> list[str]:
        """Files of the product that hold nothing but interfaces."""
        return [name for name in self.product if re.search(r"(^|[/_])ports\.py$", name)]

    def pattern_folders(self) -> list[str]:
        """Folders of a service that name a pattern instead of the business."""
        folders = {Path(name).parent for name in self.product if name.startswith("services/")}
        return sorted(str(folder) for folder in folders if FORBIDDEN_FOLDERS & set(folder.parts))

    def files_a_feature(self) -> dict[str, int]:
        """How many modules each folder of a service's package has, its ``__init__`` aside."""
        found: dict[str, int] = {}
        for name in self.product:
            parts = Path(name).parts
            if parts[0] == "services" and len(parts) > 5 and parts[-1] != "__init__.py":
                feature = "/".join(parts[3:-1])  # a screen of the console is a feature, too
                found[feature] = found.get(feature, 0) + 1
        return dict(sorted(found.items()))

    def lengths(self) -> dict[str, int]:
        """Lines of every Python file."""
        return {name: text.count("\n") for name, text in self.sources.items()}

    def imports_from_test_modules(self) -> list[str]:
        """Imports that make a module of tests a library of another."""
        return [
            f"{name}: {ast.unparse(node)}"
            for name, nodes in self._parsed.items()
            for node in nodes
            if any(part.startswith("test_") for module in _modules(node, name) for part in module.split("."))
        ]

    def test_names(self) -> list[str]:
        """The name of every test, with its file."""
        return [
            f"{name}: {node.name}"
            for name, nodes in self._parsed.items()
            if name.startswith("tests/") and Path(name).name.startswith("test_")
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]

    def long_test_names(self) -> list[str]:
        """Those that do not fit into a list of failures."""
        return [test for test in self.test_names() if len(test.partition(": ")[2]) > LONGEST_TEST_NAME]


def figures(tree: Tree) -> dict[str, Any]:
    """Return what is compared and limited; each is better when it is smaller."""
    features = tree.files_a_feature()
    return {
        "product lines": sum(text.count("\n") for text in tree.product.values()),
        "product files": len(tree.product),
        "protocols": len(tree.protocols()),
        "outside references": len(tree.outside_references()),
        "port files": len(tree.port_files()),
        "pattern folders": len(tree.pattern_folders()),
        "longest file": max(tree.lengths().values()),
        "files in the largest feature": max(features.values()),
        "imports from test modules": len(tree.imports_from_test_modules()),
        "test names over 80 characters": len(tree.long_test_names()),
    }


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The module and its statements, however deep: no expression, of which there are ten times as many."""
    yield node
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, name, None)
        if isinstance(inner, list):  # that of a lambda is an expression
            for child in inner:
                yield from _statements(child)


def _is_protocol(base: ast.expr) -> bool:
    named = base.value if isinstance(base, ast.Subscript) else base
    return (named.attr if isinstance(named, ast.Attribute) else getattr(named, "id", "")) == "Protocol"


def _modules(node: ast.AST, file: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and file.startswith("tests/"):
        yield node.module or ""
        if not (node.module or "").startswith(("common", "suite_local", "sandbox")):
            yield from (alias.name for alias in node.names)


def _prose(source: str, nodes: Iterable[ast.AST]) -> dict[int, str]:
    """Comments and docstrings of a module by line: a string elsewhere may be an order's number."""
    lines = source.splitlines()
    found = {number: match.group() for number, line in enumerate(lines, 1) if (match := re.search(r"#.*", line))}
    for node in nodes:
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            end = first.end_lineno or first.lineno
            found |= {number: lines[number - 1] for number in range(first.lineno, end + 1)}
    return found


def _cites(text: str, name: str) -> bool:
    return name.endswith((".py", ".md", ".sql", ".rst")) and CASE.search(text) is not None


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return None


def main(arguments: list[str]) -> None:
    """Print a table, or another checkout's figures."""
    if arguments:
        sys.stdout.write(json.dumps(figures(Tree(Path(arguments[0]).resolve())), indent=1) + "\n")
        return
    tree, before = Tree(), json.loads(BEFORE.read_text())
    now = figures(tree)
    sys.stdout.write(f"before: {before['release']}, by `{before['command']}`\n\n")
    for name, value in now.items():
        sys.stdout.write(f"{name:32}{before['figures'][name]:>10,}{value:>10,}\n")
    sys.stdout.write("\nmodules a feature\n")
    for feature, count in tree.files_a_feature().items():
        sys.stdout.write(f"  {feature:40}{count:>4}\n")
    for title, found in (("protocols", tree.protocols()), ("outside references", tree.outside_references())):
        sys.stdout.write(f"\n{title}\n" + "".join(f"  {one}\n" for one in found))


if __name__ == "__main__":
    main(sys.argv[1:])
