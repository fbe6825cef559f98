"""What tests use of aiogram. To be imported through ``Lazily``: it takes seconds, in every process that collects the tests."""

from aiogram import Bot as Bot
from aiogram import Dispatcher as Dispatcher
from aiogram.exceptions import TelegramBadRequest as TelegramBadRequest
from aiogram.exceptions import TelegramConflictError as TelegramConflictError
from aiogram.exceptions import TelegramForbiddenError as TelegramForbiddenError
from aiogram.exceptions import TelegramMigrateToChat as TelegramMigrateToChat
from aiogram.exceptions import TelegramNetworkError as TelegramNetworkError
from aiogram.exceptions import TelegramNotFound as TelegramNotFound
from aiogram.exceptions import TelegramRetryAfter as TelegramRetryAfter
from aiogram.exceptions import TelegramServerError as TelegramServerError
from aiogram.exceptions import TelegramUnauthorizedError as TelegramUnauthorizedError
from aiogram.methods import AnswerCallbackQuery as AnswerCallbackQuery
from aiogram.methods import SendDice as SendDice
from aiogram.methods import SendMessage as SendMessage
from aiogram.types import CallbackQuery as CallbackQuery
from aiogram.types import InlineKeyboardButton as InlineKeyboardButton
from aiogram.types import InlineKeyboardMarkup as InlineKeyboardMarkup
from aiogram.types import Message as Message
from aiogram.types import ReplyParameters as ReplyParameters
from aiogram.webhook.aiohttp_server import SimpleRequestHandler as SimpleRequestHandler
