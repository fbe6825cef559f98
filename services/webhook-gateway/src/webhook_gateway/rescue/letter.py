"""The report on an endangered order: cause in plain language, what is done about it, and the customer's data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webhook_gateway.rescue.model import LostOrder
from webhook_gateway.website.model import Category

CAUSE_WANTED = "‹заполнить: причина на человеческом языке, без терминов›"
REMEDY_WANTED = "‹заполнить: что сделано или будет сделано, чтобы это не повторилось›"
_WHERE: Mapping[str, str] = {
    Category.FRONT_END: "сайт прислал заказ, который сервер не смог принять",
    Category.BACK_END: "сервер не смог принять заказ",
    Category.BANNED: "покупателя заблокировали за слишком частые заказы",
    Category.MANAGER_BYPASS_BROKEN: "сломался механизм, по которому менеджеры оформляют заказы без ограничений",
}
_CONTACTS = (("name", "Имя"), ("phone", "Телефон"), ("email", "Почта"))
_TITLES = ("title", "name")


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's subject and text. The subject names no customer: it is shown where the text is not."""

    subject: str
    text: str


def letter_of(order: LostOrder, *, cause: str | None, remedy: str | None) -> Letter:
    """Return the letter; what a person has not filled in yet stands in angle brackets."""
    at = order.received_at.isoformat(timespec="seconds")
    subject = f"Проблемный заказ с сайта от {at}: ответ {order.status}"
    rescued = (
        f"Заказ восстановлен под номером {order.number}."
        if order.number
        else "Заказ пока не восстановлен: нужна помощь менеджеров."
    )
    text = "\n".join(
        (
            f"Заказ, отправленный {at}, не был принят с первого раза: {_where(order)} (ответ {order.status}).",
            rescued,
            "",
            "Причина",
            cause or CAUSE_WANTED,
            "",
            "Что сделали или сделаем",
            remedy or REMEDY_WANTED,
            "",
            "Покупатель",
            *(f"{label}: {order.customer[name]}" for name, label in _CONTACTS if order.customer.get(name)),
            f"Адрес доставки: {order.address or 'не указан'}",
            "",
            "Корзина",
            *(_line(position) for position in order.basket),
            *(() if order.basket else ("пуста или не прочитана",)),
            "",
            f"Запись: {order.link}",
        )
    )
    return Letter(subject, text + "\n")


def _where(order: LostOrder) -> str:
    return _WHERE.get(order.category, "заказ не приняли")


def _line(position: object) -> str:
    if not isinstance(position, Mapping):
        return f"— {position}"
    title = next((str(position[name]) for name in _TITLES if position.get(name)), None)
    code = position.get("id")
    what = f"{title} ({code})" if title and code else title or str(code or "товар без кода")
    amount = position.get("quantity", "?")
    price = position.get("discountPrice") or position.get("price")
    return f"— {what}: {amount} шт." + (f" по {price}" if price else "")
