"""Reads the customer, the address and the time of delivery, under the names that shops give these fields.

Nothing here is required, so nothing is refused: what cannot be read is not said, and stays in the body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from common.digits import digits_of, plain_digits
from common.reading.model import APART, MAJOR_PARTS, MINOR_PARTS, Address, Contact, Window
from common.reading.values import LONGEST_MAIL, LONGEST_NAME, LONGEST_PHONE, read_moment, text_of

_LONGEST_NAME = 64

_PEOPLE = ("customer", "recipient", "contact", "contacts", "client", "buyer", "user")
_CONTACT = {
    "name": "name fullname fio фио имя customername clientname contactname recipientname username",
    "last": "lastname surname familyname фамилия last",
    "first": "firstname givenname first",
    "middle": "middlename patronymic отчество middle",
    "phone": "phone phonenumber tel telephone mobile mobilephone cell телефон msisdn customerphone clientphone contactphone "
    "recipientphone userphone",
    "email": "email mail emailaddress почта customeremail clientemail contactemail useremail",
}
_LONGEST = {"phone": LONGEST_PHONE, "email": LONGEST_MAIL}
_NOBODYS = frozenset({"name", "mobile", "mail", "cell", "last", "first", "middle"})
"""Names that mean anything beside the order's own fields."""

_PLACES = ("address", "deliveryaddress", "shippingaddress", "customeraddress", "адрес", "destination")
_HOLDERS = ("delivery", "shipping", "deliverypoint", *_PEOPLE)
"""Parts of an order within which a place may stand."""
_ADDRESS = {
    "text": "fulladdress full addresstail address text value formatted formattedaddress unrestrictedvalue raw addressline line адрес",
    "postcode": "postcode postalcode zip zipcode postindex индекс",
    "country": "country countryname страна",
    "region": "region state province область регион",
    "city": "city town settlement locality город",
    "street": "street streetname улица address1 line1 addressline1 street1",
    "house": "house housenumber buildingnumber home дом",
    "building": "building block corpus korpus housing корпус строение",
    "entrance": "entrance porch подъезд doorway",
    "floor": "floor level этаж",
    "flat": "flat flatnumber apartment apartmentnumber apt room office unit квартира address2 line2 addressline2",
    "intercom": "intercom doorphone doorcode entryphone домофон",
    "comment": "comment comments note notes instructions комментарий",
}
_POINTS = ("coordinates", "location", "geo", "point")

_WINDOWS = (
    "deliverywindow", "deliveryinterval", "deliverytime", "deliverytimeinterval", "deliveryslot", "deliveryperiod", "timeslot", "slot",
    "interval", "window", "expectedinterval", "времядоставки",
)  # fmt: skip
_WINDOW = {
    "starts": "from start starts startsat startat begin since min timefrom expectedfrom deliveryfrom deliverytimefrom deliverystart "
    "startdate datefrom с",
    "ends": "to end ends endsat endat finish till until max timeto expectedto deliveryto deliverytimeto deliveryend deliverybefore "
    "enddate dateto до по",
    "day": "date day deliverydate дата",
    "text": "text value interval time label name",
}
_OF_ANY_DELIVERY = frozenset({"text", "value", "label", "name"})
"""Names that say no time where a whole delivery is told of."""

_NOT_IN_NAMES = re.compile(r"[\W_]+")
_FEWEST_DIGITS = 7
_WHOLE_NUMBER = 10  # with fewer digits before it, a comma or a slash between two digits stands within the number
_Ranks = Mapping[str, tuple[str, int]]


def _ranked(spellings: Mapping[str, str]) -> _Ranks:
    """From each spelling of a field to the field and how much it is preferred: the first spelling first."""
    return {name: (field, rank) for field, names in spellings.items() for rank, name in enumerate(names.split())}


_CONTACT_NAMES, _ADDRESS_NAMES, _WINDOW_NAMES = _ranked(_CONTACT), _ranked(_ADDRESS), _ranked(_WINDOW)
_POINT_NAMES = _ranked({"lat": "lat latitude", "lon": "lon lng long longitude"})
_LOOSE_PLACES = ("delivery", "shipping", "address")
"""So begin the names of parts that stand beside the order's own fields: ``delivery_city``."""
_LOOSE = (*_LOOSE_PLACES, "expected")
_OF_PEOPLE = _CONTACT_NAMES.keys() - _NOBODYS
_TELLING = frozenset({*_PEOPLE, "billing", *_PLACES, *_WINDOWS, *_OF_PEOPLE})
"""Names of fields that say something of people, places or times; with those that begin with one of ``_LOOSE`` there are no others."""


