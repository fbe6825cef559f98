"""Kinds of problems that the notifier itself, every service, and other systems raise: the second half of ``incidents/kinds.py``."""

from __future__ import annotations

from collections.abc import Mapping

from notifier.incidents.kind import Kind, Without

OTHER_KINDS: Mapping[str, Kind] = {
    "problem.notice_refused": Kind(
        by="notifier",
        severity="critical",
        one="a chat",
        runbook="notifier-notices-failed",
        ru="Уведомление не отправлено. Сообщите магазину о заказах, указанных ниже, по телефону.",
        en="A notice was not sent. Tell the store of the orders below by phone.",
    ),
    "problem.alerts_not_taken": Kind(
        by="notifier",
        severity="critical",
        one="a sender and hour",
        call=True,
        runbook="notifier-alerts-not-taken",
        ru="Часть оповещений не прочитана. Дежурный смотрит их у отправителя.",
        en="Some alerts could not be read. The person on duty looks them up at their sender.",
    ),
    "problem.alerts_refused": Kind(
        by="notifier",
        severity="critical",
        one="a sender, until it is accepted again",
        call=True,
        runbook="notifier-alerts-refused",
        ru="Оповещения отправителя отклоняются. Позвоните дежурному: он сверит токен или секрет и посмотрит оповещения у отправителя.",
        en="A sender's alerts are refused. Call the person on duty, who compares token or secret and looks the alerts up at their sender.",
    ),
    "problem.webhook_refused": Kind(
        by="notifier",
        severity="warning",
        one="a sender, until it is accepted again",
        runbook="notifier-alerts-refused",
        ru="Нажатия кнопок в чате или вести о звонках отклоняются. Брать инциденты в консоли; дежурный сверит секрет.",
        en="Buttons pressed in a chat, or news of calls, are refused. Acknowledge in the console; the person on duty compares the secret.",
    ),
    "problem.alerts_silent": Kind(
        by="notifier",
        severity="critical",
        one="the way from Alertmanager",
        call=True,
        runbook="notifier-alerts-silent",
        ru="От Alertmanager ничего не приходит, и о сбоях не узнать. Позвоните дежурному: он смотрит оповещения в Prometheus.",
        en="Nothing comes from Alertmanager, so nobody hears of failures. Call the person on duty, who looks alerts up in Prometheus.",
    ),
    "problem.roster": Kind(
        by="notifier",
        severity="critical",
        one="a shift",
        runbook="notifier-roster-gap",
        ru="Дежурного нет или ему нельзя позвонить. Назначьте замену.",
        en="Nobody is on duty, or can be called. Name somebody.",
    ),
    "roster.handover": Kind(
        by="notifier",
        severity="its own",
        one="a shift",
        runbook="notifier-handover-unconfirmed",
        without=Without(
            "Смену подтверждает сам дежурный; если не подтвердит, отвечает прежний и ему звонят.",
            "The newcomer confirms it; otherwise the previous person goes on, and both are phoned.",
        ),
        ru="Смена дежурного. Новый дежурный нажимает кнопку; если он не подтвердит смену, звонить прежнему.",
        en="The duty is handed over. The newcomer presses the button; while nobody has, call the previous person.",
    ),
    "problem.ticket.summons": Kind(
        by="notifier",
        severity="critical",
        one="a ticket",
        page="t",
        without=Without(
            "Тикет уже есть: в него и зовут.", "There is a ticket already: that is where they are summoned to."
        ),
        ru="Оператор зовёт дежурного в тикет. Откройте тикет и ответьте в нём.",
        en="An operator summons the person on duty to a ticket. Open it, and answer there.",
    ),
    "problem.task.failing": Kind(
        by="every service",
        severity="its own",
        one="a task, or an item of it",
        queue="development",
        runbook="platform-tasks-fail",
        ru="Сбой в программе: названное ниже не сделано и повторяется само, остальное идёт. Если страдает заказ, позвоните дежурному.",
        en="A fault in a program: what is named below is not done, and is tried again; the rest goes on. Call if an order suffers.",
    ),
    "problem.acts.repeated": Kind(
        by="every service",
        severity="info",
        one="an act and its reason",
        queue="development",
        ru="Одно и то же действие повторяют снова и снова. Заведите тикет на его автоматизацию.",
        en="People repeat the same act again and again. Open a ticket to automate it.",
    ),
    "problem.alert": Kind(
        by="Alertmanager",
        severity="its own",
        one="an alert's labels",
        call=True,
        without=Without(
            "Предупреждение кончается само, когда всё снова в порядке; тикет есть у критичных и у отказов запросов.",
            "A warning ends by itself when all is well again; critical ones and failing requests have a ticket.",
            when_grave=True,
        ),
        ru="Сработало оповещение. Откройте инструкцию по ссылке; если сами не справляетесь, позвоните дежурному.",
        en="An alert fires. Open its runbook (link); if you cannot help, call the person on duty.",
    ),
    "problem.sentry": Kind(
        by="Sentry",
        severity="its own",
        one="an issue",
        runbook="platform-errors-logged",
        ru="Ошибка в программе. Тикет для команды-владельца; если от неё страдают заказы, позвоните дежурному.",
        en="A fault in a program. The ticket is for its team; if orders suffer, call the person on duty.",
    ),
}
