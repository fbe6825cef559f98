"""Notifier: brings events to the right person in Telegram, Slack and mail."""
