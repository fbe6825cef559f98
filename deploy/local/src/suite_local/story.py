"""One order's whole life, played for a person: six hooks in, the end state, the timeline, the chats, and a verdict on each step."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from suite_local import lifecycle, screens
from suite_local.catalogue import CONSOLE, ORCHESTRATOR, SANDBOX
from suite_local.console_page import console_page
from suite_local.evidence import Evidence, Step, judge
from suite_local.paths import RunDirectory

SEEN_WITHIN_S = 120.0
"""Long after the usual second or two: on a busy machine importing aiogram alone may take half a minute."""
QUIET_S = 1.0
"""How long we go on watching after everything was seen, for what must not happen."""
PATIENT = {"WEBHOOK_GATEWAY_CONFIRM_DEADLINE": "0.9"}
"""The settings of a gateway that plays a story. Where a confirmation is late, a hook goes through the spool, and the next one may overtake
it: the order ends the same, but a correction is sent instead of a change."""
ORDER = {"orders": 1, "lifecycle": "all_six", "positions": 2, "payments": True, "concurrency": 1}


def run(directory: RunDirectory) -> int:
    """Start, play, show, stay until Ctrl-C, stop what was started. Return 0 when every step was seen."""
    _interruptible()
    ran_before = bool(lifecycle.status(directory))
    try:
        passed = _show(directory)
        screens.show_status(lifecycle.status(directory))
        screens.show_way_in(directory.suite_json)
        screens.say(
            f"Addresses and tokens: {directory.suite_json}. Ctrl-C stops{' watching' if ran_before else ' everything'}."
        )
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                signal.pause()
    finally:
        if not ran_before:
            screens.say("stopping …")
            lifecycle.down(directory)
    return 0 if passed else 1


def demo(directory: RunDirectory) -> int:
    """Start, play, show, stop everything. Return 0 only if every step was seen."""
    _interruptible()
    try:
        passed = _show(directory)
    finally:
        screens.say("stopping …")
        lifecycle.down(directory)
    screens.say("every step was seen" if passed else "NOT every step was seen: see above")
    return 0 if passed else 1


def _interruptible() -> None:
    # A shell without job control starts what runs in its background with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _show(directory: RunDirectory) -> bool:
    started = time.monotonic()
    lifecycle.up(directory, {**PATIENT, **os.environ}, say=screens.say)
    screens.say(f"the suite is up after {time.monotonic() - started:.1f} s; one order goes through its whole life")
    document = json.loads(directory.suite_json.read_text(encoding="utf-8"))
    evidence, steps = play(document)
    screens.show_story(evidence, steps)
    return all(step.seen for step in steps)


def play(document: Mapping[str, Any]) -> tuple[Evidence, list[Step]]:
    """Play one order on the suite that `suite.json` describes; return what was seen, when all was, or the time was up."""
    sandbox = document["infrastructure"][SANDBOX]["url"]
    report = _call(f"{sandbox}/sandbox/marketplace/play", body=ORDER)["orders"][0]
    deadline = time.monotonic() + SEEN_WITHIN_S
    while True:
        evidence = observe(document, report)
        steps = judge(evidence)
        if all(step.seen for step in steps) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    time.sleep(QUIET_S)
    evidence = observe(document, report)
    return evidence, judge(evidence)


def observe(document: Mapping[str, Any], report: Mapping[str, Any]) -> Evidence:
    """Ask everybody what they saw of the order."""
    sandbox = document["infrastructure"][SANDBOX]["url"]
    orchestrator = document["services"][ORCHESTRATOR.name]["url"]
    number, tokens = report["number"], document["tokens"]

    def log(system: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = _call(f"{sandbox}/sandbox/{system}/log")["items"]
        return entries

    order = _try(f"{orchestrator}/orders/v1/orders/{number}", token=tokens["internal"])
    timeline = _try(f"{orchestrator}/admin/v1/orders/{number}/timeline?limit=200", token=tokens["viewer"])
    return Evidence(
        report=report,
        hooks=[entry for entry in log("marketplace") if _is_about(entry, report["external_id"])],
        order=order,
        timeline=timeline.get("items", []),
        telegram=[entry for entry in log("telegram") if _is_about(entry, number)],
        slack=[entry for entry in log("slack") if _is_about(entry, number)],
        trust=[entry for entry in log("trust") if report["payment_id"] in json.dumps(entry, ensure_ascii=False)],
        page=console_page(document["services"][CONSOLE.name]["url"], f"/o/{number}", token=tokens["viewer"]),
    )


def _is_about(entry: Mapping[str, Any], word: str | None) -> bool:
    return word is not None and word in json.dumps(entry["request"], ensure_ascii=False)


def _call(url: str, *, body: Mapping[str, Any] | None = None, token: str | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 -- our own address, http
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 -- as above
        parsed: dict[str, Any] = json.loads(answer.read())
        return parsed


def _try(url: str, *, token: str) -> dict[str, Any]:
    """Ask for something that may not be there yet."""
    try:
        return _call(url, token=token)
    except OSError:
        return {}
