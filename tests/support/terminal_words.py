"""Every sentence that ``ordersctl`` says beside its results, gathered from its modules; ``{}`` stands for what varies."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import console.cli
import console.client.checks
from console.cli.overview import _DEAD_LETTERS, _NEEDS
from console.client.things import THINGS

_SAY = {**dict.fromkeys(("note", "EndedError", "progress", "wrong"), 0), "line": 1, "consent": 1}
"""Functions that say something to a person, and which of their arguments that is."""


_VERDICTS = frozenset({"detail", "reached", "said", "words"})
"""Names that hold the words of a verdict."""
_ROOT = Path(__file__).parents[2]
_FAULTS = (
    "services/webhook-gateway/src/webhook_gateway",
    "services/orchestrator/src/orchestrator/orders",
    "services/refunds/src/refunds/reconciliation",
)


def said() -> set[str]:
    """Return the English of everything that has words."""
    files = [*sorted(Path(console.cli.__file__).parent.glob("*.py")), Path(console.client.checks.__file__)]
    found = {text for file in files for text in _of(ast.parse(file.read_text(encoding="utf-8")), file.name)}
    return {text for text in found if any(sign.isalpha() for sign in text.replace("{}", "").replace("ordersctl", ""))}


def headings() -> set[str]:
    """Return the columns of every table, without what they are parts of."""
    found = {name for thing in THINGS.values() for name in thing.columns}
    for file in sorted(Path(console.cli.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) == "Columns":
                found.update(
                    text
                    for each in ast.walk(node)
                    if isinstance(each, ast.Constant) and isinstance(text := each.value, str)
                )
    return {name.rpartition(".")[2] for name in found}


def found_by_checkers() -> set[str]:
    """Return the words of every verdict that services keep, and of what is wrong with a chain of audit records."""
    found: set[str] = set()
    for file in sorted([*_ROOT.glob("services/*/src/**/*.py"), *_ROOT.glob("libs/*/src/**/*.py")]):
        raw = file.read_text(encoding="utf-8")
        if "keep_verdict(" not in raw:
            continue
        for node in ast.walk(ast.parse(raw)):
            if isinstance(node, ast.Assign) and _assigned(node) in _VERDICTS:
                found.update(_texts(node.value))
            elif isinstance(node, ast.Call) and _name(node.func) == "Finding" and len(node.args) > 1:
                found.update(_texts(node.args[1]))
    return {text for text in found if " " in text.replace("{}", "")}


def needs() -> set[str]:
    """Return what `status` counts, and what keeps a problem from a person."""
    tree = ast.parse((_ROOT / "services/notifier/src/notifier/coverage/model.py").read_text(encoding="utf-8"))
    holes = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) == "Hole"]
    details = [node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and _assigned(node) == "detail"]
    texts = {text for value in (*(each.args[1] for each in holes), *details) for text in _texts(value)}
    return texts | {need for need, *_ in (*_NEEDS, _DEAD_LETTERS)}


def said_by_services() -> set[str]:
    """Return the English of what cannot be read of bodies, and of what the services' own checkers keep."""
    found = set()
    for folder in ("libs/common/src/common/reading", *_FAULTS):
        for file in sorted((_ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _name(node.func) in ("Unfit", "FieldError", "_problem"):
                    found |= {text for text in _texts(node.args[-1]) if " " in text}
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "keep_verdict" in node.name:
                    words = (
                        each.value
                        for each in ast.walk(node)
                        if isinstance(each, ast.Assign) and _assigned(each) == "words"
                    )
                    found |= {text for value in words for text in _texts(value)}
    return found


def refusals() -> set[str]:
    """Return the words of every refusal that a person may meet: what a service answers with a code of 4xx, whatever it is about."""
    trees = [
        ast.parse(file.read_text(encoding="utf-8"))
        for file in sorted([*_ROOT.glob("services/*/src/**/*.py"), *_ROOT.glob("libs/*/src/**/*.py")])
        if "services/console/" not in str(file)
    ]
    kinds = {"InvalidInput", "NotFound", "Conflict", "Unprocessable", "Forbidden", "Unauthorized", "TooMany"}
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while more := {each.name for each in classes if kinds & {_name(base) for base in each.bases}} - kinds:
        kinds |= more
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    found = {text for call in calls if _name(call.func) in kinds for text in _forms(call.args[0])}
    compared = [call for call in calls if isinstance(of := call.func, ast.Attribute) and _name(of.value) in kinds]
    found |= {
        f"{text} is at version {{}}, not {{}}: look at it again" for call in compared for text in _forms(call.args[0])
    }
    return {text for text in found if any(sign.isalpha() for sign in text)}


def _forms(node: ast.expr) -> list[str]:
    """Return a text in each form that a choice inside it gives it."""
    if not isinstance(node, ast.JoinedStr):
        return list(_texts(node))
    found = [""]
    for each in node.values:
        chosen = each.value if isinstance(each, ast.FormattedValue) else each
        parts = list(_texts(chosen)) if isinstance(chosen, ast.IfExp) else []
        parts = parts or [chosen.value if isinstance(chosen, ast.Constant) and chosen is each else "{}"]  # type: ignore[list-item] # texts
        found = [before + str(part) for before in found for part in parts]
    return found


def _assigned(node: ast.Assign) -> str:
    return node.targets[0].id if isinstance(node.targets[0], ast.Name) else ""


def _of(tree: ast.AST, file: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) > (place := _SAY.get(_name(node.func), len(node.args))):
            yield from _texts(node.args[place])
        elif file == "checks.py" and isinstance(node, ast.JoinedStr):
            yield from _texts(node)


def _name(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value.strip()
    elif isinstance(node, ast.JoinedStr):
        yield "".join(each.value if isinstance(each, ast.Constant) else "{}" for each in node.values).strip()  # type: ignore[misc] # of texts
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
    elif isinstance(node, ast.BoolOp):
        yield from (text for each in node.values for text in _texts(each))
