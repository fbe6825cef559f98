"""Customers' data in answers: masked for viewers, whole for whoever needs it, and every whole reading is in the audit log.

A field of an answer that holds a customer's data says so in its annotation, ``Annotated[str | None, CONTACT]``, and the route kit does
the rest for every route that answers it. What is free text or came as it was sent is ``CONTENT``, and hidden altogether.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, GetJsonSchemaHandler

from common.http import audit
from common.http.routes import Request, Route, responses_of
from common.postgres import Database
from common.telemetry import mask_all, mask_contact, mask_name

READ = "customer_data.read"
HEADER = "Customer-Data"
"""With the value ``masked`` a caller asks for what viewers see, whoever it is; nothing is recorded."""

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class CustomersData:
    """Marks a field. ``mask`` makes of a value, which is not None, what a viewer sees; the field's type must allow it."""

    mask: Callable[[Any], Any]

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say so in the OpenAPI document."""
        return {**handler(schema), "x-customer-data": True}


NAME = CustomersData(mask_name)
"""A person's name: its first letter is shown."""
CONTACT = CustomersData(mask_contact)
"""A phone or a mail address: its last two characters are shown."""
CONTENT = CustomersData(mask_all)
"""An address, a comment, a body: text, or JSON whose shape alone is shown."""


def masked(model: ModelT) -> ModelT:
    """Return a copy for viewers: every marked field masked, also in models inside it, in lists and in values of dictionaries."""
    update: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        marker = _marker(field.metadata)
        update[name] = _masked_as(field.annotation, value) if marker is None or value is None else marker.mask(value)
    return model.model_copy(update=update)


def marked_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of a model's own fields that hold a customer's data."""
    return frozenset(name for name, field in model.model_fields.items() if _marker(field.metadata) is not None)


def _marker(metadata: Sequence[Any]) -> CustomersData | None:
    return next((mark for mark in metadata if isinstance(mark, CustomersData)), None)


def _masked_as(annotation: Any, value: Any) -> Any:
    """Mask a value by what its annotation marks, wherever in the annotation that stands: a mark that is overlooked is a leak."""
    if value is None:
        return None
    if isinstance(value, BaseModel):
        return masked(value)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        marker = _marker(parts[1:])
        return _masked_as(parts[0], value) if marker is None else marker.mask(value)
    if origin in (Union, UnionType):
        for part in parts:
            value = _masked_as(part, value)
        return value
    if isinstance(value, Mapping):
        kind = parts[1] if len(parts) == 2 else Any
        return {key: _masked_as(kind, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        kinds = [part for part in parts if part is not Ellipsis] or [Any]
        return type(value)(_masked_as(kinds[min(index, len(kinds) - 1)], item) for index, item in enumerate(value))
    return value


def holds_customers_data(annotation: Any, seen: frozenset[type] = frozenset()) -> bool:
    """Say whether an answer of this type has a marked field, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in seen:
            return False
        seen |= {annotation}
        fields = annotation.model_fields.values()
        return any(_marker(field.metadata) or holds_customers_data(field.annotation, seen) for field in fields)
    if get_origin(annotation) is Annotated and _marker(get_args(annotation)[1:]) is not None:
        return True
    return any(holds_customers_data(part, seen) for part in get_args(annotation))


def shows_customers(route: Route) -> bool:
    """Say whether an answer of this route has customers' data, masked for viewers and for whoever asks so (``HEADER``)."""
    return not route.raw and route.roles is not None and any(map(holds_customers_data, responses_of(route).values()))


class CustomerReads:
    """Gives an answer to whoever called: masked to viewers, whole to operators and admins, which is recorded."""

    def __init__(self, database: Database | None) -> None:
        """Without a database nothing can be recorded, and everybody gets the answer masked."""
        self._database = database

    def shown(self, request: Request[Any, Any], answer: ModelT) -> tuple[ModelT, int]:
        """Return what the caller may see of an answer, and how many things with customers' data in them it shows whole to a person.

        Services of the suite get it whole. Whoever asks for it masked (``HEADER``) gets it so.
        """
        if request.principal.has("internal"):  # a service is no person
            return answer, 0
        for_viewers = masked(answer)
        if for_viewers == answer:
            return answer, 0
        wanted_masked = request.raw.headers.get(HEADER, "").strip().lower() == "masked"
        if self._database is None or wanted_masked or not request.principal.has("operator"):
            return for_viewers, 0
        return answer, _things(answer, for_viewers)

    async def record(self, request: Request[Any, Any], count: int) -> None:
        """Commit the one audit record of a request whose answer shows customers' data: who, what address, how many things.

        To be called before the answer goes out; when it cannot be recorded, nothing is shown. An answer 304 shows nothing.
        """
        if self._database is None:
            return
        async with self._database.transaction() as connection:
            await audit.record(
                connection,
                principal=request.principal,
                action=READ,
                target=request.raw.path,
                reason=f"{request.raw.method} {request.route.path}",
                before=None,
                after={"count": count},
                request_id=request.request_id,
            )


def _things(whole: BaseModel, for_viewers: BaseModel) -> int:
    items, hidden = getattr(whole, "items", None), getattr(for_viewers, "items", None)
    if not isinstance(items, list) or not isinstance(hidden, list):
        return 1
    return sum(one != other for one, other in zip(items, hidden, strict=True))
