"""Which reports at Sentry are about a problem: a search there, by the tags that the services give their reports. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from notifier.incidents.model import ProblemFact

REQUESTS_FAIL, ERRORS_LOGGED = "RequestsFail", "ErrorsLogged"
"""The alerts about errors that services report, by their names in the rules of Prometheus."""


def reports_of(fact: ProblemFact, issues: str | None) -> str | None:
    """Return the address of the reports about a problem; None when it is about none.

    ``issues`` is Sentry's list of issues (None: there is no Sentry); what it says already (a project, an environment) is kept.
    """
    tags = _tags(fact)
    if issues is None or not tags:
        return None
    query = " ".join(f'{name}:"{value}"' for name, value in tags.items())
    return f"{issues}{'&' if '?' in issues else '?'}query={quote(query, safe='')}"


def _tags(fact: ProblemFact) -> Mapping[str, str]:
    if fact.kind == "workflow.crashed":
        return {"service": fact.service, "workflow_id": fact.fingerprint.rpartition(":")[2]}
    if fact.alert not in {REQUESTS_FAIL, ERRORS_LOGGED}:
        return {}
    method, _, route = fact.details.get("request", "").rpartition(" ")
    found = {"service": fact.service, "method": method, "route": route}
    return {name: value.replace('"', "") for name, value in found.items() if value}
