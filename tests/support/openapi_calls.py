"""An OpenAPI document held against the service that serves it: every operation is called with what schemathesis makes up."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from common.http import encode_cursor, stamped_cursor
from tests.support.readiness import wait_ready

# Of each operation; of some hundred operations together that is many. OPENAPI_EXAMPLES=100 HYPOTHESIS_PROFILE=search looks further.
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "8"))
ADMIN, MACHINE = "admin-token", "internal-token"
_TOKENS = {
    "tokens": [
        {"name": "admin", "token": ADMIN, "role": "admin"},
        {"name": "machine", "token": MACHINE, "role": "internal"},
    ]
}
# Well-formed, and beyond what UTC can name or arithmetic can leave: generators hardly ever come upon them.
EDGES = (
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
)
_MOMENTS = st.sampled_from(EDGES) | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
schemathesis.openapi.format("date-time", _MOMENTS)
_FORGED = tuple(
    encode_cursor(*values)
    for edge in EDGES
    for values in (
        (edge,),
        (edge, 1),
        (edge, "x"),
        (edge, "00000000-0000-0000-0000-000000000000"),
        (edge, *[2**62] * 3),
    )
) + tuple(encode_cursor(*[number] * many) for number in (2**63 - 1, -(2**63)) for many in (1, 2))
_CHOSEN = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@asynccontextmanager
async def serving(package: str, directory: Path, *, runner: Sequence[str] = (), **variables: str) -> AsyncIterator[str]:
    """Run a service as a process that knows ``ADMIN`` and ``MACHINE``; give its address; see it end in order.

    Not in this process: Hypothesis watches its own process' random numbers. The variables are named without the service's prefix.
    ``runner`` is a module, and arguments of its, that runs the service in its own process.
    """
    tokens = directory / "tokens.json"
    tokens.write_text(json.dumps(_TOKENS))
    named = {"PORT": "0", "TOKENS_FILE": str(tokens), **variables}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", *runner, package, "serve"),
        env={**os.environ, **{f"{package.upper()}_{name}": value for name, value in named.items()}},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            entry = json.loads(line)
            if entry["event"] == "service_started":
                break
        reader = asyncio.create_task(process.stdout.read())  # a full pipe would stop it
        yield await wait_ready(f"http://127.0.0.1:{entry['port']}")
        process.terminate()
        assert await process.wait() == 0
        await reader
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}


def call_every_operation(
    url: str, headers_for: Callable[[str], Mapping[str, str]], *, examples: int = EXAMPLES
) -> set[str]:
    """Validate the document, call each operation with the headers for its path, and return the operations' names.

    Any 5xx, and any answer that the document does not allow, is an error.
    """
    document = schemathesis.openapi.from_url(url + "/openapi.json")
    document.config.request_timeout = 60  # of a machine that is busy; what hangs is another test's business
    validate(document.raw_schema)
    checks: list[Any] = [CHECKS.get_one(name) for name in _CHOSEN]
    called = set()
    # Not schemathesis' own pytest fixture: it reaches for an attribute that this pytest's items no longer have.
    for found in document.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        _call(operation, headers_for(operation.path), checks, examples)
        _call_with_forged_cursors(
            operation, headers_for(operation.path), checks, service=document.raw_schema["info"]["title"]
        )
        called.add(operation.label)
    return called


def _call(operation: Any, headers: Mapping[str, str], checks: list[Any], examples: int) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def call(case: Any) -> None:
        case.call_and_validate(headers=dict(headers), checks=checks)

    call()


def _call_with_forged_cursors(operation: Any, headers: Mapping[str, str], checks: list[Any], *, service: str) -> None:
    names = {parameter.name for parameter in operation.query}
    if "cursor" not in names:
        return
    path = {parameter.name: "x" for parameter in operation.path_parameters}
    called = operation.path.format(**path)
    for cursor in (stamped_cursor(forged, service, called) for forged in _FORGED):
        case = operation.Case(query={"cursor": cursor}, path_parameters=path)
        case.call_and_validate(headers=dict(headers), checks=checks)


def printed_title(package: str) -> str:
    """Have the service print its document, with nothing that it could open, and return the title."""
    printed = subprocess.run(
        [sys.executable, "-m", package, "openapi"], capture_output=True, text=True, timeout=120, check=True
    )
    title: str = json.loads(printed.stdout)["info"]["title"]
    return title
