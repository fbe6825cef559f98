"""The providers that carry messages: Telegram, Slack, mail."""
