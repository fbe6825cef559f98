"""What comes in: events of the suite, Alertmanager's alerts, Sentry's errors."""
