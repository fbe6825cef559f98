"""PostgreSQL, Telegram, Slack, SMTP and Prometheus, behind the ports of the use cases."""
