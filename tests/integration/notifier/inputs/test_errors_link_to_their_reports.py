"""Messages about errors link to what the service reported of them: shipped rules, the real SDK, and the sandbox's Sentry."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.telemetry.sentry import report_exception, setup_sentry
from notifier.incidents.model import ProblemFact
from notifier.inputs.alert import Alert
from notifier.inputs.alertmanager import problem_of
from notifier.inputs.events import workflow_fact
from notifier.inputs.lenient import Vocabulary
from notifier.messages.links import Links, links_of
from notifier.messages.words import Words
from sandbox.testing import running_sandbox
from tests.integration.notifier.factories import NOW
from tests.integration.notifier.people import crashed

RULES = Path(__file__).parents[4] / "deploy" / "prometheus" / "rules" / "platform.yml"
WORDS = Words("en")
ROUTE = "/orders/v1/orders/{number}"


def alert(name: str, *, job: str = "orchestrator", **labels: str) -> ProblemFact:
    """The problem that an alert of the shipped rules is, labelled as Prometheus would."""
    [rule] = [each for each in yaml.safe_load(RULES.read_text())["groups"][0]["rules"] if each.get("alert") == name]
    told = {
        key: value.replace("{{ $labels.job }}", job) for key, value in (rule["labels"] | {"alertname": name}).items()
    }
    fired = Alert(fingerprint="f", over=False, labels={**told, "job": job, **labels}, annotations=rule["annotations"])
    return problem_of(fired, "alertmanager:f", now=NOW, vocabulary=Vocabulary(), words=WORDS)


def report(dsn: str) -> None:
    """Report as a service does that could not answer a request, and gives a workflow up; blocks until it has gone."""
    close = setup_sentry(dsn=dsn, environment="testing", release="1", service="orchestrator", replica="one")
    report_exception(RuntimeError("of a request"), method="GET", route=ROUTE)
    report_exception(RuntimeError("of a workflow"), workflow_id=77, order_number="R-1")
    close()


@pytest.mark.parametrize(
    ("problem", "found"),
    [
        (alert("RequestsFail", method="GET", route=ROUTE), {"of a request"}),
        (alert("RequestsFail", method="POST", route=ROUTE), set()),
        (alert("ErrorsLogged", event="job_failed"), {"of a request", "of a workflow"}),
        (alert("ErrorsLogged", job="tips", event="job_failed"), set()),
        (workflow_fact(crashed(77), WORDS), {"of a workflow"}),
        (workflow_fact(crashed(7), WORDS), set()),
    ],
)
async def test_a_problem_links_to_what_its_service_reported_of_it(problem: Any, found: set[str]) -> None:
    async with running_sandbox() as sandbox:
        await asyncio.to_thread(report, sandbox.sentry_dsn)
        here = Links("http://pages", sentry=f"{sandbox.url}/organizations/order-suite/issues/?environment=testing")
        links = {span.text: span.link for span in links_of(problem, 5, links=here, words=WORDS) if span.link}
        if problem.kind == "problem.alert":
            assert links["Runbook"].startswith("http://pages/runbook/platform-")
        async with sandbox.session.get(links["Sentry"], headers={"Accept": "text/html"}) as answer:
            page = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert set(re.findall("RuntimeError: ([a-z ]+)", page)) == found


@pytest.mark.parametrize(
    ("problem", "issues"),
    [
        (alert("RequestsFail", method="GET", route=ROUTE), None),
        (alert("ConfigurationFileBroken", file="tokens"), "https://sentry.example/issues/"),
    ],
)
def test_without_sentry_or_a_report_there_is_no_link_to_it(problem: ProblemFact, issues: str | None) -> None:
    assert "Sentry" not in {span.text for span in links_of(problem, 5, links=Links(sentry=issues), words=WORDS)}
