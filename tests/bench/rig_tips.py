"""What the benchmarks of tips stand on: an orders database with finished orders, a role for tips, a feedback service, and the load."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import randrange
from uuid import uuid4

import asyncpg
from yarl import URL

from suite_local.testing import addresses_from
from tests.bench.references.feedback_server import FIXED
from tests.bench.rig import HERE, Load, fetch, find_wrk, free_port, process, wait_for
from tests.support.servers import TestDatabases

ORDERS = 20_000
TOKEN = "internal-token"
_FILL = """
INSERT INTO orders (number, source, external_id, status, closed, shipped, paid, revision, zone, tariff, currency, payment_method,
                    cost_total, document, finished_at, tips_amount, tips_type, tips_choice, tips_feedback_at, tips_seen)
SELECT $1 || n, 'bench', $1 || n, 'delivered', true, true, true, 5, 'moscow', 'express', 'RUB', 'card', 16000, '{}',
       now() - interval '1 hour', 1600, 'percent', 'suggested', $2, '{order,tipped,choice:suggested,type:percent}'
FROM generate_series(1, $3) AS n
"""


@asynccontextmanager
async def orders_database() -> AsyncIterator[str]:
    """Give the address of a database with orders ``S1…`` and ``W1…``, their tips set, for a login of the role tips; drop it afterwards."""
    addresses = addresses_from(os.environ)
    if addresses is None:
        sys.exit("run the benchmarks with `make bench`: it starts servers of their own")
    async with TestDatabases(addresses.postgres_dsn).migrated("orchestrator") as dsn, finished_orders(dsn) as given:
        yield given


@asynccontextmanager
async def finished_orders(dsn: str) -> AsyncIterator[str]:
    """Put orders ``S1…`` and ``W1…``, their tips set, into the orders database; give its address for a login of the role tips."""
    login = f"tips_{uuid4().hex[:12]}"
    owner = await asyncpg.connect(dsn)
    try:
        for prefix in ("S", "W"):
            await owner.execute(_FILL, prefix, datetime.fromisoformat(FIXED), ORDERS)
        await owner.execute("VACUUM ANALYZE orders")
        await owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'tips' IN ROLE tips")
        yield str(URL(dsn).with_user(login).with_password("tips"))
    finally:
        await owner.execute(f"DROP ROLE IF EXISTS {login}")
        await owner.close()


@contextmanager
def tips(dsn: str, feedback_url: str, directory: Path, **changes: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `python -m tips serve` as production does; give its address and process when it is ready."""
    tokens = directory / "tips-tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "caller", "token": TOKEN, "role": "internal"}]}))
    port = free_port()
    values = {
        "PORT": str(port),
        "POSTGRES_DSN": dsn,
        "FEEDBACK_URL": feedback_url,
        "TOKENS_FILE": str(tokens),
        **changes,
    }
    url = f"http://127.0.0.1:{port}"
    with process(
        [sys.executable, "-m", "tips", "serve"], {f"TIPS_{name}": value for name, value in values.items()}
    ) as child:
        wait_for(lambda: fetch(url + "/readyz"), child)
        yield url, child


async def wrk_tips(url: str, what: str, prefix: str, *, seconds: int, connections: int) -> Load:
    """Call one endpoint over so many connections, each as soon as the last call was answered."""
    child = await asyncio.create_subprocess_exec(
        find_wrk(),
        *("-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "tips.lua"), url),
        *("--", what, prefix, str(ORDERS), str(randrange(10**6))),  # noqa: S311 - which orders, nothing more
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await child.communicate()
    lines = [line for line in output.decode().splitlines() if line.startswith("{")]
    if child.returncode != 0 or not lines:
        raise RuntimeError(f"wrk failed: {errors.decode()[-500:]}")
    return Load(**json.loads(lines[-1]))


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a paced load: when it was due, how much later it was sent, when its answer came (seconds).

    ``waited`` runs from the moment it was due. Status 0: no answer within the deadline.
    """

    due: float
    late: float
    waited: float
    status: int
    what: str
