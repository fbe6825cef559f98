"""Processes of a program whose modules are imported already: a start costs milliseconds instead of a second and more.

For tests of how a program refuses to start, many times over. A mother process imports, once, what the program needs; it has one
thread and runs nothing, and forks for each start. The child has its own environment, directory and output, runs the program as
``python -m`` does, and ends as an interpreter ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ENDS_WITHIN_S = 60.0


class Mother:
    """Starts one program again and again. To be used by one test at a time."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self._directory = directory

    async def run(
        self, program: str, *arguments: str, environment: Mapping[str, str], directory: Path
    ) -> tuple[int, str, str]:
        """Run a module, or the file of a path, to its end; return exit code, stdout and stderr."""
        async with asyncio.timeout(ENDS_WITHIN_S):
            return await asyncio.to_thread(self._run, program, arguments, environment, directory)

    def _run(
        self, program: str, arguments: Sequence[str], environment: Mapping[str, str], directory: Path
    ) -> tuple[int, str, str]:
        out, err = self._directory / "out", self._directory / "err"
        order = {
            "program": program,
            "arguments": list(arguments),
            "environment": dict(environment),
            "directory": str(directory),
            "output": [str(out), str(err)],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = self._process.stdout.readline()
        assert code, "the mother process has ended"
        return int(code), out.read_text(), err.read_text()


@contextlib.contextmanager
def mother(*modules: str, environment: Mapping[str, str] | None = None) -> Iterator[Mother]:
    """A mother process that has imported the modules; it and what it started are killed at the end."""
    with tempfile.TemporaryDirectory(prefix="suite-test-") as directory:
        process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            env=None if environment is None else dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield Mother(process, Path(directory))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _main(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(order: dict[str, object]) -> None:
    """Be the program from here on: what it raises, SystemExit above all, ends this process as it would end its own."""
    os.chdir(str(order["directory"]))
    os.environ.clear()
    os.environ.update(order["environment"])  # type: ignore[call-overload]  # what json gives is known to the parent
    output = order["output"]
    assert isinstance(output, list)
    for number, path in enumerate([os.devnull, *output]):
        mode = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, mode, 0o600), number)
    program, arguments = str(order["program"]), order["arguments"]
    assert isinstance(arguments, list)
    sys.argv = [program, *arguments]
    run = runpy.run_path if program.endswith(".py") else runpy.run_module
    run(program, run_name="__main__")


if __name__ == "__main__":
    _main(sys.argv[1:])
