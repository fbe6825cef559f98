"""Telegram's Bot API with its limits, its errors and its webhook."""
