"""A problem that was kept in the notices' language, in the language of who reads it.

What its kind and details say is said anew; what this service wrote in words of its own, and phrases of others within it, are recognised.
What people, alerts and error reports say stays as it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from notifier.messages.problem_words import INSTRUCTIONS, PHRASES, SUMMARIES
from notifier.messages.words import Language, languages

# What services say themselves, each in its one language: where SUMMARIES and INSTRUCTIONS have the other.
ORIGINALS: Mapping[str, str] = {
    "problem.order_created_differs": "The order came again with another content; the first content was kept",
    "problem.order_changed_after_closing": "The order was changed after it had been closed for changes; the change was not applied",
    "problem.order_received_after_cancelling": "The order was handed to a courier after it had been cancelled",
    "problem.order_delivered_after_cancelling": "The order was delivered after it had been cancelled",
    "problem.order_emptied": "A hook says that the order has no goods; the goods were kept",
    "problem.order_currency_differs": "A hook names another currency than the order's; its goods and sums were not applied",
    "problem.order_quantity_missing": "A hook names a new position and not how many; its goods and sums were not applied",
    "problem.order_never_created": "Events of an order arrived, its order.created did not; the order is not known to the store",
    "problem.refund.unanswered": "A refund was asked for, and the refunds service has not answered",
    "problem.refund.error": "Refund {refund_id} is in RS_ERROR after attempt {attempt}",
    "problem.refund.reversed": "The payment system took refund {refund_id} back, attempt {attempt}",
    "problem.refund.difference": "The refund and the payment system disagree: {difference}",
    "problem.dead_letter": "{handler} gave up on an event of {queue}",
    "problem.website_order.endangered": "Заказ с сайта под угрозой: ответ {status}, категория {category}",
    "problem.website_order.anonymous": "Заказы без действующего токена сайта: сеть {network}, час {hour}",
    "problem.website_order.unreachable": "Заказ с сайта {number} принят, но покупателю нельзя ни позвонить, ни написать",
    "problem.endangered_report.failed": "Письмо о проблемном заказе не отправлено",
    "problem.hook.quarantined": "Хук источника {source} не удалось разобрать и отложен в карантин ({reason})",
    "problem.hook.ignored_order": "Источник {source} прислал событие {event}, которого мы не знаем, с позициями: заказ не изменился",
    "problem.hook.time_unreadable": "Время в хуках источника {source} не читается ({timestamp}): их порядок определяет приход",
    "problem.edge.refused": "nginx отклонил запрос от {source} ({path}): {status}; ни один сервис его не видел",
    "problem.source.refused": "Источник {source} получил отказ {status}, хотя раньше его хуки принимались; заказы могут отменить",
}
_TO_DO: Mapping[str, str] = {
    "problem.refund.error": "Look the refund up at the gateway and mend the cause with its people (runbook refunds-error), then restart "
    "it; it asks the gateway first and cannot pay twice. If people settled it otherwise, close it",
    "problem.refund.reversed": "The gateway took a finished refund back: the customer does not have the money. Tell support, then make a "
    "new refund under a new business key (runbook refunds-error)",
    "problem.refund.difference": "Compare our refund with the gateway's own records (runbook refunds-differences), then adopt its side, or "
    "acknowledge that people have settled it",
    "problem.dead_letter": "{letters} undecided here, the newest is {letter}: look at it, mend the cause, then replay, mend or dismiss it",
    "problem.website_order.endangered": "Сверить с похожими заказами, исправить и отправить заново, написать отчёт: runbook "
    "webhook-gateway-endangered",
    "problem.website_order.anonymous": "Не наш ли это сайт с потерянным токеном? Если нет, закрыть все разом (close с фильтром anonymous, "
    "network)",
    "problem.website_order.unreachable": "Нет ни телефона, ни почты: найти покупателя по заказу и адресу, дополнить контакт в заказе",
    "problem.edge.refused": "Найти у отправителя, что было в запросе, передать это иначе и устранить причину (инструкция "
    "webhook-gateway-edge-refused)",
}
_OURS = (
    "channel.refused",
    "do.",
    "crashed.",
    "notice.refused",
    "refused.",
    "roster.",
    "silent.",
    "status.",
    "summons",
    "unread.",
)
"""How the keys of words begin in which this service says summaries, instructions and details."""
_WRITTEN = frozenset({"problem.alert", "problem.sentry"})
_FIELD = re.compile(r"{(\w+)}")
_GROUP = re.compile(r"(?<!\\)\((?:[^()]|\(\?:[^()]*\))*(?<!\\)\)")


def otherwise(row: Mapping[str, Any], *, kept_in: Language, language: Language) -> dict[str, Any]:
    """Return an incident's row with summary, instruction and details in a language; they are kept in ``kept_in``."""
    if language == kept_in or row["kind"] in _WRITTEN:
        return dict(row)
    values = defaultdict(lambda: "–", row["details"])
    values |= {"number": row["order_number"] or "–", "source": row["source"] or "–"}
    summary = SUMMARIES.get(row["kind"], {}).get(language) or _original(ORIGINALS, row["kind"], language)
    to_do = INSTRUCTIONS.get(row["kind"], {}).get(language) or _original(_TO_DO, row["kind"], language)
    say = _recogniser(kept_in, language)
    return {
        **row,
        "summary": summary.format_map(values) if summary else say(row["summary"]),
        "instruction": to_do.format_map(values) if to_do and row["instruction"] else say(row["instruction"]),
        "details": {name: say(value) for name, value in row["details"].items()},
    }


def _original(said: Mapping[str, str], kind: str, language: Language) -> str | None:
    text = said.get(kind)
    return text if text is not None and (re.search("[А-Яа-я]", text) is not None) == (language == "ru") else None


@cache
def _recogniser(kept_in: Language, language: Language) -> Callable[[Any], Any]:
    """Return what says a text in the language if it is ours, the text that says most first; any other text as it is."""
    pairs = sorted(_pairs(kept_in, language), key=lambda pair: -len(_FIELD.sub("", pair[0])))
    known = [(_pattern(said), told) for said, told in pairs]

    def say(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        for pattern, told in known:
            if found := pattern.fullmatch(text):
                values = {name: str(say(value)) for name, value in found.groupdict().items()}
                return _filled(told, values)
        head, between, rest = text.partition(": ")
        return f"{say(head)}: {say(rest)}" if between else text

    return say


def _pairs(kept_in: Language, language: Language) -> Iterator[tuple[str, str]]:
    words = languages()
    yield from ((said, words[language][key]) for key, said in words[kept_in].items() if key.startswith(_OURS))
    for pattern, said in PHRASES:
        first, *others = _GROUP.split(pattern.removesuffix(".*"))
        plain = re.sub(r"\\(.)", r"\1", first + "".join(f"{{{place}}}{part}" for place, part in enumerate(others)))
        yield said.get(kept_in, plain), said.get(language, plain)


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda field: values[f"_{field[1]}"], template)


def _pattern(template: str) -> re.Pattern[str]:
    """Return what recognises a filled template; a field that stands twice holds the same both times."""
    seen: set[str] = set()
    parts = _FIELD.split(template)
    for place in range(1, len(parts), 2):
        name = f"_{parts[place]}"
        parts[place] = f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
        seen.add(name)
    return re.compile("".join(part if place % 2 else re.escape(part) for place, part in enumerate(parts)), re.DOTALL)
