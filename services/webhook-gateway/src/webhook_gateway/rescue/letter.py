"""The report on endangered orders: cause in plain language, what is done about it, and the customers' data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from webhook_gateway.rescue.model import LostOrder
from webhook_gateway.website.model import Category

CAUSE_WANTED = "‹заполнить: причина на человеческом языке, без терминов›"
REMEDY_WANTED = "‹заполнить: что сделано или будет сделано, чтобы это не повторилось›"
_WHERE: Mapping[str, str] = {
    Category.FRONT_END: "сайт прислал заказ, который сервер не смог принять",
    Category.BACK_END: "сервер не смог принять заказ",
    Category.BANNED: "покупателя заблокировали за слишком частые заказы",
    Category.MANAGER_BYPASS_BROKEN: "сломался механизм, по которому менеджеры оформляют заказы без ограничений",
    Category.KEY_REUSED: "сайт прислал новый заказ под именем другого, уже принятого",
    Category.CUSTOMER_NETWORK: "у покупателя прервалась связь, пока заказ отправлялся",
}
_ZONE = ZoneInfo("Europe/Moscow")  # whoever reads the mail lives by it
_CONTACTS = (("name", "Имя"), ("phone", "Телефон"), ("email", "Почта"))
_TITLES = ("title", "name")


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's subject and text. The subject names no customer: it is shown where the text is not."""

    subject: str
    text: str


def letter_of(orders: Sequence[LostOrder], *, cause: str | None, remedy: str | None) -> Letter:
    """Return one letter about one or many orders (at least one); what a person has not filled in yet stands in angle brackets."""
    first = orders[0]
    if len(orders) == 1:
        subject = f"Проблемный заказ с сайта от {_at(first)}: ответ {first.status}"
        opening = [_what_happened(first), _rescued(first)]
        about = ["", *_customer_and_basket(first), "", f"Запись: {first.link}"]
    else:
        numbered = sum(order.number is not None for order in orders)
        subject = f"Проблемные заказы с сайта: {len(orders)}, с {_at(first)} по {_at(orders[-1])}"
        opening = [
            f"Заказы, не принятые с первого раза: {len(orders)}. Восстановлены: {numbered}.",
            f"Нужна помощь менеджеров: {len(orders) - numbered}.",
        ]
        about = []
        for index, order in enumerate(orders, 1):
            about += [
                "",
                f"{index}. {_what_happened(order)}",
                _rescued(order),
                *_customer_and_basket(order),
                f"Запись: {order.link}",
            ]
    text = "\n".join(
        (*opening, "", "Причина", cause or CAUSE_WANTED, "", "Что сделали или сделаем", remedy or REMEDY_WANTED, *about)
    )
    return Letter(subject, text + "\n")


def _at(order: LostOrder) -> str:
    return f"{order.received_at.astimezone(_ZONE):%d.%m.%Y %H:%M:%S} МСК"


def _what_happened(order: LostOrder) -> str:
    where = _WHERE.get(order.category, "заказ не приняли")
    return f"Заказ, отправленный {_at(order)}, не был принят с первого раза: {where} (ответ {order.status})."


def _rescued(order: LostOrder) -> str:
    if order.number:
        return f"Заказ восстановлен под номером {order.number}."
    return "Заказ пока не восстановлен: нужна помощь менеджеров."


def _customer_and_basket(order: LostOrder) -> Iterator[str]:
    yield "Покупатель"
    yield from (f"{label}: {order.customer[name]}" for name, label in _CONTACTS if order.customer.get(name))
    yield f"Адрес доставки: {order.address or 'не указан'}"
    yield ""
    yield "Корзина"
    yield from (_line(position) for position in order.basket)
    if not order.basket:
        yield "пуста или не прочитана"


def _line(position: object) -> str:
    if not isinstance(position, Mapping):
        return f"— {position}"
    title = next((str(position[name]) for name in _TITLES if position.get(name)), None)
    code = position.get("id")
    what = f"{title} ({code})" if title and code else title or str(code or "товар без кода")
    amount = position.get("quantity", "?")
    price = position.get("discountPrice") or position.get("price")
    return f"— {what}: {amount} шт." + (f" по {price}" if price else "")
