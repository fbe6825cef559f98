"""The whole suite on this machine: up, up again, a service killed, down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from suite_local import lifecycle
from suite_local.paths import RunDirectory
from suite_local.readiness import ask
from suite_local.story import PATIENT, observe, play
from suite_local.supervision import strays
from suite_local.testing import free_ports

from .conftest import until

pytestmark = pytest.mark.timeout(600)  # a whole suite starts here, more than once, beside other tests


def document_of(run: RunDirectory) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run.suite_json.read_text(encoding="utf-8"))
    return document


def pids_of(run: RunDirectory) -> dict[str, list[int]]:
    return {name: service["pids"] for name, service in document_of(run)["services"].items()}


@pytest.mark.chaos
def test_a_suite_survives_a_second_up_the_death_of_every_service_and_a_down(
    own_run: RunDirectory,
) -> None:
    """One test, because a suite takes long to start."""
    environ = {**os.environ, **PATIENT, **free_ports()}
    own_run.create()
    lifecycle.up(own_run, environ)
    document, before = document_of(own_run), pids_of(own_run)
    assert all(ask(service["url"]).ready for service in document["services"].values())

    lifecycle.up(own_run, {**os.environ, **PATIENT})  # who asks for no port leaves everything where it is
    assert pids_of(own_run) == before

    for pids in before.values():
        os.kill(pids[0], signal.SIGKILL)
    until(lambda: all(after and after != before[name] for name, after in pids_of(own_run).items()))
    assert document_of(own_run) == {**document, "services": document_of(own_run)["services"]}
    until(lambda: all(ask(service["url"]).ready for service in document["services"].values()))

    evidence, steps = play(document)
    assert [step.name for step in steps if not step.seen] == []

    assert lifecycle.down(own_run) is True
    assert strays(own_run) == []
    assert not own_run.suite_json.exists()
    assert lifecycle.status(own_run) == []
    assert lifecycle.down(own_run) is False

    lifecycle.up(own_run, environ)
    states = {line.name: line.ready for line in lifecycle.status(own_run)}
    assert set(states) == {"postgres", "rabbitmq", "sandbox", *document_of(own_run)["services"]}
    assert all(states.values())
    found = order_of(own_run, evidence.report["number"])
    assert found["version"] >= evidence.order["version"]
    # The money of a cancelled order goes back after the story has ended, which the order tells of.
    later = {"version", "updated_at", "payment"}
    assert {name: value for name, value in found.items() if name not in later} == {
        name: value for name, value in evidence.order.items() if name not in later
    }
    # The database still has the refund of before; so must the payment system, or it would look as if no money had moved.
    [paid] = [each["refunds"] for each in ledger_of(own_run) if each["payment_id"] == evidence.report["payment_id"]]
    assert paid != []
    until(lambda: check_all(own_run) == (0, "nothing is lost, nothing differs"))


def ledger_of(run: RunDirectory) -> list[dict[str, Any]]:
    """What Trust shows of its payments and refunds."""
    sandbox = document_of(run)["infrastructure"]["sandbox"]["url"]
    with urllib.request.urlopen(f"{sandbox}/sandbox/trust/ledger") as answer:  # noqa: S310 -- the sandbox, over http
        items: list[dict[str, Any]] = json.loads(answer.read())["items"]
        return items


def check_all(run: RunDirectory) -> tuple[int, str]:
    """``ordersctl check all``, as the README has it: exit code and verdict."""
    ended = subprocess.run(
        [Path(sys.executable).with_name("ordersctl"), "check", "all"],
        env={**os.environ, "SUITE_RUN_DIR": str(run.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, next(
        (line for line in ended.stderr.splitlines() if line.startswith(("nothing is", "NOT"))), ended.stderr
    )


def order_of(run: RunDirectory, number: str) -> dict[str, Any]:
    document = document_of(run)
    report = {"number": number, "external_id": "-", "payment_id": "-"}
    return dict(observe(document, report).order)
