"""Sums as people read them, the same in both tools. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from common.currencies import DECIMAL_DIGITS
from common.money import to_decimal_string

MONEY = frozenset(
    {
        *("amount", "cost", "price", "discount_price", "total_price", "total_discount_price", "sum_to_pay"),
        *("sum", "total", "captured", "refunded", "reserved", "left", "held_amount", "captured_amount"),
        *("refunded_amount", "tips", "tips_amount", "minor"),
    }
)
"""Names under which the services write sums in minor units."""


def currency_of(item: object) -> Any:
    """Return the currency that the sums of an item are in: its own, or that of its totals."""
    if not isinstance(item, Mapping):
        return None
    totals = item.get("totals")
    return item.get("currency") or (totals.get("currency") if isinstance(totals, Mapping) else None)


def money(minor: object, currency: object, *, language: str) -> str:
    """Write a sum in minor units. Where the currency is not one, the number stands as it is."""
    from babel.numbers import format_currency

    if isinstance(minor, bool) or not isinstance(minor, int) or currency not in DECIMAL_DIGITS:
        return str(minor)
    form = "¤\N{NO-BREAK SPACE}#,##0.00" if language == "en" else None  # its own writes RUB85.00
    return format_currency(Decimal(to_decimal_string(minor, str(currency))), str(currency), form, locale=language)


def sum_of(name: str, held: Any, currency: Any, *, language: str = "en") -> str | None:
    """Return a sum in minor units with its currency; None where the value is no sum, or nobody says in what.

    In English as commands take it back.
    """
    if name not in MONEY or isinstance(held, bool) or not isinstance(held, int) or not isinstance(currency, str):
        return None
    if language != "en" and currency in DECIMAL_DIGITS:
        return money(held, currency, language=language)
    try:
        return f"{to_decimal_string(held, currency)} {currency}"
    except ValueError:  # a currency of another release
        return f"{held} {currency}"


def goods_told(line: Mapping[str, Any], currency: Any, *, language: str) -> str:
    """Write a position: how many, the price of one, and what they come to. What is not known is a question mark."""
    price, amount = (sum_of("amount", line.get(name), currency, language=language) for name in ("price", "amount"))
    return f"{line.get('name') or line.get('id')}: {line.get('quantity') or '?'} × {price or '?'} = {amount or '?'}"


def _held(line: Mapping[str, Any], name: str, currency: Any, language: str) -> str:
    """Write what a line holds: a sum with its currency, a dash where there is nothing."""
    held = line.get(name)
    return sum_of(name, held, currency, language=language) or ("–" if held is None else str(held))


def difference_told(shown: Mapping[str, Any], *, language: str = "en") -> list[str]:
    """Say of a change of an order what becomes of it, and line by line what is added, removed and changed; of others nothing."""
    if not (found := _difference(shown)):
        return []
    from console.client.sentences import sentences
    from console.client.words import label, words

    held, difference = found
    currency, say = held.get("currency"), sentences(language)

    def called(name: str) -> str:
        return words(language).gettext(label(name))

    told = [say(held["summary"])] if held.get("summary") else []
    for kind in ("added", "removed"):
        for line in difference[kind]:
            price = "" if line.get("price") is None else f" × {_held(line, 'price', currency, language)}"
            told.append(f"{called(kind)}: {line.get('name') or line['id']}: {line['quantity'] or '?'}{price}")
    for each in difference["changed"]:
        names = [name for name, now in each["after"].items() if each["before"].get(name) != now]
        both = ((name, *(_held(each[at], name, currency, language) for at in ("before", "after"))) for name in names)
        parts = ", ".join(f"{called(name)} {before} → {after}" for name, before, after in both)
        told.append(f"{called('changed')}: {each['after'].get('name') or each['after']['id']}: {parts}")
    for name, *values in difference["fields"]:
        sums = [int(text) if text and name in MONEY else text for text in values]
        before, after = (_held({name: value}, name, currency, language) for value in sums)
        told.append(
            f"{called(name)}: " + (f"{called('changed')}, {after}" if before == after else f"{before} → {after}")
        )
    return told


def _difference(shown: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Return what says how an order changes, and in which it says it; None where the answer is of something else."""
    held = shown.get("effect") or shown
    difference = held.get("difference") if isinstance(held, Mapping) else None
    return (held, difference) if isinstance(difference, Mapping) and "fields" in difference else None


def _(text: str) -> str:
    """Mark a text for the catalogue."""
    return text


_OPEN = {
    "left_of_payment": _("everything left of the captured sum"),
    "left_of_positions": _("what earlier refunds have left of these goods"),
}


def amount_told(
    shown: Mapping[str, Any], *, translate: Callable[[str], str] = str, language: str = "en"
) -> Mapping[str, Any]:
    """Return what a service says of a change, its goods in words, and of an amount that it leaves open what that means, so that nobody
    agrees to a blank. How an order changes is said apart (``difference_told``).
    """
    aside = {"amount_is", "effect", *(["difference"] if _difference(shown) else [])}
    told = {name: held for name, held in shown.items() if name not in aside}
    if goods := shown.get("goods"):
        told["goods"] = [goods_told(each, shown.get("currency"), language=language) for each in goods]
    if "amount" in shown and shown["amount"] is None:
        told["amount"] = translate(_OPEN.get(shown.get("amount_is", ""), _OPEN["left_of_payment"]))
    return told
