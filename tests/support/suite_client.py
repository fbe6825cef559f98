"""A running suite, and how tests speak to it: over its public addresses only."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
# Variables by which a person, or the tests' own servers, would steer the suite away from a directory of its own.
_STEERING = re.compile(
    r"^(SUITE_(?!PORT_SHARE)|WEBHOOK_GATEWAY_|ORCHESTRATOR_|TIPS_|REFUNDS_|NOTIFIER_|CONSOLE_|SANDBOX_)"
)


@dataclass(frozen=True, slots=True)
class RunningSuite:
    """A suite that is up, and how to speak to it."""

    directory: Path
    environment: dict[str, str]

    @property
    def description(self) -> dict[str, Any]:
        """``suite.json`` as it is now: process ids change."""
        loaded: dict[str, Any] = json.loads((self.directory / "suite.json").read_text())
        return loaded

    def url(self, service: str) -> str:
        """The address of a service or of the sandbox."""
        description = self.description
        where = description["services"].get(service) or description["infrastructure"][service]
        return str(where["url"])

    def pids(self, service: str) -> list[int]:
        """The processes of a service."""
        return [int(pid) for pid in self.description["services"][service]["pids"]]

    def token(self, name: str) -> str:
        """A token by its name."""
        return str(self.description["tokens"][name])

    def logs(self, program: str) -> list[dict[str, Any]]:
        """Every structured log line of a program."""
        lines: list[dict[str, Any]] = []
        for path in sorted((self.directory / "logs").glob(f"{program}*.log*")):
            text = path.read_text(errors="replace").rpartition("\n")[0]  # the last line may be half written
            lines += [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return lines

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m suite_local`` on this suite."""
        return subprocess.run(
            [sys.executable, "-m", "suite_local", *arguments],
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


class Client:
    """HTTP to the suite, with the right token."""

    def __init__(self, suite: RunningSuite, session: aiohttp.ClientSession) -> None:
        self.suite = suite
        self._session = session

    async def get(self, service: str, path: str, *, role: str | None = "viewer", **query: str | int) -> Any:
        """GET and return the JSON; anything but 200 is an ``AssertionError``."""
        headers = {"Authorization": f"Bearer {self.suite.token(role)}"} if role else {}
        async with self._session.get(self.suite.url(service) + path, headers=headers, params=query) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == 200, (path, answer.status, body)
            return body

    async def text(self, service: str, path: str, *, role: str = "operator", **headers: str) -> str:
        """GET and return the text as it came; anything but 200 and 404 is an ``AssertionError``."""
        sent = {"Authorization": f"Bearer {self.suite.token(role)}", **headers}
        async with self._session.get(self.suite.url(service) + path, headers=sent) as answer:
            assert answer.status in (200, 404), (path, answer.status)
            return await answer.text()

    async def put(self, service: str, path: str, body: object) -> Any:
        """PUT without a token (the sandbox's controls)."""
        async with self._session.put(self.suite.url(service) + path, json=body) as answer:
            assert answer.status < 300, (path, answer.status, await answer.text())
            return await answer.json(content_type=None)

    async def post(self, url: str, body: object, *, role: str) -> tuple[int, Any]:
        """POST to a full address with a role's token; return status and JSON."""
        headers = {"Authorization": f"Bearer {self.suite.token(role)}"}
        async with self._session.post(url, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def delete(self, url: str, *, role: str) -> int:
        """DELETE a full address with a role's token and a reason; return the status."""
        headers = {"Authorization": f"Bearer {self.suite.token(role)}"}
        async with self._session.delete(url, json={"reason": "for a test"}, headers=headers) as answer:
            return answer.status

    async def send_as(self, service: str, path: str, body: object, *, headers: dict[str, str]) -> Any:
        """POST as another system does, with its own headers; anything but success is an ``AssertionError``."""
        async with self._session.post(self.suite.url(service) + path, json=body, headers=headers) as answer:
            said = await answer.json(content_type=None)
            assert answer.status < 300, (path, answer.status, said)
            return said

    async def play(self, **order: Any) -> dict[str, Any]:
        """Have the marketplace play orders, and return its report."""
        timeout = aiohttp.ClientTimeout(total=600)
        url = self.suite.url("sandbox") + "/sandbox/marketplace/play"
        async with self._session.post(url, json=order, timeout=timeout) as answer:
            report: dict[str, Any] = await answer.json()
            assert answer.status == 200, report
            return report

    async def hook(self, envelope: dict[str, Any], *, traceparent: str | None = None) -> tuple[int, Any, str | None]:
        """Send one hook; return status, body, and the traceparent of the answer."""
        headers = {"Client-token": self.suite.token("marketplace")}
        if traceparent is not None:
            headers["traceparent"] = traceparent
        url = self.suite.url("webhook-gateway") + "/hooks/v1/sbermarket"
        async with self._session.post(url, json=envelope, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers.get("traceparent")

    async def chat_log(self, system: str) -> list[dict[str, Any]]:
        """Everything that a chat system received, in order, page by page."""
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            page = await self.get("sandbox", f"/sandbox/{system}/log", role=None, after=after, limit=1000)
            items = page["items"] if isinstance(page, dict) else page
            if not items:
                return found
            found += items
            after = items[-1]["seq"]


def environment_for(directory: Path) -> dict[str, str]:
    """Return this process's environment, steered to a suite in a directory of its own."""
    environment = {name: value for name, value in os.environ.items() if not _STEERING.match(name)}
    return {**environment, "SUITE_RUN_DIR": str(directory)}


def hook(event: str, external_id: str, *, at: datetime, **payload: Any) -> dict[str, Any]:
    """An envelope as the marketplace sends it."""
    return {
        "event_type": f"order.{event}",
        "timestamp": at.isoformat(),
        "payload": {"originalOrderId": external_id, "storeID": "17", **payload},
    }


POSITIONS = [
    {
        "id": "sku-1",
        "name": "Молоко 3,2 %",
        "originalQuantity": 2,
        "quantity": 2,
        "price": "85.00",
        "totalPrice": "170.00",
    },
]
TOTAL = {"totalPrice": "170.00", "discountTotalPrice": "170.00"}
