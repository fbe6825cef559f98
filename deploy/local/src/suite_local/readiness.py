"""Asking services whether they are ready, and saying why not."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from suite_local.errors import NotReadyError


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of one `/readyz`: ready, or the reason in the service's own words."""

    ready: bool
    reason: str


def ask(url: str, *, path: str = "/readyz", timeout_s: float = 2) -> Readiness:
    """Ask once; an address that does not answer is not ready."""
    try:
        with urllib.request.urlopen(f"{url}{path}", timeout=timeout_s):  # noqa: S310 -- our own address, http
            return Readiness(True, "ready")
    except urllib.error.HTTPError as error:
        return Readiness(False, _reason(error.read().decode(errors="replace")) or f"answers {error.code}")
    except (OSError, http.client.HTTPException) as error:  # the second is said of one that dies while it answers
        return Readiness(False, f"does not answer ({getattr(error, 'reason', None) or error})")


def wait_all(
    urls: Mapping[str, str], *, timeout_s: float, watch: Callable[[], None] = lambda: None, path: str = "/readyz"
) -> None:
    """Return when every address is ready; `NotReadyError` naming those that are not. `watch` may raise to give up sooner."""
    deadline = time.monotonic() + timeout_s
    waiting = dict(urls)
    while True:
        answers = {name: ask(url, path=path) for name, url in waiting.items()}
        waiting = {name: waiting[name] for name, answer in answers.items() if not answer.ready}
        if not waiting:
            return
        watch()
        if time.monotonic() > deadline:
            reasons = "\n".join(f"  {name}: {answers[name].reason}" for name in waiting)
            raise NotReadyError(f"not ready after {timeout_s:.0f} s:\n{reasons}")
        time.sleep(0.1)


def _reason(body: str) -> str:
    try:
        return json.dumps(json.loads(body), ensure_ascii=False)
    except ValueError:
        return body.strip()
