"""A pressed button: who pressed it, may they, what it does, and what they are answered. One transaction a button."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from common.errors import Conflict, NotFound
from common.ids import derived_id, new_id
from notifier.buttons.store import ActionEffects, ButtonAction
from notifier.delivery.model import NewNotice
from notifier.incidents.act import Act, ActOnIncident
from notifier.incidents.kinds import recipe_of
from notifier.incidents.model import IncidentState, TakenAlready
from notifier.messages.incident_notices import ButtonData, question_buttons, read_data, render_question
from notifier.messages.words import Words
from notifier.people.model import Directory, Person
from notifier.recipes.begin import BeginRecipe
from notifier.recipes.model import RecipeRequest, named
from notifier.routing.model import Chosen, Destination, Routes

_QUESTION_LASTS = timedelta(minutes=5)
_SILENCE_LASTS = timedelta(hours=1)


class HandleButtonAction:
    """Never raises for what people do: everybody is answered. The same button pressed again changes nothing more.

    Raises ``CallUnderWay``: nothing is kept then, and the same is tried again at once.
    """

    def __init__(
        self, *, act: ActOnIncident, directory: Directory, words: Words, environment: str, routes: Routes
    ) -> None:
        self._act = act
        self._begin = BeginRecipe(act)
        self._directory = directory
        self._words = words
        self._environment = environment
        self._routes = routes

    def person_of(self, action: ButtonAction) -> Person | None:
        """Return who pressed, None for a stranger."""
        return self._directory.by_account(action.channel, action.who)

    async def __call__(self, effects: ActionEffects, action: ButtonAction) -> tuple[str, str]:
        """Do what the button says; returns (outcome for the metrics, the answer for the person)."""
        person = self.person_of(action)
        if person is None:
            return "unknown_person", self._words["answer.unknown_person"]
        if not person.may_act:
            return "forbidden", self._words["answer.too_little"]
        pressed = read_data(action.data)
        if pressed is None:
            return "unknown_button", self._words["answer.unknown_button"]
        try:
            return await self._carry_out(effects, action, person, pressed)
        except TakenAlready:
            incident = await effects.incident_store.incident(pressed.number)
            holder = self._directory.name_of(incident.holder or "")
            return "taken", self._words["answer.taken"].format(who=holder)
        except NotFound:
            return "unknown_button", self._words["answer.unknown_button"]
        except Conflict:
            return "over", self._words["answer.over"]

    async def _carry_out(
        self, effects: ActionEffects, action: ButtonAction, person: Person, pressed: ButtonData
    ) -> tuple[str, str]:
        if pressed.act == "ack" or pressed.act == "resolve":
            return await self._incident(effects, person, pressed.number, pressed.act)
        if pressed.act == "silence":
            return await self._silence(effects, person, pressed.number)
        if pressed.act == "recipe":
            return await self._recipe(effects, action, person, pressed.number)
        if pressed.act == "handover":
            return await self._handover(effects, person, pressed.number)
        return await self._decide(effects, action, person, pressed)

    async def _incident(self, effects: ActionEffects, person: Person, incident_id: int, act: Act) -> tuple[str, str]:
        before = await effects.incident_store.incident(incident_id)
        mine = before.state is IncidentState.ACKNOWLEDGED and before.holder == person.id
        if not (act == "ack" and mine):  # the same button again, under another update id, is no second act
            await self._act(
                effects.incident_store,
                effects.notifications,
                incident_id=incident_id,
                act=act,
                actor=person.id,
                text=self._words["button.ack" if act == "ack" else "button.resolve"],
                dry_run=False,
            )
        if act == "resolve":
            return "done", self._words["answer.resolved"]
        until = (await effects.incident_store.incident(incident_id)).ack_until
        return "done", self._words["answer.ack"].format(
            until="" if until is None else f"{self._words.there(until):%H:%M %Z}"
        )

    async def _silence(self, effects: ActionEffects, person: Person, incident_id: int) -> tuple[str, str]:
        incident = await effects.incident_store.incident(incident_id)
        if incident.state is IncidentState.RESOLVED:
            return "over", self._words["answer.over"]
        reason = self._words["button.silence"]
        await effects.silence(incident, person=person.id, lasts=_SILENCE_LASTS, reason=reason)
        return "done", self._words["answer.silenced"]

    async def _recipe(
        self, effects: ActionEffects, action: ButtonAction, person: Person, incident_id: int
    ) -> tuple[str, str]:
        incident = await effects.incident_store.incident(incident_id)
        recipe = recipe_of(incident.fact)
        if recipe is None:
            return "no_recipe", self._words["answer.no_recipe"]
        if incident.state is IncidentState.RESOLVED:
            return "over", self._words["answer.over"]
        request, new = await effects.recipes.ask(
            incident_id=incident_id, recipe=recipe, person=person.id, channel=action.channel, lasts=_QUESTION_LASTS
        )
        if request.person != person.id:
            return "taken", self._words["recipe.open"].format(who=self._directory.name_of(request.person))
        if new:
            await effects.notifications.add([self._question(request, action, person, incident_id)])
            await effects.note(incident_id, actor=person.id, act="recipe_asked", text=self._named(request))
        return "asked", self._words["recipe.asked"].format(recipe=self._named(request))

    def _question(self, request: RecipeRequest, action: ButtonAction, person: Person, incident_id: int) -> NewNotice:
        """Ask back where the button was pressed."""
        question = self._words["recipe.ask"].format(who=person.shown, recipe=self._named(request))
        destination = self._destination(action)
        return NewNotice(
            id=new_id(),
            subject=f"recipe:{request.id}",
            transition="asked",
            sequence=0,
            kind="recipe.question",
            severity="critical",  # somebody waits for it
            event_id=derived_id("notifier.recipe-question", str(request.id)),
            occurred_at=request.asked_at,
            incident_id=incident_id,
            document=render_question(
                question, environment=self._environment, buttons=question_buttons(request.id, words=self._words)
            ),
            traceparent=action.traceparent,
            chosen=(Chosen(destination, "the button that was pressed"),),
        )

    def _destination(self, action: ButtonAction) -> Destination:
        """Return the chat where the button was pressed: the one of the routes file, whose queue and limits it shares."""
        for known in self._routes.destinations.values():
            if (known.channel, known.address) == (action.channel, action.address):
                return known
        channel: Literal["slack", "telegram"] = "slack" if action.channel == "slack" else "telegram"
        return Destination(name="pressed", channel=channel, address=action.address)

    async def _decide(
        self, effects: ActionEffects, action: ButtonAction, person: Person, pressed: ButtonData
    ) -> tuple[str, str]:
        request = await effects.recipes.find(pressed.number)
        if request is None:
            return "unknown_button", self._words["answer.unknown_button"]
        if request.person != person.id:
            return "not_yours", self._words["recipe.not_yours"].format(who=self._directory.name_of(request.person))
        if request.state in {"confirmed", "running", "done"} and pressed.act == "yes":
            return "done", self._words["recipe.began"].format(recipe=self._named(request))
        if request.state != "asked":
            return "over", self._words["recipe.over"]
        if pressed.act == "no":
            await effects.recipes.decline(request.id, traceparent=action.traceparent)
            return "done", self._words["recipe.declined"]
        await self._begin(
            effects.recipes,
            effects.incident_store,
            effects.notifications,
            request,
            named=self._named(request),
            traceparent=action.traceparent,
        )
        return "done", self._words["recipe.began"].format(recipe=self._named(request))

    async def _handover(self, effects: ActionEffects, person: Person, handover_id: int) -> tuple[str, str]:
        whose = await effects.confirm_handover(handover_id, person=person.id, reason=self._words["button.handover"])
        if whose is None:
            return "unknown_button", self._words["answer.unknown_button"]
        if whose != person.id:
            return "not_yours", self._words["answer.handover_other"].format(who=self._directory.name_of(whose))
        return "done", self._words["answer.handover"]

    def _named(self, request: RecipeRequest) -> str:
        return named(request, self._words)
