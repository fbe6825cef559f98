"""One box. It is sent as a form, so that a customer's name, phone or mail never stands in an address or a history."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from common.http import Route
from console.client.suite import RefusedError, UnreachableError
from console.client.things import THINGS, value
from console.web.find.recognise import Guess, guesses, is_private
from console.web.links import address_of
from console.web.pages import Console, Visit, redirect

_FEW = 8
_NOT_THERE = frozenset({400, 404, 422})


@dataclass(frozen=True, slots=True)
class Result:
    """What one kind of thing gave. ``problem`` where the service could not say."""

    guess: Guess
    items: Sequence[Mapping[str, Any]]
    problem: str | None = None


def routes(console: Console) -> list[Route]:
    """Return the routes of the box."""
    return [
        console.get("/find", _from_address, summary="Find by a thing's name"),
        console.post("/find", _from_form, summary="Find by anything"),
    ]


async def _from_address(visit: Visit) -> web.StreamResponse:
    text = visit.raw.query.get("q", "").strip()
    if not text or is_private(text):
        return visit.page("find/find.html", text="", results=None, private=bool(text), things=THINGS)
    return await _found(visit, text)


async def _from_form(visit: Visit) -> web.StreamResponse:
    text = str(visit.form.get("q", "")).strip()
    if not text:
        return visit.page("find/find.html", text="", results=None, private=False, things=THINGS)
    return await _found(visit, text)


async def _found(visit: Visit, text: str) -> web.StreamResponse:
    answers = await asyncio.gather(*(_look(visit, guess) for guess in guesses(text)))
    results = _merged(answers)
    only = [(result.guess.noun, item) for result in results for item in result.items]
    if len(only) == 1 and not any(result.problem for result in results):
        noun, item = only[0]
        address = address_of(noun, value(item, THINGS[noun].id))
        if address is not None:
            return redirect(address)
    return visit.page("find/find.html", text=text, results=results, private=False, things=THINGS)


async def _look(visit: Visit, guess: Guess) -> Result:
    thing = THINGS[guess.noun]
    try:
        if guess.by is None:
            return Result(guess, [await thing.read(visit.person.suite, guess.text)])
        page = await thing.page(visit.person.suite, **{guess.by: guess.text}, limit=_FEW)
        return Result(guess, page.items)
    except RefusedError as error:
        return Result(guess, [], None if error.status in _NOT_THERE else str(error))
    except UnreachableError as error:
        return Result(guess, [], str(error))


def _merged(results: Sequence[Result]) -> list[Result]:
    """Return each thing once, whichever way it was found."""
    seen: set[tuple[str, str]] = set()
    merged = []
    for result in results:
        noun = result.guess.noun
        fresh = []
        for item in result.items:
            name = (noun, str(value(item, THINGS[noun].id)))
            if name not in seen:
                seen.add(name)
                fresh.append(item)
        merged.append(Result(result.guess, fresh, result.problem))
    return merged
