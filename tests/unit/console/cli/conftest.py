"""``ordersctl`` as a person runs it, against a small server that answers for the five services."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

COUNTED = {"received": 5, "confirmed": 2, "spooled": 1, "quarantined": 1, "refused": 1}
LEDGER = {**COUNTED, "outcomes": 5, "difference": 0, "by_source": [], "refused_for": []}
RECALCULATED = {"orders": 9, "differing": 0, "items": []}
RECONCILED = {"registers": {"trust": "compared"}, "differences": [], "unanswered": 0}
UNALTERED = {"items": [{"name": name, "found": 0, "detail": ""} for name in ("orders", "refund-requests", "audit")]}


@dataclass(frozen=True)
class Call:
    """What was asked."""

    line: str
    query: dict[str, str]
    body: Any
    key: str | None
    token: str
    language: str | None = None


Answer = Callable[[Call], tuple[int, Any]]


@dataclass
class Services:
    """All five services at one address. What no answer is set for is an empty list, or 404 where one thing is asked for."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    drop: str | None = None  # this change is made, and the connection ends before the answer

    def on(self, line: str, answer: Any, status: int = 200) -> None:
        """Answer a line (``GET /path``) with JSON, with text, or as a function of the call."""
        self.answers[line] = answer if callable(answer) else lambda _: (status, answer)

    def lines(self, method: str) -> list[str]:
        """What was asked by this method, in order."""
        return [call.line for call in self.calls if call.line.startswith(method)]

    def answer(self, call: Call) -> tuple[int, Any]:
        """Note the call and answer it; who one is may be asked at any time."""
        if call.line != "GET /admin/v1/whoami":
            self.calls.append(call)
        if call.token != "Bearer secret-token":
            return 401, {"code": "unauthorized", "detail": "who is this"}
        if found := self.answers.get(call.line):
            return found(call)
        if call.line.count("/") <= 3:
            return 200, {"items": [], "next_cursor": None, "count": 0}
        return 404, {"code": "not_found", "detail": "there is none"}


def checks(services: Services) -> None:
    """Let every check find that all is well."""
    services.on("GET /admin/v1/ledger", LEDGER)
    services.on("POST /admin/v1/orders/recalculate", RECALCULATED)
    services.on("POST /admin/v1/reconciliation", RECONCILED)
    services.on("GET /admin/v1/verdicts", UNALTERED)


@pytest.fixture
def services() -> Iterator[Services]:
    """The server, on a port of its own."""
    known = Services()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            asked = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = Call(
                f"{self.command} {asked.path}",
                dict(parse_qsl(asked.query)),
                json.loads(sent) if sent else None,
                self.headers.get("Idempotency-Key"),
                self.headers.get("Authorization", ""),
                self.headers.get("Accept-Language"),
            )
            status, said = known.answer(call)
            if call.key is not None and call.line == known.drop:
                self.close_connection = True
                return
            text = said if isinstance(said, str) else json.dumps(said)
            body = text.encode("utf-8", "surrogatepass")
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(said, str) else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration directory of its own, without profiles; no suite is found."""
    monkeypatch.setenv("ORDERSCTL_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("ORDERSCTL_PROFILE", raising=False)
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path


@pytest.fixture
def profile(config: Path, services: Services) -> Path:
    """A profile that leads to the server, and one for production."""
    (config / "token").write_text("secret-token\n")
    (config / "config.toml").write_text(
        f"""
        [profiles.here]
        url = "{services.url}"
        console = "https://console.example"
        token = {{ file = "{config / "token"}" }}
        [profiles.live]
        url = "{services.url}"
        production = true
        token = {{ file = "{config / "token"}" }}
        """
    )
    (config / "current").write_text("here\n")
    return config / "config.toml"


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    remarks: str

    @property
    def json(self) -> Any:
        """The result as JSON."""
        return json.loads(self.out)


Ordersctl = Callable[..., Ended]


@pytest.fixture
def ordersctl(profile: Path, capsys: pytest.CaptureFixture[str]) -> Ordersctl:
    """Run it in this process; ``terminal`` is whether a person sits there, who types ``typed``."""
    from console.cli.app import main

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run