def read_people(payload: Mapping[str, Any]) -> tuple[Contact | None, Address | None, Window | None]:
    """Return whom the order is for, where it goes, and when it is awaited; None where nothing is said."""
    folded = _folded(payload)
    if _TELLING.isdisjoint(folded) and not any(name.startswith(_LOOSE) for name in folded):
        return None, None, None
    return _contact(folded), _address(folded), _window(folded)


def phone_key(text: str) -> str | None:
    """Return a phone as ``+`` and digits, so that every spelling of one number is equal; None when it is no number.

    Numbers without a country are Russian: ``8 (912) …`` and ``912 …`` are ``+7912…``. What follows a number (an extension, a second
    number, whom to ask for) is no part of it.
    """
    plain = _number_in(plain_digits(text))
    digits = digits_of(plain)
    if not plain.startswith("+"):
        if digits.startswith("00"):
            digits = digits[2:]
        elif len(digits) == 11 and digits[0] == "8":
            digits = "7" + digits[1:]
        elif len(digits) == 10 and digits[0] == "9":
            digits = "7" + digits
    elif len(digits) == 12 and digits.startswith("78"):
        digits = "7" + digits[2:]
    return f"+{digits}" if _FEWEST_DIGITS <= len(digits) <= 15 else None


def _number_in(text: str) -> str:
    plain = text.strip()
    for mark in APART.finditer(plain):
        digits = len(digits_of(plain[: mark.start()]))
        within = mark[0] in ",/" and plain[mark.end() : mark.end() + 1].isdigit()
        if digits >= (_WHOLE_NUMBER if within else _FEWEST_DIGITS):
            return plain[: mark.start()]
    return plain


def _contact(folded: Mapping[str, Any]) -> Contact | None:
    found: dict[str, str] = {}
    for person in _people(folded):
        for field, text in _gathered(person, _CONTACT_NAMES).items():
            if len(text) <= _LONGEST.get(field, LONGEST_NAME):
                found.setdefault(field, text)
    in_parts = " ".join(found[part] for part in ("last", "first", "middle") if part in found)
    name = found.get("name") or in_parts or None
    phone, email = plain_digits(found.get("phone", "")) or None, found.get("email")
    if phone is not None and digits_of(phone) == digits_of(_number_in(phone)):
        phone = phone_key(phone) or phone
    return Contact(name=name, phone=phone, email=email) if name or phone or email else None


