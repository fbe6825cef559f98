"""The words of notices, in Russian and English, and how quantities and sums are written."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Literal

from common.money import to_decimal_string
from notifier.messages import duty_wording as people_words

Language = Literal["ru", "en"]

_RU: Mapping[str, str] = MappingProxyType(
    {
        "order.created": "🆕 Новый заказ",
        "order.changed": "✏️ Заказ изменён",
        "order.paid": "💳 Заказ оплачен",
        "order.received": "🚚 Заказ передан курьеру",
        "order.delivered": "✅ Заказ доставлен",
        "order.cancelled": "❌ Заказ отменён",
        "order.corrected": "⚠️ Уточнение по заказу",
        "store": "магазин",
        "goods": "Состав",
        "goods.now": "Сейчас в заказе",
        "goods.none": "позиций нет",
        "added": "Добавлено",
        "removed": "Убрано",
        "quantity": "Количество",
        "price": "Цена",
        "same": "Состав не изменился.",
        "comment": "Комментарий",
        "replacement_policy": "Замены",
        "shipment_method": "Получение",
        "total": "Сумма",
        "without_discount": "без скидки",
        "reason": "Причина",
        "cancelled.what": "Не собирать и не выдавать.",
        "corrected.why": "Событие маркетплейса пришло с опозданием, прежние сообщения по этому заказу неточны.",
        "status": "Состояние",
        "status.created": "создан",
        "status.paid": "оплачен",
        "status.received": "передан курьеру",
        "status.delivered": "доставлен",
        "status.cancelled": "отменён",
        "empty": "нет",
        "replacement.callorreplace": "позвонить, не дозвонились — заменить",
        "replacement.callorcancel": "позвонить, не дозвонились — убрать",
        "replacement.replace": "заменить без звонка",
        "replacement.cancel": "не заменять, убрать",
        "shipment.bycourier": "доставка курьером",
        "shipment.pickup": "самовывоз",
        "possibly_repeated": "возможно, повторно",
        "incident.opened": "Проблема",
        "incident.escalated": "Проблема стала критичной",
        "incident.resolved": "Решено",
        "workflow.stopped": "Workflow остановлен",
        "workflow.crashed": "Workflow упал",
        "severity.critical": "🔴",
        "severity.warning": "🟠",
        "severity.info": "🔵",
        "order": "Заказ",
        "service": "Сервис",
        "environment": "Окружение",
        "source": "Источник",
        "link": "Подробнее",
        "what_to_do": "Что делать",
        "who": "Кто",
        "why": "Почему",
        "event": "Событие",
        "error": "Ошибка",
        "attempts": "Попыток",
        "do.workflow.crashed": "устранить причину и повторить шаг: POST /admin/v1/workflows/{id}/retry; если опрос мешает — …/stop.",
        "do.workflow.stopped": "ничего, если так и задумано; продолжить: POST /admin/v1/workflows/{id}/resume.",
        "refund.rejected": "Возврат невозможен",
        "channel.refused": "Канал не принимает сообщения",
        "channel.works": "Канал снова принимает сообщения",
        "notice.refused": "Уведомление не отправлено",
        "notices": "Уведомлений",
        "orders": "Заказы",
        "test": "🔔 Проверочное сообщение",
        **people_words.RU,
        "standing.acknowledged": "✋ Занимается",
        "standing.resolved": "✅ Решено",
        "responsible": "Ответственный",
        "request": "Запрос",
        "heartbeat": "Контроль: уведомления доходят,",
        "told.instead": "сообщено другим каналом",
        "digest.title": "Шквал проблем",
        "digest.over": "Шквал закончился, проблем было",
        "digest.open": "открыто",
        "digest.others": "прочие",
        "digest.since": "Время:",
        "digest.kinds": "По видам",
        "digest.worst": "Самые важные из открытых",
        "digest.all": "Все",
    }
)
_EN: Mapping[str, str] = MappingProxyType(
    {
        "order.created": "🆕 New order",
        "order.changed": "✏️ Order changed",
        "order.paid": "💳 Order paid",
        "order.received": "🚚 Order handed to the courier",
        "order.delivered": "✅ Order delivered",
        "order.cancelled": "❌ Order cancelled",
        "order.corrected": "⚠️ Correction of order",
        "store": "store",
        "goods": "Goods",
        "goods.now": "Now in the order",
        "goods.none": "no goods",
        "added": "Added",
        "removed": "Removed",
        "quantity": "Quantity",
        "price": "Price",
        "same": "The goods did not change.",
        "comment": "Comment",
        "replacement_policy": "Replacements",
        "shipment_method": "Handover",
        "total": "Total",
        "without_discount": "without discount",
        "reason": "Reason",
        "cancelled.what": "Do not pick it, do not hand it over.",
        "corrected.why": "An event of the marketplace came late; earlier messages on this order are not exact.",
        "status": "State",
        "status.created": "created",
        "status.paid": "paid",
        "status.received": "with the courier",
        "status.delivered": "delivered",
        "status.cancelled": "cancelled",
        "empty": "none",
        "replacement.callorreplace": "call; no answer: replace",
        "replacement.callorcancel": "call; no answer: remove",
        "replacement.replace": "replace without a call",
        "replacement.cancel": "do not replace, remove",
        "shipment.bycourier": "by courier",
        "shipment.pickup": "pick-up",
        "possibly_repeated": "possibly repeated",
        "incident.opened": "Problem",
        "incident.escalated": "Problem became critical",
        "incident.resolved": "Resolved",
        "workflow.stopped": "Workflow stopped",
        "workflow.crashed": "Workflow crashed",
        "severity.critical": "🔴",
        "severity.warning": "🟠",
        "severity.info": "🔵",
        "order": "Order",
        "service": "Service",
        "environment": "Environment",
        "source": "Source",
        "link": "More",
        "what_to_do": "What to do",
        "who": "Who",
        "why": "Why",
        "event": "Event",
        "error": "Error",
        "attempts": "Attempts",
        "do.workflow.crashed": "find the cause and retry the step: POST /admin/v1/workflows/{id}/retry; if its polling does harm: …/stop.",
        "do.workflow.stopped": "nothing if it was meant; to go on: POST /admin/v1/workflows/{id}/resume.",
        "refund.rejected": "Refund impossible",
        "channel.refused": "A channel refuses messages",
        "channel.works": "The channel takes messages again",
        "notice.refused": "A notice could not be sent",
        "notices": "Notices",
        "orders": "Orders",
        "test": "🔔 Test message",
        **people_words.EN,
        "standing.acknowledged": "✋ Taken",
        "standing.resolved": "✅ Resolved",
        "responsible": "Responsible",
        "request": "Request",
        "heartbeat": "Check: notices arrive,",
        "told.instead": "told by another channel",
        "digest.title": "A storm of problems",
        "digest.over": "The storm is over, problems were",
        "digest.open": "open",
        "digest.others": "others",
        "digest.since": "Time:",
        "digest.kinds": "By kind",
        "digest.worst": "The gravest that are open",
        "digest.all": "All",
    }
)
_WORDS: dict[Language, Mapping[str, str]] = {"ru": _RU, "en": _EN}
_SIGNS = {"RUB": "₽", "USD": "$", "EUR": "€", "KZT": "₸"}


class Words:
    """The words of one language. Looking up a key that is not there raises ``KeyError``: both languages have the same keys."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._words = _WORDS[language]

    def __getitem__(self, key: str) -> str:
        return self._words[key]

    def named(self, prefix: str, value: str) -> str:
        """Return our words for a marketplace's code (``callOrReplace`` and ``call_or_replace`` alike), or the code itself."""
        return self._words.get(f"{prefix}.{value.replace('_', '').replace('-', '').lower()}", value)

    def label(self, name: str) -> str:
        """Return our word for the name of a detail, or the name itself."""
        return self._words.get(name, name)

    def quantity(self, value: str) -> str:
        """Write a quantity without needless zeros, with this language's decimal sign: ``"0.50"`` → ``0,5``."""
        try:
            number = Decimal(value)
        except InvalidOperation:
            return value
        if not number.is_finite() or abs(number) > 10**12:
            return value
        text = f"{number:f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        return text.replace(".", ",") if self.language == "ru" else text

    def money(self, minor: int, currency: str) -> str:
        """Write a sum: ``16000`` → ``160,00 ₽`` or ``160.00 ₽``."""
        text = to_decimal_string(minor, currency)
        if self.language == "ru":
            text = text.replace(".", ",")
        return f"{text} {_SIGNS.get(currency, currency)}"


def languages() -> Mapping[Language, Mapping[str, str]]:
    """Return every language's words, for the test that compares their keys."""
    return _WORDS
