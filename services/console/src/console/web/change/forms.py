"""A change as a form: inputs of an operation's fields, and a wish of what was filled in. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from common.money import exponent
from console.client.acts import Act
from console.client.operations import Field
from console.client.parts import address_said
from console.client.words import label
from console.web.change.structure import STRUCTURES, Structure, names_of, read
from console.web.pages import Form, NotUnderstoodError

SHORTEST_REASON = 3
BEFORE = "was."
"""Before the name of an input: the hidden one that says what stood there when the form was made."""
_LONG_TEXT = 200
_MONEY = frozenset({"amount"})


@dataclass(frozen=True, slots=True)
class Input:
    """How a field is filled in; with a ``structure`` in parts or rows.

    ``kind``: choice, decision (yes or no, and neither before it is made), tick, money, number, moment, json, text or line.
    """

    field: Field
    kind: str
    structure: Structure | None = None

    @property
    def name(self) -> str:
        """The input's name in the form."""
        return f"field.{self.field.name}"


def inputs(act: Act) -> tuple[Input, ...]:
    """Return what an act asks for besides a reason."""
    fields = (field for field in act.asked if field.name not in act.fixed)
    return tuple(_input(field, STRUCTURES.get((act.name, field.name))) for field in fields)


def _input(field: Field, structure: Structure | None) -> Input:
    if structure is None:
        return Input(field, _kind(field))
    return Input(field, "rows" if structure.rows else "parts", structure)


def _kind(field: Field) -> str:
    if field.choices:
        return "choice"
    if field.type == "boolean":
        return "decision" if field.required else "tick"
    if field.type == "integer":
        return "money" if field.name in _MONEY else "number"
    if field.type in ("object", "array"):
        return "json"
    if field.rules.get("format") == "date-time":
        return "moment"
    longest = field.rules.get("maxLength")
    return "text" if isinstance(longest, int) and longest > _LONG_TEXT else "line"


def filled_in(act: Act, form: Form, *, currency: str | None, zone: str, words: Callable[..., str]) -> Mapping[str, Any]:
    """Return the fields as the service takes them. Raises ``NotUnderstoodError`` in the person's words."""
    texts = {name: _unix(text) for name, text in form.items() if isinstance(text, str)}
    values: dict[str, Any] = {}
    for each in inputs(act):
        try:
            found = _given(each, texts, currency=currency, zone=zone)
        except (ValueError, KeyError, InvalidOperation) as error:
            field = words(label(each.field.name))
            if isinstance(error, json.JSONDecodeError) and each.kind == "json":
                raise NotUnderstoodError(words(_NO_JSON, field=field, line=error.lineno, column=error.colno)) from None
            raise NotUnderstoodError(words(_COMPLAINTS[each.kind], field=field)) from None
        if found is not None:
            values[each.field.name] = found
        elif each.field.required:
            raise NotUnderstoodError(words("%(field)s is missing", field=words(label(each.field.name))))
    return values


def _given(each: Input, texts: Mapping[str, str], *, currency: str | None, zone: str) -> Any:
    """Return what an input holds; None for nothing, and for what stood there before anybody filled it in."""
    names = [each.name] if each.structure is None else names_of(each.name, each.structure, texts)
    before = [name for name in names if f"{BEFORE}{name}" in texts]
    if before and all(texts.get(name, "") == texts.get(f"{BEFORE}{name}", "") for name in names):
        return None
    if each.structure is not None:
        return _in_parts(each, each.structure, texts, zone=zone)
    given = texts.get(each.name, "")
    if each.kind != "json":  # whose lines and columns are those that the person sees
        given = given.strip()
    if each.kind == "tick":
        return bool(given) or None
    return _value(each.kind, given, currency=currency, zone=zone) if given.strip() else None


def _in_parts(each: Input, structure: Structure, texts: Mapping[str, str], *, zone: str) -> Any:
    """Return the text where that is otherwise, else what the parts say. Raises ``ValueError`` where both are."""
    parts = [name for name in names_of(each.name, structure, texts) if name != each.name]
    if structure.text and f"{BEFORE}{each.name}" in texts:
        if _same(each.name, texts):
            texts = {name: text for name, text in texts.items() if name != each.name}
        elif all(_same(name, texts) for name in parts):
            return texts.get(each.name, "").strip() or None
        else:
            raise ValueError(each.name)
    found = read(each.name, structure, texts, lambda text: str(_value("moment", text, currency=None, zone=zone)))
    if each.field.name == "address" and isinstance(found, dict):
        stood = {name: texts.get(f"{BEFORE}{name}") for name in parts}
        known = {name.removeprefix(f"{each.name}."): text for name, text in stood.items() if text}
        return address_said(known, found)
    return found


def _same(name: str, texts: Mapping[str, str]) -> bool:
    return texts.get(name, "") == texts.get(f"{BEFORE}{name}", "")


def _unix(text: str) -> str:
    """Browsers send lines as networks end them; pages hold them as they are."""
    return text.replace("\r\n", "\n")


def _value(kind: str, given: str, *, currency: str | None, zone: str) -> Any:
    if kind == "money":
        if currency is None:
            return int(given)
        minor = Decimal(given.replace(",", ".").replace(" ", "").replace("\N{NO-BREAK SPACE}", "")).scaleb(
            exponent(currency)
        )
        if not minor.is_finite() or minor != minor.to_integral_value():
            raise ValueError(given)
        return int(minor)
    if kind == "decision":
        return {"true": True, "false": False}[given]
    if kind == "number":
        return int(given)
    if kind == "json":
        return json.loads(given)
    if kind == "moment":
        moment = datetime.fromisoformat(given)
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).isoformat()
    return given


def _(text: str) -> str:
    """Mark a text for the catalogue."""
    return text


_NO_JSON = _("%(field)s is no JSON: line %(line)s, column %(column)s")
_COMPLAINTS = {
    "parts": _("%(field)s does not fit"),
    "rows": _("%(field)s does not fit"),
    "money": _("%(field)s is no sum of money"),
    "number": _("%(field)s is no whole number"),
    "decision": _("%(field)s is neither yes nor no"),
    "moment": _("%(field)s is no time"),
}
