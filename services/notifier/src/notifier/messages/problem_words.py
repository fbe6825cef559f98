"""What services say of their problems, in the language of the notices: each service writes in one language only."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from notifier.incidents.model import ProblemFact
from notifier.messages.words import Language, Words

Said = Mapping[Language, str]

# Of a kind: the languages that its service does not write itself. Fields are the details, the order's number and the source.
SUMMARIES: Mapping[str, Said] = {
    "problem.order_created_differs": {"ru": "Заказ пришёл ещё раз с другим составом; действует первый"},
    "problem.order_changed_after_closing": {"ru": "Заказ изменён после закрытия; изменение не применено"},
    "problem.order_received_after_cancelling": {"ru": "Отменённый заказ передан курьеру"},
    "problem.order_delivered_after_cancelling": {"ru": "Отменённый заказ доставлен"},
    "problem.order_emptied": {"ru": "Пришёл хук без товаров; состав заказа оставлен прежним"},
    "problem.order_currency_differs": {"ru": "Хук в другой валюте, чем заказ; его состав и суммы не применены"},
    "problem.order_quantity_missing": {"ru": "В хуке новая позиция без количества; его состав и суммы не применены"},
    "problem.order_never_created": {"ru": "События заказа пришли, а order.created нет; магазин о заказе не знает"},
    "problem.refund.unanswered": {"ru": "Возврат запрошен, сервис возвратов не ответил"},
    "problem.refund.error": {"ru": "Возврат {refund_id} в состоянии RS_ERROR, попытка {attempt}"},
    "problem.refund.reversed": {"ru": "Платёжная система отменила возврат {refund_id}, попытка {attempt}"},
    "problem.refund.difference": {"ru": "Возврат расходится с платёжной системой: {difference}"},
    "problem.acts.repeated": {
        "ru": "Повторяют {times} раз за 30 дней: {action} ({reason})",
        "en": "Repeated {times} times within 30 days: {action} ({reason})",
    },
    "problem.dead_letter": {"ru": "Событие из очереди {queue} отложено ({handler}): не обработано"},
    "problem.website_order.endangered": {"en": "A website order is endangered: answer {status}, category {category}"},
    "problem.website_order.anonymous": {
        "en": "Orders without a valid token of a website: network {network}, hour {hour}"
    },
    "problem.website_order.unreachable": {
        "en": "Website order {number} was taken, and its customer can neither be called nor written to"
    },
    "problem.endangered_report.failed": {"en": "The mail about an endangered order was not sent"},
    "problem.hook.quarantined": {"en": "A hook of {source} cannot be read and is quarantined ({reason})"},
    "problem.hook.ignored_order": {
        "en": "{source} sent event {event}, which we do not know, with an order's goods: it is kept, the order is unchanged"
    },
    "problem.hook.time_unreadable": {
        "en": "The time in hooks of {source} cannot be read ({timestamp}): they are taken in the order in which they come"
    },
    "problem.edge.refused": {"en": "nginx refused a request of {source} ({path}): {status}; no service has seen it"},
    "problem.source.refused": {
        "en": "{source} was refused with {status}, and was accepted before: with 401 or 403 its token was probably changed on one "
        "side, with 413 or 408 the body is too large or did not come whole. The marketplace repeats seven times and cancels the orders"
    },
}
INSTRUCTIONS: Mapping[str, Said] = {
    "problem.refund.error": {
        "ru": "Найдите возврат в платёжном шлюзе и устраните причину с его поддержкой (инструкция refunds-error), затем перезапустите: "
        "POST /admin/v1/refunds/{refund_id}/restart с expected_version {version}, сначала dry_run. Сначала спросят шлюз, дважды он не "
        "заплатит. Если рассчитались иначе: …/close.",
    },
    "problem.refund.reversed": {
        "ru": "Шлюз отменил выполненный возврат: денег у покупателя нет. Сообщите поддержке и сделайте новый возврат под новым "
        "business_key (инструкция refunds-error).",
    },
    "problem.refund.difference": {
        "ru": "Сверьте наш возврат с данными шлюза (инструкция refunds-differences). Само ничего не платится и не отменяется. Когда "
        "решено: POST /admin/v1/differences/{{id}}/adopt принимает сторону шлюза, …/acknowledge отмечает, что решено людьми; инцидент "
        "закончится после этого или когда сверка увидит, что расхождения нет.",
    },
    "problem.dead_letter": {
        "ru": "Не решено здесь: {letters}, последнее № {letter}. В консоли или командой ordersctl dead-letter: посмотрите его, устраните "
        "причину, затем отправьте заново, исправьте или закройте; тогда проблема закончится.",
    },
    "problem.website_order.endangered": {
        "en": "Compare it with likely duplicates, mend and resubmit it, write the report: runbook webhook-gateway-endangered"
    },
    "problem.website_order.anonymous": {
        "en": "Is it a website of ours that lost its token? If not, close them all at once (close with the filter anonymous, network)"
    },
    "problem.edge.refused": {
        "en": "Look up at the sender what it was, and pass it on otherwise; mend the cause: with 413 the body is too large, "
        "with 408 and 499 it did not come whole, with 400, 414 and 431 the request cannot be read (runbook webhook-gateway-edge-refused)"
    },
    "problem.website_order.unreachable": {
        "en": "It has neither phone nor mail: find the customer by order and address, and add a contact to the order"
    },
}
# What services write into details and ends of problems, word for word; groups of a pattern are the values told.
PHRASES: tuple[tuple[str, Said], ...] = (
    (r"everything captured", {"ru": "всё списанное"}),
    (r"proven not to have gone out", {"ru": "доказано, что не ушли"}),
    (r"may have gone out; counted as spent", {"ru": "могли уйти; считаются потраченными"}),
    (r"taken back by the gateway", {"ru": "отменены шлюзом"}),
    (r"was not asked", {"ru": "не спрашивали"}),
    (r"changed", {"ru": "изменён"}),
    (r"changed, (.*)", {"ru": "изменён, {0}"}),
    (r"we have (.*), the gateway (.*) of (\S*)", {"ru": "у нас {0}, у шлюза {1} по платежу {2}"}),
    (r"(.*) of payment (\S*), (\S*)", {"ru": "{0} по платежу {1}, {2}"}),
    (
        r"(.*) are captured, (\S*) refunded, on their way or settled outside",
        {"ru": "списано {0}, возвращено, в пути или улажено иначе {1}"},
    ),
    (r"we have (\S+), the gateway has nothing", {"ru": "у нас {0}, у шлюза возврата нет"}),
    (r"the gateway has (\S+), we have (\S+)", {"ru": "у шлюза {0}, у нас {1}"}),
    (
        r"people closed it \((\S+)\), and the gateway has it: (\S+)",
        {"ru": "люди закрыли его ({0}), а у шлюза он есть: {1}"},
    ),
    (r"more than one attempt has paid or is paying", {"ru": "больше одной попытки заплатило или платит"}),
    (r"an attempt that had failed has paid or is paying", {"ru": "неудавшаяся попытка заплатила или платит"}),
    (r"line_repeated: line (.*) stands twice", {"ru": "позиция {0} названа дважды"}),
    (r"line_exceeded: (\S+) is more than the (\S+) left of line (.*)", {"ru": "{0} больше остатка {1} позиции {2}"}),
    (r"the quantity of line (.*) is no number", {"ru": "количество позиции {0} не число"}),
    (r"the quantities of line (.*) cannot be", {"ru": "количества позиции {0} невозможны"}),
    (r"the lines come to (\S+), not to more than nothing", {"ru": "позиции дают {0}: возвращать нечего"}),
    (r"the lines come to (\S+), not to (\S+)", {"ru": "позиции дают {0}, а не {1}"}),
    (r"order (\S+) has no payment of ours to refund", {"ru": "у заказа {0} нет нашего платежа, возвращать нечего"}),
    (r"business key (\S+) was just used for another payment", {"ru": "ключ {0} только что занят другим платежом"}),
    (r"business key (\S+) stands for refund (\S+).*", {"ru": "под ключом {0} уже есть другой возврат, {1}"}),
    (r"no definite answer for too long", {"ru": "слишком долго нет определённого ответа"}),
    (
        r"nothing was captured: the payment was cancelled instead of refunded",
        {"ru": "ничего не было списано: платёж отменён вместо возврата"},
    ),
    (
        r"nothing was captured: the payment is to be cancelled, not refunded",
        {"ru": "ничего не было списано: платёж нужно отменить, а не возвращать"},
    ),
    (
        r"(\S+) is more than the (\S+(?: \S+)?) left of the captured (\S+(?: \S+)?)",
        {"ru": "{0} больше остатка {1}: списано {2}"},
    ),
    (
        r"all of the captured (\S+(?: \S+)?) is refunded or on its way",
        {"ru": "всё списанное ({0}) возвращено или в пути"},
    ),
    (r"the payment is in (\S+), the refund in (\S+)", {"ru": "валюта платежа {0}, возврата {1}"}),
    (r"An older event arrived late and explains it", {"ru": "Пришло более раннее событие и всё объяснило"}),
    (r"The order has a contact now, or has ended", {"ru": "У заказа есть контакт, или он завершён"}),
    (r"The refunds service has answered", {"ru": "Сервис возвратов ответил"}),
    (r"Refund (\S+) is in (\S+), attempt (\d+)", {"ru": "Возврат {0} в состоянии {1}, попытка {2}"}),
    (r"Refund (\S+) and (\S+) agree", {"ru": "Возврат {0} сходится с {1}"}),
    (
        r"every such dead letter was replayed, mended or dismissed",
        {"ru": "все такие отложенные события отправлены заново, исправлены или закрыты"},
    ),
    (
        r"Покупатель отправил этот заказ снова, и он принят",
        {"en": "The customer sent this order again, and it was taken"},
    ),
    (r"resolved", {"ru": "решено"}),
    (r"the robot answered (\d+)", {"ru": "сервис звонков ответил {0}"}),
    (r"the robot refuses \((\d+)\)", {"ru": "сервис звонков отказал ({0})"}),
    (r"no connection to the robot", {"ru": "нет связи с сервисом звонков"}),
    (r"no answer within (\S+) s", {"ru": "нет ответа {0} с"}),
    (r"no answer \((\w+)\)", {"ru": "нет ответа ({0})"}),
    (r"the directory has no phone of this person", {"ru": "в справочнике нет телефона этого человека"}),
    (r"the caller was held up for too long", {"ru": "звонивший процесс слишком долго не отвечал"}),
    (r"the service's address is not configured", {"ru": "адрес сервиса не задан в настройках"}),
    (r"A person has taken the gateway's side", {"ru": "Принята сторона шлюза"}),
    (r"A person has settled it", {"ru": "Решено людьми"}),
    (r"Решение о хуке в карантине принято", {"en": "A person has decided about the quarantined hook"}),
    (
        r"О заказах этого письма сообщено другим письмом, или они закрыты",
        {"en": "The orders of this mail were reported by another, or closed"},
    ),
    (r"silenced by silence (\d+) until (\S+)", {"ru": "тишина {0} до {1}"}),
    (r"silenced by maintenance (\d+) until (\S+)", {"ru": "обслуживание {0} до {1}"}),
    (r"order\.created arrived", {"ru": "пришёл order.created"}),
    (r"it will never be created", {"ru": "заказ так и не будет создан"}),
    (r"(.+) lets the workflow go on", {"ru": "{0}: обработка продолжена"}),
    (
        r"Заказ принят: nginx не дождался ответа, но шлюз его записал",
        {"en": "The order was taken: nginx did not wait for the answer, and the gateway recorded it"},
    ),
    (r"Заказ с сайта разобран", {"en": "The website order was dealt with"}),
    (r"Хуки источника (\S+) снова принимаются", {"en": "Hooks of {0} are accepted again"}),
)
_PHRASES = tuple((re.compile(pattern, re.DOTALL), said) for pattern, said in PHRASES)


def in_our_words(fact: ProblemFact, words: Words) -> ProblemFact:
    """Return a service's problem with summary, instruction and details in the notices' language.

    Kinds and phrases that are not known keep their service's words, and so does what people and other systems wrote.
    """
    values = defaultdict(lambda: "–", fact.details)
    values |= {"number": fact.order_number or "–", "source": fact.source or "–"}
    summary = SUMMARIES.get(fact.kind, {}).get(words.language)
    instruction = INSTRUCTIONS.get(fact.kind, {}).get(words.language)
    return replace(
        fact,
        summary=fact.summary if summary is None else summary.format_map(values),
        what_to_do=fact.what_to_do if instruction is None else instruction.format_map(values),
        details={name: _value(name, value, words) for name, value in fact.details.items()},
    )


def phrase(text: str, words: Words) -> str:
    """Return what a service says, in the notices' language where it is known; else as it is."""
    for pattern, said in _PHRASES:
        found = pattern.fullmatch(text)
        if found is not None:
            return said[words.language].format(*found.groups()) if words.language in said else text
    head, separator, rest = text.partition(": ")  # of whom or of what, then what happened
    return f"{head}: {phrase(rest, words)}" if separator else text


def _value(name: str, value: str, words: Words) -> str:
    return words.named("status", value) if name == "status" else phrase(value, words)
