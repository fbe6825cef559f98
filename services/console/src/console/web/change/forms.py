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
from console.web.pages import Form, NotUnderstoodError

SHORTEST_REASON = 3
_LONG_TEXT = 200
_MONEY = frozenset({"amount"})


@dataclass(frozen=True, slots=True)
class Input:
    """How a field is filled in. ``kind``: choice, tick, money, number, moment, json, text or line."""

    field: Field
    kind: str

    @property
    def name(self) -> str:
        """The input's name in the form."""
        return f"field.{self.field.name}"


def inputs(act: Act) -> tuple[Input, ...]:
    """Return what an act asks for besides a reason."""
    fields = act.operation.fields
    return tuple(Input(field, _kind(field)) for field in fields if field.name not in act.fixed)


def _kind(field: Field) -> str:
    if field.choices:
        return "choice"
    if field.type == "boolean":
        return "tick"
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
    values: dict[str, Any] = {}
    for each in inputs(act):
        given = str(form.get(each.name, "")).strip()
        if each.kind == "tick":
            if given or each.field.required:
                values[each.field.name] = bool(given)
        elif given:
            try:
                values[each.field.name] = _value(each.kind, given, currency=currency, zone=zone)
            except (ValueError, InvalidOperation):
                raise NotUnderstoodError(words(_COMPLAINTS[each.kind], field=each.field.name)) from None
        elif each.field.required:
            raise NotUnderstoodError(words("%(field)s is missing", field=each.field.name))
    return values


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


_COMPLAINTS = {
    "money": _("%(field)s is no sum of money"),
    "number": _("%(field)s is no whole number"),
    "json": _("%(field)s is no JSON"),
    "moment": _("%(field)s is no time"),
}
