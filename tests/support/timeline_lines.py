"""Every line that services write into an order's timeline, gathered from where they write it; ``{}`` stands for what varies."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_WRITES = {"timeline_entry": (1, 2), "refund_entry": (1, 2), "add_act": (1, 3), "note": (1, 3)}
"""Functions that write a line, and which of their arguments are its kind and its summary; of the others both have a name."""
_IN_STATEMENTS_OF_LINES = re.compile(r"'([A-Z][a-z ]+)' \|\| e\.type \|\| '([^']*)' AS summary")
_WRITE_BY_NAME = frozenset({"JournalEntryV1", "TimelineEntry", "_journal_entry"})


def written() -> dict[str, set[str]]:
    """Return by module the summaries of its lines."""
    found: dict[str, set[str]] = {}
    for file in sorted([*_ROOT.glob("services/*/src/**/*.py"), *_ROOT.glob("libs/*/src/**/*.py")]):
        raw = file.read_text(encoding="utf-8")
        if not any(f"{name}(" in raw for name in (*_WRITES, *_WRITE_BY_NAME)):
            continue
        tree = ast.parse(raw)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            summary = _summary(call, file)
            if summary is not None:
                found.setdefault(file.name, set()).update(_texts(summary, _scope(tree, call), tree))
        found.setdefault(file.name, set()).update(
            f"{said}{{}}{more}" for said, more in _IN_STATEMENTS_OF_LINES.findall(raw)
        )
    return found


def _summary(call: ast.Call, file: Path) -> ast.expr | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in _WRITE_BY_NAME:
        return next((each.value for each in call.keywords if each.arg == "summary"), None)
    if name not in _WRITES or (name == "note" and file.parent.name != "tickets"):
        return None
    place = _WRITES[name][1]
    starred = next((each.value for each in call.args if isinstance(each, ast.Starred)), None)
    return call.args[place] if len(call.args) > place else starred


def _scope(tree: ast.Module, call: ast.Call) -> ast.AST:
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    around = [node for node in functions if any(inner is call for inner in ast.walk(node))]
    return min(around, key=lambda node: len(list(ast.walk(node)))) if around else tree


def _texts(value: ast.expr, scope: ast.AST, tree: ast.Module) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in value.values)
        inner = (each.value for each in value.values if isinstance(each, ast.FormattedValue))
        yield from (text for each in inner if isinstance(each, ast.Name) for text in _texts(each, scope, tree))
    elif isinstance(value, ast.IfExp):
        yield from (*_texts(value.body, scope, tree), *_texts(value.orelse, scope, tree))
    elif isinstance(value, ast.BinOp):  # the part behind it may be missing
        yield from _texts(value.left, scope, tree)
    elif isinstance(value, ast.Call):  # shortened, said in other words, or looked up
        if isinstance(value.func, ast.Attribute) and isinstance(value.func.value, ast.Name):
            yield from _texts(value.func.value, tree, tree)
        yield from (text for each in value.args for text in _texts(each, scope, tree))
    elif isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name):
        yield from _texts(value.value, tree, tree)
    elif isinstance(value, ast.Dict):
        yield from (text for each in value.values for text in _texts(each, scope, tree))
    elif isinstance(value, ast.Tuple):
        yield from _texts(value.elts[-1], scope, tree)
    elif isinstance(value, ast.Name):
        for node in ast.walk(scope):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(node, ast.Assign | ast.AnnAssign) and any(
                isinstance(each, ast.Name) and each.id == value.id for each in targets
            ):
                yield from _texts(node.value, scope, tree)  # type: ignore[arg-type] # an assignment of a value


_REASONS = frozenset({"Refused", "NotSent", "Unclear", "Unreachable", "TryLater"})
_IN_STATEMENTS = re.compile(r"\breason = '([^']+)'")


def reasons() -> set[str]:
    """Return why the notifier says that messages and calls did not reach anybody."""
    found: set[str] = set()
    for folder in ("channels", "delivery", "duty"):
        for file in sorted((_ROOT / "services/notifier/src/notifier" / folder).glob("*.py")):
            raw = file.read_text(encoding="utf-8")
            found.update(_IN_STATEMENTS.findall(raw))
            tree = ast.parse(raw)
            for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
                name = getattr(call.func, "id", "")
                given = [*call.args[:1]] if name in _REASONS else []
                if name in (*_REASONS, "After", "AfterEdit"):
                    given += [each.value for each in call.keywords if each.arg == "reason"]
                found.update(text for each in given for text in _texts(each, tree, tree) if " " in text)
    return found
