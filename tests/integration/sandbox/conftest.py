"""A sandbox at a standing clock and aiogram's bot beside it; modules that need others make their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from sandbox.testing import RunningSandbox, running_sandbox
from tests.support.clocks import SandboxClock

if TYPE_CHECKING:
    from aiogram import Bot

TOKEN = "7000000001:secret-of-the-bot"


@pytest.fixture
async def clock() -> SandboxClock:
    """Time that moves only when the test moves it."""
    return SandboxClock()


@pytest.fixture
async def sandbox(clock: SandboxClock) -> AsyncIterator[RunningSandbox]:
    """A sandbox that knows one Telegram bot."""
    async with running_sandbox(clock=clock, telegram_tokens=[TOKEN]) as running:
        yield running


@pytest.fixture
async def bot(sandbox: RunningSandbox) -> AsyncIterator[Bot]:
    """That bot, as aiogram's own client."""
    from aiogram import Bot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer

    session = AiohttpSession(api=TelegramAPIServer.from_base(sandbox.telegram_url))
    try:
        yield Bot(TOKEN, session=session)
    finally:
        await session.close()