def _people(folded: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for key in (*_PEOPLE, "billing"):
        person = _first(folded.get(key))
        if isinstance(person, dict):
            fields = _folded(person)
            yield fields
            if isinstance(named := fields.get("name"), dict):  # {"name": {"first": …, "last": …}}
                yield _folded(named)
            # Phones and mails are lists in some shops: {"phones": [{"number": …}]}
            for several, one in (("phones", "phone"), ("emails", "email")):
                if several in fields:
                    yield {one: _inside(fields[several])}
        elif isinstance(person, str) and key in {"customer", "recipient", "client"}:
            yield {"name": person}
    for told in (folded, *(_fields(place) for place in _places(folded))):
        yield {key: value for key, value in told.items() if key not in _NOBODYS}


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _fields(value: Any) -> dict[str, Any]:
    first = _first(value)
    return _folded(first) if isinstance(first, dict) else {}


def _inside(value: Any) -> Any:
    first = _first(value)
    if not isinstance(first, dict):
        return first
    fields = _folded(first)
    return next((fields[key] for key in ("number", "address", "value", "phone", "email") if key in fields), None)


def _places(folded: Mapping[str, Any]) -> Iterable[Any]:
    for fields in (folded, *(_fields(folded[key]) for key in _HOLDERS if key in folded)):
        yield from (fields[key] for key in _PLACES if key in fields)


def _address(folded: Mapping[str, Any]) -> Address | None:
    for place in _places(folded):
        found = None
        if isinstance(place, dict) or (isinstance(place, list) and len(place) == 1 and isinstance(place[0], dict)):
            fields = _fields(place)
            found = _address_of(fields) or _address_of(_fields(fields.get("address")))
        elif isinstance(place, str) or (isinstance(place, list) and all(isinstance(line, str) for line in place)):
            found = Address(text=text) if (text := words_in(place)) else None
        if found is not None:
            return found
    loose = ({key.removeprefix(by): folded[key] for key in folded if key.startswith(by)} for by in _LOOSE_PLACES)
    for fields in (*(_fields(folded.get(key)) for key in ("delivery", "shipping")), *loose):
        if {"city", "street"} & _gathered(fields, _ADDRESS_NAMES).keys():
            return _address_of(fields)
    return None


def _address_of(fields: Mapping[str, Any]) -> Address | None:
    said = _gathered(fields, _ADDRESS_NAMES)
    whole = said.pop("text", None)
    parts = tuple((part, said[part]) for part in (*MAJOR_PARTS, *MINOR_PARTS) if part in said)
    if whole is None and not any(part in said for part in MAJOR_PARTS):
        for place in (fields, *(_fields(fields.get(key)) for key in _POINTS)):
            point = _gathered(place, _POINT_NAMES)
            whole = f"{point['lat']}, {point['lon']}" if len(point) > 1 else whole
    return Address(text=whole, parts=parts) if whole or parts else None


def _window(folded: Mapping[str, Any]) -> Window | None:
    inside = _fields(folded.get("delivery"))
    for fields in (folded, inside):
        for key in _WINDOWS:
            value = fields.get(key)
            found = None
            if isinstance(value, list) and len(value) == 2 and not isinstance(value[0], dict | list):
                value = {"from": value[0], "to": value[1]}
            if said := _fields(value):
                within = {name: item for outer in said.values() for name, item in _fields(outer).items()}
                found = _window_of(_gathered(said, _WINDOW_NAMES) | _gathered(within, _WINDOW_NAMES))
            elif value is not None:
                found = _window_in_words(value, fields)
            if found is not None:
                return found
    loose = {key: value for key, value in folded.items() if key.startswith(_LOOSE)}
    hours = {key: value for key, value in inside.items() if key not in _OF_ANY_DELIVERY}
    return _window_of(_gathered(hours, _WINDOW_NAMES) | _gathered(loose, _WINDOW_NAMES))


def _moment(said: object) -> datetime | None:
    """A moment only with its zone: a shop says the hour by the clock on its own wall."""
    return read_moment(said, zoned=True)


def _window_in_words(value: Any, fields: Mapping[str, Any]) -> Window | None:
    text = words_in(value)
    if text is None:
        return None
    starts, slash, ends = text.partition("/")
    first, last = _moment(starts), _moment(ends)
    if slash and first and last:
        return Window(starts=first, ends=last)
    if not slash and first is not None:
        return Window(starts=first)
    return _in_words(text, _gathered(fields, _WINDOW_NAMES).get("day"))


def _window_of(said: Mapping[str, str]) -> Window | None:
    starts, ends, day, text = (said.get(name) for name in ("starts", "ends", "day", "text"))
    if starts is None and ends is None:
        return _in_words(text, day)
    first, last = _moment(starts), _moment(ends)
    if (starts is None or first is not None) and (ends is None or last is not None):
        return Window(starts=first, ends=last)
    return _in_words(" – ".join(filter(None, (starts, ends))), day)


def _in_words(text: str | None, day: str | None) -> Window | None:
    words = text if text and (day is None or day in text) else " ".join(filter(None, (day, text)))
    return Window(text=words) if words else None


def _folded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by their names in lower case without separators: ``full_address``, ``fullAddress`` and ``Full-Address`` are one."""
    return {
        _folded_name(name): value for name, value in fields.items() if value is not None and len(name) <= _LONGEST_NAME
    }


@lru_cache(maxsize=4096)
def _folded_name(name: str) -> str:
    return _NOT_IN_NAMES.sub("", name).lower()


def _gathered(fields: Mapping[str, Any], names: _Ranks) -> dict[str, str]:
    """The texts under the fields that ``names`` knows; of several spellings the preferred one that says something."""
    found: dict[str, str] = {}
    ranks: dict[str, int] = {}
    for name, value in fields.items():
        known = names.get(name)
        if known is None:
            continue
        field, rank = known
        if rank < ranks.get(field, _LONGEST_NAME) and (text := words_in(value)) is not None:
            found[field], ranks[field] = text, rank
    return found


def words_in(value: Any) -> str | None:
    """Return a text, of a list all texts with commas between them, of an object the one that it is known by; None where nothing is said."""
    items = value if isinstance(value, list) else (value,)
    return ", ".join(text for item in items if (text := _one_text(item)) is not None) or None


def _one_text(value: Any) -> str | None:
    if not isinstance(value, dict):
        return text_of(value)
    inside = _folded(value)  # {"city": {"name": "Москва"}}
    texts = (text_of(inside.get(key)) for key in ("name", "value", "title", "number", "text", "datetime"))
    return next((text for text in texts if text is not None), None)
