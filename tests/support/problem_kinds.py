"""Which kinds of problems the code raises, read from the code itself: literals, and whatever a computed kind can be."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

RAISES = frozenset({"ProblemRaisedV1", "ProblemFact"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file: ``name`` is its path below ``src``."""

    name: str
    tree: ast.Module

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Of each node the node that holds it."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes that hold a node, from the inside out."""
        while (found := self.parents.get(node)) is not None:
            yield found
            node = found

    def function_of(self, node: ast.AST) -> Function | None:
        """The function that holds a node."""
        return next((each for each in self.around(node) if isinstance(each, Function)), None)


class Producers:
    """All modules of the services and of ``common``."""

    def __init__(self, root: Path) -> None:
        files = sorted([*root.glob("services/*/src/**/*.py"), *root.glob("libs/common/src/**/*.py")])
        self.modules = [
            Module(file.as_posix().partition("/src/")[2], ast.parse(file.read_text(encoding="utf-8"))) for file in files
        ]

    def raised(self, of: frozenset[str] = RAISES) -> Iterator[tuple[str, frozenset[str], ast.Call]]:
        """Every place that raises a problem: (file, what its kind can be, call). Nothing: it passes another's kind on.

        ``of``: the classes whose making counts.
        """
        for module in self.modules:
            for call in _calls(module.tree):
                if _called(call) in of:
                    [value] = [word.value for word in call.keywords if word.arg == "kind"]
                    yield module.name, frozenset(self._values(value, module)), call

    def _values(self, value: ast.expr, module: Module) -> set[str]:
        """What an expression can be, as text; nothing where it is not known here."""
        if isinstance(value, ast.Constant):
            return {str(value.value)}
        if isinstance(value, ast.JoinedStr):
            parts = [self._values(part, module) for part in value.values]
            return {"".join(part) for part in product(*parts)}
        if isinstance(value, ast.FormattedValue):
            return self._values(value.value, module)
        if isinstance(value, ast.Name):
            return self._of_name(value, module)
        text = ast.unparse(value)
        if text.endswith(".state.name.lower()"):
            return {state.lower() for state in self._states(text.removesuffix(".name.lower()"), value, module)}
        if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name):
            return self._of_field(value.value, value.attr, module)
        return set()

    def _of_name(self, name: ast.Name, module: Module) -> set[str]:
        function = module.function_of(name)
        if function is not None:
            if name.id in _parameters(function):
                calls = self._calls_of(function, module)
                given = [(found, _argument(call, function, name.id)) for found, call in calls]
                return {text for found, value in given if value is not None for text in self._values(value, found)}
            if assigned := list(_assigned(name.id, function)):
                return {text for value in assigned for text in self._values(value, module)}
        for value in _assigned(name.id, module.tree, deep=False):
            return self._values(value, module)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and any(each.name == name.id for each in node.names):
                path = (node.module or "").replace(".", "/") + ".py"
                for other in self.modules:
                    if other.name == path:
                        return {
                            text
                            for value in _assigned(name.id, other.tree, deep=False)
                            for text in self._values(value, other)
                        }
        return set()

    def _of_field(self, holder: ast.Name, field: str, module: Module) -> set[str]:
        """The members of an enumeration that the service gives to a field of the holder's class."""
        function = module.function_of(holder)
        annotation = _parameters(function).get(holder.id) if function is not None else None
        enumeration = self._annotation(annotation, field)
        service = module.name.partition("/")[0]
        members = self._members(enumeration)
        keys = {
            key
            for each in self.modules
            for node in ast.walk(each.tree)
            if isinstance(node, ast.Dict)
            for key in node.keys
        }
        return {
            members[node.attr]
            for other in self.modules
            if other.name.startswith(f"{service}/")
            for node in ast.walk(other.tree)
            if isinstance(node, ast.Attribute)
            and node not in keys
            and ast.unparse(node.value) == enumeration
            and node.attr in members
        }

    def _annotation(self, class_name: str | None, field: str) -> str | None:
        for node in self._classes(class_name):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == field:
                    return ast.unparse(line.annotation)
        return None

    def _members(self, enumeration: str | None) -> dict[str, str]:
        return {
            ast.unparse(line.targets[0]): str(line.value.value)
            for node in self._classes(enumeration)
            for line in node.body
            if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant)
        }

    def _classes(self, name: str | None) -> Iterator[ast.ClassDef]:
        for module in self.modules:
            yield from (node for node in module.tree.body if isinstance(node, ast.ClassDef) and node.name == name)

    def _states(self, state: str, value: ast.expr, module: Module) -> Iterator[str]:
        """The states under which the function that holds the value is called: those of the ``if`` around each call."""
        function = module.function_of(value)
        for found, call in self._calls_of(function, module) if function is not None else ():
            tests = (node.test for node in found.around(call) if isinstance(node, ast.If))
            named = [ast.unparse(test).partition(f"{state} is RefundState.")[2] for test in tests]
            yield from [each for each in named if each][:1]

    def _calls_of(self, function: Function, module: Module) -> Sequence[tuple[Module, ast.Call]]:
        service = module.name.partition("/")[0]
        private = function.name.startswith("_")
        return [
            (other, call)
            for other in ([module] if private else self.modules)
            if other.name.startswith(f"{service}/")
            for call in _calls(other.tree)
            if _called(call) == function.name
        ]


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _parameters(function: Function) -> dict[str, str | None]:
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return {each.arg: None if each.annotation is None else ast.unparse(each.annotation) for each in given}


def _argument(call: ast.Call, function: Function, name: str) -> ast.expr | None:
    for word in call.keywords:
        if word.arg == name:
            return word.value
    names = [each for each in _parameters(function) if each != "self"]
    place = names.index(name)
    return call.args[place] if place < len(call.args) else None


def _assigned(name: str, holder: ast.AST, *, deep: bool = True) -> Iterator[ast.expr]:
    """The values that a name is given in a function, or at the top of a module."""
    for node in ast.walk(holder) if deep else ast.iter_child_nodes(holder):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=True)
                yield from (value for each, value in pairs if ast.unparse(each) == name)
