"""Outside systems that the settings name: the channels with what they allow, and the outside tracker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import SecretStr

from common.errors import ConfigurationError
from common.postgres import Database
from common.service import Lifecycle
from notifier.channels.mail import MailSender, mail_limits
from notifier.channels.slack import SlackSender, slack_edit_limits, slack_limits, token_digest
from notifier.channels.telegram import TelegramSender, bot_id, telegram_limits
from notifier.delivery.model import Sender
from notifier.delivery.queue import DeliveryQueues, LimitsOf
from notifier.due import UNASKED_SECONDS
from notifier.duty.call_webhook import CallWebhook
from notifier.duty.twilio import TwilioCalls
from notifier.settings import NotifierSettings
from notifier.tickets.yandex import YandexTracker


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A provider that is configured: how to send, what it allows."""

    name: str
    sender: Sender
    limits: LimitsOf
    edit_limits: LimitsOf | None = None
    prepare: Callable[[], Awaitable[None]] | None = None

    def queues(self, database: Database) -> DeliveryQueues:
        """Return what waits on this channel. Who is told of what is due need not ask while there is nothing."""
        return DeliveryQueues(
            database, channel=self.name, limits=self.limits, edit_limits=self.edit_limits, unasked=UNASKED_SECONDS
        )


def configured(settings: NotifierSettings) -> frozenset[str]:
    """Return the channels that can send."""
    given = {"telegram": settings.telegram_token, "slack": settings.slack_token, "mail": settings.smtp_host}
    return frozenset(name for name, value in given.items() if value is not None)


async def open_channels(settings: NotifierSettings, lifecycle: Lifecycle) -> list[Channel]:
    """Return the channels that are configured. aiogram is imported beside the loop, so that nothing waits for it."""
    channels: list[Channel] = []
    if settings.telegram_token is not None:
        token = settings.telegram_token.get_secret_value()
        telegram = TelegramSender(
            token=token, api_url=settings.telegram_api_url, connect_timeout=settings.call_deadline / 2
        )
        lifecycle.on_stop(telegram.close, name="telegram")
        bot = bot_id(token)
        channels.append(
            Channel(
                name="telegram",
                sender=telegram,
                limits=lambda chat: telegram_limits(bot=bot, chat=chat),
                prepare=telegram.prepare,
            )
        )
    if settings.slack_token is not None:
        slack = SlackSender(
            token=settings.slack_token.get_secret_value(),
            api_url=settings.slack_api_url,
            connect_timeout=settings.call_deadline / 2,
        )
        lifecycle.on_stop(slack.close, name="slack")
        workspace = token_digest(settings.slack_token.get_secret_value())
        channels.append(
            Channel(
                name="slack",
                sender=slack,
                limits=lambda channel: slack_limits(channel=channel),
                edit_limits=lambda _: slack_edit_limits(workspace=workspace),
            )
        )
    if settings.smtp_host is not None:
        mail = MailSender(
            host=settings.smtp_host,
            port=settings.smtp_port,
            sender=settings.mail_from,
            user=settings.smtp_user,
            password=secret(settings.smtp_password),
            tls=settings.smtp_tls,
        )
        channels.append(Channel(name="mail", sender=mail, limits=lambda address: mail_limits(address=address)))
    return channels


def open_call_provider(settings: NotifierSettings) -> CallWebhook | TwilioCalls | None:
    """Return who phones people, None when nobody does."""
    if settings.call_url is None:
        return None
    token, account, sender = secret(settings.call_token), settings.call_account, settings.call_from
    if settings.call_provider == "webhook" or token is None or account is None or sender is None:
        return CallWebhook(url=settings.call_url, token=token)
    return TwilioCalls(
        url=settings.call_url,
        account=account,
        token=token,
        sender=sender,
        callback_url=settings.call_callback_url,
        language=settings.language,
    )


def open_tracker(settings: NotifierSettings, lifecycle: Lifecycle) -> YandexTracker:
    """Return the outside tracker. Raises ``ConfigurationError`` without its token or organisation."""
    if settings.tracker_token is None or settings.tracker_org_id is None:
        raise ConfigurationError("the tracker needs a token and an organisation")
    tracker = YandexTracker(
        url=settings.tracker_url,
        token=settings.tracker_token.get_secret_value(),
        scheme=settings.tracker_scheme,
        organisation=settings.tracker_org_id,
        organisation_header=settings.tracker_org_header,
        deadline=settings.call_deadline,
    )
    lifecycle.on_stop(tracker.close, name="tracker")
    return tracker


def secret(value: SecretStr | None) -> str | None:
    """Return what a secret setting holds."""
    return None if value is None else value.get_secret_value()
