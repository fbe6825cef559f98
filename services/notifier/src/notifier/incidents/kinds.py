"""Every kind of problem: who raises it, how grave it is, what makes two reports one problem, where it is seen and what is done about it.

From this table come tickets (whether one is opened, in which queue, with which instruction), recipes, links and the operators' page
``docs/problems.md`` (``python -m notifier.incidents.kinds_page``); a test joins it to every place where a problem is raised. Operators may
write other instructions (``PUT /admin/v1/instructions/{kind}``), a deployment names other queues (``NOTIFIER_TEAM_QUEUES``).
"""

from __future__ import annotations

from collections.abc import Mapping

from notifier.incidents.kind import Kind, Without
from notifier.incidents.model import ProblemFact, Recipe
from notifier.incidents.other_kinds import OTHER_KINDS

KINDS: Mapping[str, Kind] = {
    "workflow.crashed": Kind(
        by="orchestrator",
        severity="critical",
        one="a workflow",
        call=True,
        recipe="retry_workflow",
        page="w",
        runbook="orchestrator-workflows-crashed",
        ru="Клиенту пока ничего не сообщать. Проверьте историю заказа: если заказ собран и передан, звонить не "
        "нужно, дежурный повторит шаг. Если клиент ждёт подтверждения, позвоните дежурному.",
        en="Tell the customer nothing yet. Look at the order's timeline: if it is picked and handed over, do not "
        "call, the person on duty will retry the step. If the customer waits for a confirmation, call.",
    ),
    "workflow.stopped": Kind(
        by="orchestrator",
        severity="info",
        one="a workflow",
        page="w",
        runbook="orchestrator-workflows-crashed",
        without=Without("Остановил человек, он же и продолжит.", "A person stopped it, and will resume it."),
        ru="Ничего: обработку остановил человек. Продолжит он же.",
        en="Nothing: a person stopped it, and will resume it.",
    ),
    "problem.order_created_differs": Kind(
        by="orchestrator",
        severity="warning",
        one="an order and its event",
        page="o",
        runbook="orchestrator-orders-disputed",
        ru="Маркетплейс прислал тот же заказ с другим составом; действует первый. Сверьте с маркетплейсом, какой "
        "верен, и исправьте заказ (orders/{number}/correct).",
        en="The marketplace sent the order again with other content; the first one holds. Ask which is right, and "
        "correct the order (orders/{number}/correct).",
    ),
    "problem.order_changed_after_closing": Kind(
        by="orchestrator",
        severity="warning",
        one="an order and its event",
        page="o",
        runbook="orchestrator-orders-disputed",
        ru="Маркетплейс изменил заказ после закрытия, изменение не применено. Свяжитесь с магазином, сверьте состав "
        "с указанным ниже; деньги за недостающее вернёт возврат из карточки заказа.",
        en="The marketplace changed the order after it was closed; the change was not applied. Call the store, "
        "compare with the difference below; give money back from the order's card.",
    ),
    "problem.order_received_after_cancelling": Kind(
        by="orchestrator",
        severity="warning",
        one="an order and its event",
        call=True,
        page="o",
        runbook="orchestrator-orders-disputed",
        ru="Отменённый заказ передан курьеру. Позвоните в магазин и курьеру: вернуть товар. Клиенту "
        "сообщить, что заказ отменён.",
        en="A cancelled order was handed to a courier. Call store and courier: the goods go back. Tell "
        "the customer that it is cancelled.",
    ),
    "problem.order_delivered_after_cancelling": Kind(
        by="orchestrator",
        severity="warning",
        one="an order and its event",
        call=True,
        page="o",
        runbook="orchestrator-orders-disputed",
        ru="Отменённый заказ доставлен, деньги могли уже вернуть. Спросите клиента, получил ли он "
        "заказ, и передайте ответ дежурному.",
        en="A cancelled order was delivered, the money may have gone back. Ask the customer, and tell "
        "the person on duty.",
    ),
    "problem.order_emptied": Kind(
        by="orchestrator",
        severity="warning",
        one="an order and its event",
        page="o",
        runbook="orchestrator-orders-disputed",
        ru="Пришло событие без товаров или с нулевой суммой за товары с ценами; это не применено. Сверьте с маркетплейсом, "
        "не отменён ли заказ и сколько он стоит.",
        en="A hook has no goods, or a sum of nothing for goods that have prices; neither was taken. Ask the marketplace "
        "whether the order is cancelled, and what it costs.",
    ),
    "problem.order_currency_differs": Kind(
        by="orchestrator",
        severity="warning",
        one="an order and its event",
        page="o",
        runbook="orchestrator-orders-disputed",
        ru="Пришло событие в другой валюте; состав и суммы не применены. Уточните у маркетплейса и "
        "исправьте заказ вручную.",
        en="A hook has another currency; its goods and sums were not applied. Ask the marketplace, and "
        "correct the order.",
    ),
    "problem.order_quantity_missing": Kind(
        by="orchestrator",
        severity="warning",
        one="an order and its event",
        page="o",
        runbook="orchestrator-orders-disputed",
        ru="В событии новая позиция без количества; состав не применён. Уточните количество у магазина "
        "и исправьте заказ вручную.",
        en="A hook has a new position without its quantity; nothing was applied. Ask the store, and correct the order.",
    ),
    "problem.order_never_created": Kind(
        by="orchestrator",
        severity="critical",
        one="an order",
        call=True,
        page="o",
        runbook="orchestrator-orders-parked",
        ru="Маркетплейс прислал события заказа, которого у магазина нет. Позвоните дежурному: заказ могут не собрать.",
        en="The marketplace sent events of an order that the store does not have. Call the person on "
        "duty: nobody may be picking it.",
    ),
    "problem.refund.unanswered": Kind(
        by="orchestrator",
        severity="critical",
        one="a refund's business key",
        call=True,
        page="o",
        runbook="refunds-down",
        ru="Возврат запрошен, но сервис возвратов молчит. Клиенту: возврат будет выполнен. Второй "
        "возврат не заводить. Позвоните дежурному.",
        en="A refund was asked for and the refunds service is silent. Tell the customer that it will "
        "come; ask for no second one. Call.",
    ),
    "problem.refund.error": Kind(
        by="refunds",
        severity="critical",
        one="an attempt of a refund",
        recipe="restart_refund",
        page="r",
        runbook="refunds-error",
        ru="Деньги клиенту ещё не возвращены, дежурный перезапустит возврат. Если клиент обратился сам: сообщите, "
        "что возврат будет выполнен, срок зависит от банка. Второй возврат не заводить.",
        en="The money is not given back yet; the person on duty restarts the refund. If the customer asks: it will "
        "come, the bank decides when. Ask for no second refund.",
    ),
    "problem.refund.reversed": Kind(
        by="refunds",
        severity="critical",
        one="a refund",
        call=True,
        page="r",
        runbook="refunds-error",
        ru="Платёжная система отменила выполненный возврат. Сообщите клиенту, что возврат будет "
        "повторён, и позвоните дежурному.",
        en="The payment system took a finished refund back. Tell the customer that it will be "
        "repeated, and call the person on duty.",
    ),
    "problem.refund.difference": Kind(
        by="refunds",
        severity="critical",
        one="a refund and what differs",
        call=True,
        page="r",
        runbook="refunds-differences",
        ru="У нас и у платёжной системы разные сведения о возврате. Клиенту суммы не называть. "
        "Дежурный сверит и примет решение в «расхождениях».",
        en="We and the payment system disagree about a refund. Name no sum to the customer. The person "
        "on duty compares and decides.",
    ),
    "refund.rejected": Kind(
        by="refunds",
        severity="warning",
        one="a refund's business key",
        call=True,
        page="o",
        runbook="refunds-error",
        ru="Возврат невозможен, причина указана ниже. Позвоните дежурному, если клиент уже ждёт деньги.",
        en="The refund cannot be made, the reason is below. Call the person on duty if the customer "
        "waits for the money.",
    ),
    "problem.hook.quarantined": Kind(
        by="webhook-gateway",
        severity="its own",
        one="an order; without its number a source and reason",
        call=True,
        page="d",
        runbook="webhook-gateway-quarantine",
        ru="Хук маркетплейса не разобран и отложен. Посмотрите его (ссылка), сверьте заказ с "
        "маркетплейсом; дежурный исправит и отправит заново.",
        en="A hook could not be read and is set aside. Look at it (link), compare the order with the "
        "marketplace; the person on duty mends it.",
    ),
    "problem.hook.ignored_order": Kind(
        by="webhook-gateway",
        severity="warning",
        one="a source and name of event",
        page="d",
        runbook="webhook-gateway-quarantine",
        ru="Пришло неизвестное событие с составом заказа; заказ не изменён. Передайте разработчикам: "
        "нужен ли нам этот вид событий.",
        en="An unknown event with an order's goods came; the order is unchanged. Ask the developers "
        "whether we need that event.",
    ),
    "problem.hook.time_unreadable": Kind(
        by="webhook-gateway",
        severity="warning",
        one="a source",
        page="d",
        runbook="webhook-gateway-quarantine",
        ru="Время в хуках источника не читается. Напишите источнику, пример есть в хуке (ссылка).",
        en="The time in a source's hooks cannot be read. Write to the source, with the hook as an example.",
    ),
    "problem.source.refused": Kind(
        by="webhook-gateway",
        severity="critical",
        one="a source",
        call=True,
        page="o",
        runbook="webhook-gateway-refused",
        ru="Хуки источника перестали приниматься: сменили токен (401, 403), или тело слишком велико (413). Позвоните дежурному сразу: "
        "маркетплейс отменит заказы.",
        en="A source's hooks are refused: its token was changed (401, 403), or the body is too large (413). Call at once: the "
        "marketplace will cancel the orders.",
    ),
    "problem.website_order.endangered": Kind(
        by="webhook-gateway",
        severity="its own",
        one="an endangered order",
        call=True,
        page="e",
        runbook="webhook-gateway-endangered",
        ru="Заказ с сайта не принят. Сверьте с похожими заказами, исправьте и отправьте заново, "
        "свяжитесь с покупателем, напишите отчёт.",
        en="A website's order was not taken. Compare with likely duplicates, mend and resubmit it, "
        "reach the customer, write the report.",
    ),
    "problem.website_order.anonymous": Kind(
        by="webhook-gateway",
        severity="warning",
        one="a network and hour",
        runbook="webhook-gateway-strangers",
        without=Without(
            "Без токена прислать может кто угодно, и очередь переполнится; хватает предупреждения и списка.",
            "Anybody may send without a token, and would fill the queue; the warning and the list are enough.",
        ),
        ru="Заказы без действующего токена. Проверьте, не наш ли это сайт; если нет, закройте все разом.",
        en="Orders without a valid token. Find out whether it is one of our sites; if not, close them all at once.",
    ),
    "problem.website_order.unreachable": Kind(
        by="webhook-gateway",
        severity="warning",
        one="an order",
        page="d",
        runbook="webhook-gateway-endangered",
        ru="У заказа нет ни телефона, ни почты. Найдите покупателя по заказу и адресу, дополните контакт.",
        en="The order has neither phone nor mail. Find the customer by order and address, and add a contact.",
    ),
    "problem.endangered_report.failed": Kind(
        by="webhook-gateway",
        severity="warning",
        one="a report",
        page="e",
        runbook="webhook-gateway-reports-stuck",
        ru="Письмо об отчёте не ушло. Проверьте адреса и отправьте отчёт заново.",
        en="The report's mail was not sent. Check the addresses, and send the report again.",
    ),
    "problem.dead_letter": Kind(
        by="every service",
        severity="critical",
        one="an order; of no order a queue, handler and reason",
        call=True,
        runbook="{service}-dead-letters",
        ru="Событие не удалось обработать, оно отложено. Позвоните дежурному; заказы, которых это "
        "касается, пока не двигаются.",
        en="An event could not be handled and is set aside. Call the person on duty; the orders "
        "concerned stand still meanwhile.",
    ),
    "problem.channel_refused": Kind(
        by="notifier",
        severity="critical",
        one="a chat",
        runbook="notifier-notices-failed",
        ru="Чат не принимает сообщения. Проверьте, не удалён ли из него бот; сборщикам и магазину "
        "сообщите по телефону.",
        en="A chat takes no messages. See whether the bot was removed; tell pickers and store by phone.",
    ),
    "problem.edge.refused": Kind(
        by="webhook-gateway",
        severity="warning",
        one="an address and hour",
        runbook="webhook-gateway-edge-refused",
        ru="nginx отклонил запрос (например, слишком большой), и никто его не видел. Дежурный смотрит у отправителя, что в нём было.",
        en="nginx refused a request (too large, say), and no service has seen it. The person on duty looks it up at its sender.",
    ),
    **OTHER_KINDS,
}


def recipe_of(fact: ProblemFact) -> Recipe | None:
    """Return the recipe of a problem's kind for this problem; None where its kind has none, or its target cannot be told."""
    kind = KINDS.get(fact.kind)
    return None if kind is None or kind.recipe is None else Recipe.of(kind.recipe, fact)


def runbook_of(fact: ProblemFact) -> str | None:
    """Return the path of the runbook's page of a problem's kind."""
    return runbook_page(fact.kind, service=fact.service)


def runbook_page(kind: str, *, service: str) -> str | None:
    """Return the path of the runbook's page of a kind; ``service`` is who raised it. None where the kind has none."""
    known = KINDS.get(kind)
    return None if known is None or known.runbook is None else f"/runbook/{known.runbook.format(service=service)}"
