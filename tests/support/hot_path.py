"""The hot path's awaits by name, and a gateway that dies at one of them.

Run as a program (``python -m tests.support.hot_path serve``) it is the real gateway, but that every await of the functions below, the
response writer's included, is a place at which a test can have it killed. Nothing of this is in production code: the modules are compiled
from their own source with ``await X`` replaced by ``await at(name, X)``. The file named by ``CRASH_FILE`` says where: ``<name> before``
(what is awaited has not begun) or ``<name> after`` (it has ended, and nobody knows yet).
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import types
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

FUNCTIONS: dict[str, tuple[str, ...]] = {
    "common.http.edge": ("make_edge.edge",),
    "webhook_gateway.hooks.routes": (
        "HookRoutes.hook",
        "HookRoutes.sbermarket_hook",
        "HookRoutes.take",
        "HookRoutes._judge",
        "HookRoutes._keep_incomplete",
    ),
    "webhook_gateway.hooks.request": ("read_body",),
    "webhook_gateway.hooks.accept": ("AcceptHook.__call__", "AcceptHook.incomplete"),
    "webhook_gateway.durable.keep_safe": ("KeepSafe.__call__", "KeepSafe._by_broker", "KeepSafe._by_spool"),
    "webhook_gateway.durable.batches": (
        "HookBatches.publish",
        "HookBatches._outcome",
        "HookBatches._publish_alone",
        "HookBatches._publish_together",
        "HookBatches._send",
    ),
    "common.messaging.publisher": ("Publisher.publish_raw",),
    "webhook_gateway.durable.spool": ("Spool.append", "Spool._command"),
    "aiohttp.web_protocol": ("RequestHandler.finish_response",),
}
"""Every coroutine function that runs between a hook's head and its answer, by module."""

CRASH_FILE = "CRASH_FILE"
_HOOK = "__crash_at__"


def awaits_of(module: str, functions: Sequence[str] | None = None) -> list[str]:
    """Return the names of the hot path's awaits in a module: ``<function>: <what is called>``, a number behind repeated ones."""
    instrument = _Instrument(FUNCTIONS[module] if functions is None else functions)
    instrument.visit(ast.parse(_source(module)))
    return instrument.names


def coroutines_of(module: str) -> set[str]:
    """Return every coroutine function in a module."""
    return {name for name, _ in _functions(ast.parse(_source(module)).body, "")}


def _functions(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}{node.name}"
            if isinstance(node, ast.AsyncFunctionDef):
                yield name, node
            yield from _functions(node.body, f"{name}.")


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


class _Instrument(ast.NodeTransformer):
    """Wraps the awaits of the named functions and notes their names."""

    def __init__(self, functions: Sequence[str]) -> None:
        self.names: list[str] = []
        self._functions = functions
        self._path: list[str] = []

    def _enter(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._path.append(node.name)
        self.generic_visit(node)
        self._path.pop()
        return node

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _enter  # noqa: N815 - names that the base class looks for

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        function = ".".join(self._path)
        if function not in self._functions:
            return node
        called = node.value.func if isinstance(node.value, ast.Call) else node.value
        name = f"{function}: {ast.unparse(called)}"
        count = sum(known == name or known.startswith(f"{name} #") for known in self.names)
        if count:
            name = f"{name} #{count + 1}"
        self.names.append(name)
        hook = ast.Name(_HOOK, ast.Load())
        return ast.Await(ast.Call(hook, [ast.Constant(name), node.value], []))


class _Loader(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> types.CodeType:  # type: ignore[override]  # typeshed's has more, unused here
        tree = ast.fix_missing_locations(_Instrument(FUNCTIONS[self.name]).visit(ast.parse(data)))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)

    def get_code(self, fullname: str) -> types.CodeType:
        # Past the cache of compiled files: neither read nor written.
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__[_HOOK] = at
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname not in FUNCTIONS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=_Loader(fullname, spec.origin))


def die_at(place: str) -> None:
    """End this process as ``kill -9`` does, if that is the place that the test chose."""
    try:
        chosen = Path(os.environ[CRASH_FILE]).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    if chosen == place:
        os.kill(os.getpid(), signal.SIGKILL)


async def at(name: str, awaited: Awaitable[Any]) -> Any:
    """Await, and die before or after if the test chose so."""
    die_at(f"{name} before")
    result = await awaited
    die_at(f"{name} after")
    return result


COMMIT = "SpoolFile.append: commit"
"""No await, but the place where the spool's thread makes records durable."""
WRITE = "ConfirmedWriter._write: frames"
"""No await either: a callback of the loop that hands the frames to the connection while the hook waits for its confirmation."""


def _die_around(owner: Any, method: str, name: str) -> None:
    real: Callable[..., None] = getattr(owner, method)

    def dying(*arguments: Any) -> None:
        die_at(f"{name} before")
        real(*arguments)
        die_at(f"{name} after")

    setattr(owner, method, dying)


def install() -> None:
    """Give the modules of ``FUNCTIONS`` their crash points when they are imported from now on."""
    sys.meta_path.insert(0, _Finder())


def main() -> None:
    """Run the gateway with its crash points."""
    install()
    from common.messaging.confirms import ConfirmedWriter
    from webhook_gateway.__main__ import main as serve
    from webhook_gateway.durable.spool_file import SpoolFile

    _die_around(SpoolFile, "append", COMMIT)
    _die_around(ConfirmedWriter, "_write", WRITE)
    serve()


if __name__ == "__main__":
    main()
