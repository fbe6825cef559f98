"""What compose and Kubernetes hand to the notifier covers every critical problem; whatever is taken away of it is said, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from common.service import load_settings
from notifier.coverage.model import Hole, holes
from notifier.duty.escalation import Duty
from notifier.people.file import read_people
from notifier.providers import configured
from notifier.routing.file import read_routes
from notifier.settings import NotifierSettings
from suite_local.shipped import DEPLOY, compose_file, example_values, files_of, kubernetes_environment

Document = dict[str, Any]


@dataclass(frozen=True)
class Shipped:
    """What the notifier is told, its files as operators make them of the examples, and who is on duty."""

    environment: Mapping[str, str]
    routes: Document
    people: Document
    on_duty: str | None

    @property
    def _in_production(self) -> bool:
        return self.environment["NOTIFIER_ENVIRONMENT"] == "production"

    @property
    def route(self) -> str:
        """What brings problems of this environment to the people on duty."""
        return "problems in production" if self._in_production else "problems elsewhere"

    @property
    def chat(self) -> str:
        """Where they are told."""
        return "on-call-production" if self._in_production else "on-call-testing"

    def without_setting(self, name: str) -> Shipped:
        return replace(self, environment={key: text for key, text in self.environment.items() if key != name})

    def without_route(self, name: str) -> Shipped:
        return self._routed(lambda route: None if route["name"] == name else route)

    def without_chat(self, name: str) -> Shipped:
        """A chat that nobody routes to and nothing falls back to any more."""
        places = self.routes["destinations"].items()
        left = {
            each: {key: text for key, text in place.items() if (key, text) != ("fallback", name)}
            for each, place in places
            if each != name
        }
        found = self._routed(lambda route: {**route, "to": [each for each in route["to"] if each != name]})
        return replace(found, routes={**found.routes, "destinations": left})

    def without_person(self, name: str) -> Shipped:
        """A person who left, and was taken out of the owners too; the roster still has her."""
        people = {**self.people, "people": [each for each in self.people["people"] if each["id"] != name]}
        people["owners"] = {key: [each for each in ids if each != name] for key, ids in self.people["owners"].items()}
        people["seniors"] = [each for each in self.people["seniors"] if each != name]
        return replace(self, people=people)

    def without_roster(self) -> Shipped:
        return replace(self, on_duty=None)

    def _routed(self, change: Callable[[Document], Document | None]) -> Shipped:
        routes = [route for each in self.routes["routes"] if (route := change(each)) is not None and route["to"]]
        return replace(self, routes={**self.routes, "routes": routes})


def compose() -> Shipped:
    found = compose_file(example_values())
    return shipped(found["services"]["notifier"]["environment"], files_of(found, "notifier"))


def kubernetes() -> Shipped:
    folder = DEPLOY / "k8s" / "secrets.example" / "notifier-files"
    return shipped(kubernetes_environment("notifier"), {file.name: file.read_text() for file in folder.iterdir()})


def shipped(environment: Mapping[str, str], files: Mapping[str, str]) -> Shipped:
    """What is shipped, with examples that nobody calls invented any more."""
    routes, people = (
        json.loads(re.sub(r'"invented": true,? ?|, "invented": true', "", files[f"{name}.json"]))
        for name in ("routes", "people")
    )
    roster = json.loads((DEPLOY / "files.example" / "roster.json").read_text())
    return Shipped(environment, routes, people, roster["rotation"][0])


def missing(of: Shipped, monkeypatch: pytest.MonkeyPatch) -> tuple[Hole, ...]:
    """What coverage says."""
    with monkeypatch.context() as here:
        for name, text in of.environment.items():
            here.setenv(name, text)
        settings = load_settings(NotifierSettings)
    return holes(
        routes=read_routes(json.dumps(of.routes), name="routes"),
        environment=settings.environment,
        channels=configured(settings),
        directory=read_people(json.dumps(of.people).encode(), name="people"),
        duty=Duty(on_duty=of.on_duty),
        calls=settings.call_url is not None,
        policy=settings.policy,
    )


@pytest.mark.parametrize("made", [compose, kubernetes])
def test_what_is_shipped_covers_every_critical_problem(
    made: Callable[[], Shipped], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing(made(), monkeypatch) == ()


TAKEN_AWAY: dict[str, tuple[Callable[[Shipped], Shipped], set[str]]] = {
    "the people of a shift": (Shipped.without_roster, {"roster: nobody is on duty now"}),
    "the one on duty": (
        lambda at: at.without_person("oleg"),
        {"roster: oleg is on duty and is not in the people file"},
    ),
    "everybody who may act": (
        lambda at: at.without_person("oleg").without_person("anna"),
        {
            "people: the people file names nobody who may take a problem",
            "roster: oleg is on duty and is not in the people file",
        },
    ),
    "the route of problems": (
        lambda at: at.without_route(at.route),
        {"routes: no route takes a critical roster.handover of the environment {environment}"},
    ),
    "the chat of the people on duty": (
        lambda at: at.without_chat(at.chat),
        {"routes: no route takes a critical roster.handover of the environment {environment}"},
    ),
    "Telegram's token": (
        lambda at: at.without_setting("NOTIFIER_TELEGRAM_TOKEN"),
        {"channels: a critical roster.handover goes to {chat}, and none of their channels can send"},
    ),
    "the call provider": (
        lambda at: at.without_setting("NOTIFIER_CALL_URL"),
        {"call_provider: there is no call provider: nobody is phoned"},
    ),
    "the chain": (
        lambda at: replace(at, environment={**at.environment, "NOTIFIER_ESCALATION": "[]"}),
        {"escalation: the escalation chain has no step that phones anybody"},
    ),
}


@pytest.mark.parametrize("made", [compose, kubernetes])
@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_whatever_is_taken_away_is_said(
    what: str, made: Callable[[], Shipped], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away, said = TAKEN_AWAY[what]
    whole = made()
    names = {"environment": whole.environment["NOTIFIER_ENVIRONMENT"], "chat": whole.chat}
    found = {f"{hole.what}: {hole.detail}" for hole in missing(take_away(whole), monkeypatch)}
    assert found == {each.format(**names) for each in said}


@pytest.mark.parametrize("made", [compose, kubernetes])
def test_each_route_person_and_chat_is_needed_or_another_stands_in(
    made: Callable[[], Shipped], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made()
    chats = [name for name in whole.routes["destinations"] if name not in {"pickers", "store"}]  # of orders
    without = {
        **{f"route {each['name']}": whole.without_route(each["name"]) for each in whole.routes["routes"]},
        **{f"chat {name}": whole.without_chat(name) for name in chats},
        **{f"person {each['id']}": whole.without_person(each["id"]) for each in whole.people["people"]},
    }
    needed = {name for name, left in without.items() if missing(left, monkeypatch)}
    assert needed == {f"route {whole.route}", f"chat {whole.chat}", "person oleg"}
    both = whole.without_route(whole.route).without_route("problems in Slack")
    [hole] = missing(both, monkeypatch)
    assert "problem.alert," in hole.detail
    assert "problem.refund.error" in hole.detail
